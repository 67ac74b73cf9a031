"""Rows of a table with named columns, long or wide: what csv, parquet, JSON records and DataFrames share."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from rote.errors import FactsError
from rote.facts.cells import cell_answers, cell_cut
from rote.facts.intake import RawFact
from rote.facts.rows import cell_text
from rote.facts.table import cut, listed
from rote.facts.text import text_problem

ENTITY_COLUMNS: tuple[str, ...] = ("entity", "athlete", "subject", "name")
LONG_COLUMNS: tuple[str, ...] = ("relation", "attribute", "template", "prefix", "cut")

# The study's published table of athletes is known by any of these; of its columns only `sport` is a relation.
PUBLISHED_COLUMNS = frozenset({"log_prob_one_shot", "num_athlete_tokens", "sport_index", "sport_token"})
SPORT_TEMPLATE = "Fact: {} plays the sport of"
SPORT_PREFIX = "Fact: Tiger Woods plays the sport of golf\n"

MOST_COLUMNS = 1000
GAP = "the attribute is empty"
_MOST_SHARED = 100_000

logger = logging.getLogger(__name__)


def rows_of_columns(
    columns: Sequence[object], records: Iterable[Sequence[object] | RawFact], source: str, first_row: int = 1
) -> Iterator[RawFact]:
    """Rows of a table in long layout (has a column `attribute`) or wide layout (one column per relation).

    Long: entity, attribute[, relation, template, prefix, cut]; other columns are ignored with a warning.
    Wide: entity[, cut], and every other named column is a relation. The study's published file is wide with
    measurements beside `sport`; only `sport` is taken, with the study's own prompt.

    Args:
        columns: the column names.
        records: one sequence of cells per row, as long as `columns`; broken lines pass.
        source: what error messages call the table.
        first_row: the number of the first record, as its author would count.

    Errors: `FactsError` for columns that do not make a table of facts.
    """
    names = [_column_name(column, source) for column in columns]
    entity = _entity_column(names, source)
    rows = _long if "attribute" in names else _wide
    yield from rows(names, entity, records, source, first_row)


def _shared(once: dict[str, str], text: str) -> str:
    """One string for equal texts, since a large table names few attributes often."""
    return once.setdefault(text, text) if text in once or len(once) < _MOST_SHARED else text


def _column_name(column: object, source: str) -> str:
    """Unnamed columns (a saved row index) become ""; the special names are found in any case."""
    problem = text_problem(column.strip()) if isinstance(column, str) else ""
    if problem:
        raise FactsError(f"{source}: the column's name {cut(str(column))!r} {problem}; give it a name that can be read")
    text, _ = cell_text(column, "column's name")
    if text.startswith("Unnamed:"):
        return ""
    return text.lower() if text.lower() in ENTITY_COLUMNS + LONG_COLUMNS else text


def _entity_column(names: Sequence[str], source: str) -> int:
    problems = [
        f"{source} has {count} columns named {name!r}; expected each name once"
        for name, count in Counter(names).items()
        if name and count > 1
    ]
    if len(names) > MOST_COLUMNS:
        problems = [
            f"{source} has {len(names):,} columns; at most {MOST_COLUMNS:,} are taken: leave out what is no fact"
        ]
        raise FactsError(problems)
    found = next((name for name in ENTITY_COLUMNS if name in names), None)
    others = [name for name in names if name and name not in (found, "cut")]
    if found is None or not others:
        problems.append(
            f"{source} has the columns {listed(filter(None, names))}; expected a column entity (or "
            f"{', '.join(ENTITY_COLUMNS[1:])}) and either attribute, with relation where there are several, "
            "or one column per relation: rename or add columns"
        )
    elif "relation" in names and "attribute" not in names:
        problems.append(
            f"{source} has a column relation but no column attribute (it has {listed(names)}); "
            "expected both: add the attributes, or use one column per relation"
        )
    if problems or found is None:
        raise FactsError(problems)
    return names.index(found)


def _long(
    names: Sequence[str], entity: int, records: Iterable[Sequence[object] | RawFact], source: str, first_row: int
) -> Iterator[RawFact]:
    place = {name: names.index(name) for name in LONG_COLUMNS if name in names}
    ignored = [name for i, name in enumerate(names) if name and i != entity and name not in place]
    if ignored:
        logger.warning("%s: columns %s are ignored", source, listed(ignored))
    once: dict[str, str] = {}
    for number, record in enumerate(records, first_row):
        if isinstance(record, RawFact):
            yield record
            continue
        name, name_problem = cell_text(record[entity], "entity")
        at, cut_problem = cell_cut(record[place["cut"]] if "cut" in place else None, name)
        attribute, aliases, attribute_problem = cell_answers(record[place["attribute"]])
        yield RawFact(
            entity=name,
            relation=cell_text(record[place["relation"]], "relation")[0] if "relation" in place else None,
            attribute=_shared(once, attribute),
            where=f"row {number}",
            aliases=aliases,
            template=_raw_text(record[place["template"]]) if "template" in place else None,
            prefix=_raw_text(record[place["prefix"]]) if "prefix" in place else None,
            cut=at,
            problem=name_problem or attribute_problem or cut_problem,
        )


def _wide(
    names: Sequence[str], entity: int, records: Iterable[Sequence[object] | RawFact], source: str, first_row: int
) -> Iterator[RawFact]:
    published = names[entity] == "athlete" and "sport" in names and not PUBLISHED_COLUMNS.isdisjoint(names)
    cuts = names.index("cut") if "cut" in names else None
    relations = [(i, name) for i, name in enumerate(names) if name and i not in (entity, cuts)]
    if published:
        relations = [(i, name) for i, name in relations if name == "sport"]
    once: dict[str, str] = {}
    for number, record in enumerate(records, first_row):
        if isinstance(record, RawFact):
            yield record
            continue
        name, name_problem = cell_text(record[entity], "entity")
        at, cut_problem = cell_cut(None if cuts is None else record[cuts], name)
        where = f"row {number}"
        for i, relation in relations:
            attribute, aliases, attribute_problem = cell_answers(record[i])
            yield RawFact(
                entity=name,
                relation=relation,
                attribute=_shared(once, attribute),
                where=where,
                aliases=aliases,
                template=SPORT_TEMPLATE if published else None,
                prefix=SPORT_PREFIX if published else None,
                cut=at,
                problem=name_problem or attribute_problem or cut_problem,
                gap=bool(name) and attribute_problem in ("", GAP) and not attribute,
            )


def _raw_text(value: object) -> str | None:
    """A template or prefix keeps its blanks (a prefix ends in a line break); missing = not given."""
    if isinstance(value, str):
        return value
    text, _ = cell_text(value, "template")
    return text or None
