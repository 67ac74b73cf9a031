"""Which relations of a table are studied: those that were asked for, else all, unless these are many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rote.errors import FactsError
from rote.experiments.base import Experiment
from rote.facts import FactTable
from rote.facts.table import cut

MOST_UNASKED = 8  # relations that are studied, circuit and all, without anybody having named them
_MOST_LISTED = 60

Counts = Mapping[str, tuple[int, int]]  # per relation: facts, and answers that they have


def studied(
    table: FactTable,
    relation: str | Sequence[str] | None,
    experiments: Sequence[Experiment],
    counts: Counts | None = None,
) -> list[str]:
    """The names of the relations to study.

    FactsError for a relation that the table has not; and where none was named although there are more than
    `MOST_UNASKED` and a circuit is to be searched for in each: with what can be studied, by `counts` (of facts that
    can be asked; by default of all). Experiments that only ask facts run on any number of relations.
    """
    if relation is not None:
        return [r.name for r in table.select(relation).relations]
    if len(table.relations) > MOST_UNASKED and any(e.card.needs_circuit for e in experiments):
        raise FactsError(_too_many(table, _counted(table) if counts is None else counts))
    return [r.name for r in table.relations]


def _counted(table: FactTable) -> Counts:
    answers: dict[str, list[str]] = {r.name: [] for r in table.relations}
    for fact in table.facts:
        answers[fact.relation].append(fact.attribute)
    return {name: (len(of), len(set(of))) for name, of in answers.items()}


def _too_many(table: FactTable, counts: Counts) -> list[str]:
    able = sorted((name for name, (_, n_answers) in counts.items() if n_answers > 1), key=lambda n: (-counts[n][0], n))
    lines = [f"  {counts[n][0]:,} facts, {counts[n][1]:,} answers: {cut(n)}" for n in able[:_MOST_LISTED]]
    more = [f"  and {len(able) - _MOST_LISTED} more"] if len(able) > _MOST_LISTED else []
    best = able[0] if able else table.relations[0].name
    return [
        f"{table.name} has {len(table.relations)} relations and none was chosen; expected at most {MOST_UNASKED}, "
        f"since a circuit is searched for in each: choose with --relation {cut(best)!r} (repeatable; relation=…), or "
        f"ask facts alone with --experiments known_facts. {len(able)} can be studied:",
        *lines,
        *more,
    ]
