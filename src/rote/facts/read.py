"""`read_facts`: a built-in name, a file, a folder or a DataFrame as a table of facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rote.errors import FactsError
from rote.facts.intake import MAX_FACTS, RawFact
from rote.facts.readers import FILE_READERS, read_lre_folder, rows_of_frame
from rote.facts.readers.columns import SPORT_PREFIX, SPORT_TEMPLATE
from rote.facts.rows import assemble
from rote.facts.table import FactTable, Relation, prefix_problems, template_problems


@dataclass(frozen=True, kw_only=True)
class BuiltIn:
    """A table that comes with rote: a file beside this module and how its relations are asked."""

    name: str
    file: str
    relations: tuple[Relation, ...]


BUILT_IN: tuple[BuiltIn, ...] = (
    BuiltIn(
        name="athletes",
        file="athletes.csv",
        relations=(
            Relation(name="sport", template=SPORT_TEMPLATE, prefix=SPORT_PREFIX),
            Relation(name="league", template="Fact: {} plays in the league"),
        ),
    ),
)


def read_facts(
    source: str | Path | pd.DataFrame,
    *,
    relation: str | Sequence[str] | None = None,
    template: str | None = None,
    prefix: str | None = None,
    leave_out: bool = True,
    max_facts: int = MAX_FACTS,
) -> FactTable:
    """A table of facts from a built-in name, a file, a folder of LRE relations or a DataFrame.

    Files: .csv, .tsv, .json, .jsonl, .parquet, in UTF-8. Tables are long (entity, attribute[, relation,
    template, prefix]) or wide (entity and one column per relation); the entity's column may also be called
    athlete, subject or name. JSON may be rote's own layout, CounterFact's, EasyEdit's, known_1000's, an LRE
    relation, or a list of records. A relation without a template is asked `Fact: The <relation> of {} is`.

    Args:
        source: a built-in name wins over a file of that name; write ./athletes for the file.
        relation: the relations to take, all when None; in a table without relation names, its one name.
        template: asks the relation this way instead, with exactly one `{}`; for a single relation only.
        prefix: put before the template instead of the source's; "" = none.
        leave_out: False refuses a table with rows that are no usable fact, all of them named. Otherwise they are
            in `left_out` with their reason, unless nothing else is left. An empty cell of a wide table is no fact
            and no problem.
        max_facts: larger tables are read to the end, counted and refused.

    Errors: `FactsError`, which holds one sentence per problem.
    """
    problems = [] if template is None else template_problems(template, "that was given")
    wrong_prefix = [] if prefix is None else prefix_problems(prefix, "that was given")
    options = _Options(leave_out=leave_out, max_facts=max_facts)
    try:
        table = _read(source, relation, None if problems else template, None if wrong_prefix else prefix, options)
    except FactsError as error:
        raise FactsError([*problems, *wrong_prefix, *error.problems]) from error
    if problems or wrong_prefix:
        raise FactsError([*problems, *wrong_prefix])
    return table


@dataclass(frozen=True, kw_only=True)
class _Options:
    leave_out: bool
    max_facts: int


def _read(
    source: str | Path | pd.DataFrame,
    relation: str | Sequence[str] | None,
    template: str | None,
    prefix: str | None,
    options: _Options,
) -> FactTable:
    asked: dict[str, Any] = {"relation": relation, "template": template, "prefix": prefix, **asdict(options)}
    if isinstance(source, pd.DataFrame):
        return assemble("table", rows_of_frame(source), **asked)
    for built_in in BUILT_IN:
        if built_in.name == source:
            return _built_in(built_in, relation, template, prefix)
    path = _existing(source)
    rows = read_lre_folder(path) if path.is_dir() else _reader(path)(path)
    name = path.resolve().name if path.is_dir() else path.stem
    return assemble(name, rows, source=str(path), **asked)


def _built_in(
    built_in: BuiltIn, relation: str | Sequence[str] | None, template: str | None, prefix: str | None
) -> FactTable:
    path = Path(__file__).parent / built_in.file
    if not path.is_file():
        raise FactsError(f"the built-in table {built_in.name!r} is missing at {path}; install rote again")
    table = assemble(built_in.name, _reader(path)(path))
    asked = FactTable(
        name=table.name,
        relations=tuple(r for r in built_in.relations if r.name in {known.name for known in table.relations}),
        facts=table.facts,
        left_out=table.left_out,
    )
    if relation is not None:
        asked = asked.select(relation)
    return asked.with_prompts(template, prefix)


def _existing(source: str | Path) -> Path:
    """The path of an existing file or folder; `FactsError` naming the built-in tables otherwise."""
    try:
        path = Path(source)
        exists = path.exists()
    except (OSError, TypeError, ValueError):
        exists = False
    if not exists:
        built_in = ", ".join(table.name for table in BUILT_IN)
        raise FactsError(
            f"there is no table of facts {str(source)!r}: it is no built-in table (there is {built_in}) and "
            f"no file or folder, seen from {Path.cwd()}; give a built-in name or the path of a "
            f"{', '.join(reader.suffix for reader in FILE_READERS)} file"
        )
    if not path.is_file() and not path.is_dir():
        raise FactsError(f"{path} is a device, a pipe or a socket; expected a file or a folder: save the table first")
    return path


def _reader(path: Path) -> Callable[[Path], Iterable[RawFact]]:
    for reader in FILE_READERS:
        if reader.suffix == path.suffix.lower():
            return reader.rows
    raise FactsError(
        f"{path} has the suffix {path.suffix!r}; expected one of "
        f"{', '.join(reader.suffix for reader in FILE_READERS)}: rename or convert it"
    )
