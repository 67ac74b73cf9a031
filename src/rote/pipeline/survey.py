"""How much of a table a model knows, question by question: to find the question before the facts are studied."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rote.asking import ask
from rote.errors import FactsError, InputError, SettingsError
from rote.facts import FactTable, RelationPrompts, read_facts
from rote.model import Model
from rote.model.memory import keep_freed_memory
from rote.model.shared_prefix import SharingModel
from rote.pipeline.questions import Questions, said
from rote.settings import KNOWN, Settings
from rote.statistics import rng

MOST_ASKED = 100  # facts of a relation, the same for every question


@dataclass(frozen=True, kw_only=True)
class Surveyed:
    """How a relation was answered in one wording; the counts are None, with a reason, where it cannot be asked.

    Attributes:
        template, shots, chat: the wording.
        n_facts: facts that were asked, of `n_in_all` that could be.
        n_answers: different answers of all these.
        probability, top1, among_answers: facts known, counted in each of the ways of `Settings.known`.
        commonest: share of the commonest answer among the facts asked.
    """

    relation: str
    template: str
    shots: int
    chat: bool
    n_facts: int = 0
    n_in_all: int = 0
    n_answers: int = 0
    probability: int | None = None
    top1: int | None = None
    among_answers: int | None = None
    commonest: float | None = None
    reason: str | None = None


def survey(
    model: Model,
    facts: FactTable | str | Path | pd.DataFrame,
    *,
    shots: Sequence[int] = (0, 1, 4, 8),
    relation: str | Sequence[str] | None = None,
    templates: Sequence[str] = (),
    settings: Settings | None = None,
) -> pd.DataFrame:
    """One row per relation, template and number of shots, with the columns of `Surveyed`; nothing is stored.

    At most `MOST_ASKED` facts of each relation are asked, seeded. InputError for facts, templates or shots that cannot
    be used; where a single wording cannot be asked, its row says why.
    """
    table = facts if isinstance(facts, FactTable) else read_facts(facts)
    rows = surveyed(model, table, shots=shots, relation=relation, templates=templates, settings=settings)
    return as_table(rows)


def surveyed(
    model: Model,
    table: FactTable,
    *,
    shots: Sequence[int],
    relation: str | Sequence[str] | None = None,
    templates: Sequence[str] = (),
    settings: Settings | None = None,
) -> Iterator[Surveyed]:
    """The rows of `survey` one by one, as soon as they are known."""
    settings = settings or Settings()
    numbers = sorted(set(shots))
    tables = worded_tables(table, relation, templates)
    each = [replace(settings, shots=n) for n in numbers]  # SettingsError for numbers out of range
    if not each:
        raise SettingsError("no number of shots was given; expected one at least, such as 0")
    keep_freed_memory()
    model = SharingModel.of(model.with_fast_products())
    asking = [Questions(model=model, table=worded, settings=each[-1]) for worded in tables]
    for name in [r.name for r in tables[0].relations]:
        for questions in asking:
            for n in numbers:
                yield _row(questions.with_shots(n), questions, name)


def worded_tables(table: FactTable, relation: str | Sequence[str] | None, templates: Sequence[str]) -> list[FactTable]:
    """The relations asked for, once in every template; FactsError where one template is for several relations."""
    chosen = table if relation is None else table.select(relation)
    if not templates:
        return [chosen]
    problems: list[str] = []
    found: list[FactTable] = []
    for template in dict.fromkeys(templates):
        try:
            found.append(chosen.with_prompts(template=template))
        except FactsError as error:
            problems += error.problems
    if problems:
        raise FactsError(problems)
    return found


def _row(questions: Questions, most: Questions, name: str) -> Surveyed:
    assert questions.table is not None
    settings, described = questions.settings, questions.table.relation(name)
    wording: dict[str, Any] = {
        "relation": name,
        "template": described.template,
        "shots": settings.shots,
        "chat": settings.chat,
    }
    try:
        prompts = questions.of(name)
    except FactsError as error:
        return Surveyed(**wording, reason=said(error))
    try:
        shown = {fact.entity for fact in most.examples(name)}  # so that every number of shots is asked the same facts
    except FactsError:
        shown = set()
    rows = _sampled(prompts, shown, settings.seed)
    if not len(rows):
        return Surveyed(**wording, reason="no fact is left beside the examples")
    known = ask(questions.model, prompts.take(rows), settings)
    cls = prompts.cls[rows]
    counts: dict[str, Any] = {how: int(known.by(how, cls, settings).sum()) for how in KNOWN}
    return Surveyed(
        **wording,
        n_facts=len(rows),
        n_in_all=len(prompts),
        n_answers=len(prompts.classes),
        **counts,
        commonest=float(np.bincount(cls).max() / len(cls)),
    )


def _sampled(prompts: RelationPrompts, shown: set[str], seed: int) -> np.ndarray:
    """The facts to ask: at most `MOST_ASKED` that are no examples, in an order that the table does not decide."""
    able = sorted((entity, i) for i, entity in enumerate(prompts.entities) if entity not in shown)
    order = rng(seed, "survey", prompts.relation.name).permutation(len(able))[:MOST_ASKED]
    return np.array([able[i][1] for i in order], dtype=np.int64)


def as_table(rows: Iterable[Surveyed]) -> pd.DataFrame:
    """The rows as a table; counts that are absent are missing values of a column of integers."""
    frame = pd.DataFrame([asdict(row) for row in rows], columns=list(Surveyed.__dataclass_fields__))
    return frame.astype(dict.fromkeys(KNOWN, "Int64"))


WRITERS = {
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".parquet": lambda frame, path: frame.to_parquet(path, index=False),
    ".json": lambda frame, path: frame.to_json(path, orient="records", indent=1, force_ascii=False),
}


def out_problems(out: Path) -> list[str]:
    """The sentence about a file that the table cannot be written to."""
    if out.suffix.lower() not in WRITERS:
        return [f"{out} has the suffix {out.suffix!r}; expected one of {', '.join(WRITERS)}"]
    if os.path.lexists(out):
        return [f"{out} exists; choose another file, since nothing is overwritten"]
    if not out.absolute().parent.is_dir():
        return [f"{out} cannot be written: expected a file in a folder that exists"]
    return []


def write(frame: pd.DataFrame, out: Path) -> None:
    """The table as a new file, by its suffix; InputError where it cannot be written, or where there is one by now."""
    if problems := out_problems(out):
        raise InputError(problems)
    try:
        WRITERS[out.suffix.lower()](frame, out)
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error}); choose another place") from error
