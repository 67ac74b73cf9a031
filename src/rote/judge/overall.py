"""One word for each hypothesis, from the counts of its verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rote.catalog import HYPOTHESES, VERDICTS, hypothesis, standing
from rote.records.outcomes import Outcome


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A hypothesis in one relation: how many tests gave each verdict, the word, and one sentence."""

    relation: str | None
    hypothesis: str
    counts: Mapping[str, int]
    word: str
    sentence: str


def overall(outcomes: Iterable[Outcome]) -> tuple[Standing, ...]:
    """Every hypothesis of every relation, in the order of the outcomes and the catalog.

    `survives`: at least one test is consistent and none inconsistent; `contradicted`: the converse; `disputed`:
    both; else `undecided`. Tests are counted, never pooled into a score.
    """
    grouped: dict[tuple[str | None, str], list[Outcome]] = {}
    relations: dict[str | None, None] = {}
    for outcome in outcomes:
        relations.setdefault(outcome.relation)
        grouped.setdefault((outcome.relation, outcome.hypothesis), []).append(outcome)
    return tuple(
        _standing(relation, card.name, grouped[relation, card.name])
        for relation in relations
        for card in HYPOTHESES
        if (relation, card.name) in grouped
    )


def _standing(relation: str | None, name: str, outcomes: list[Outcome]) -> Standing:
    counts = {verdict: sum(o.verdict == verdict for o in outcomes) for verdict in VERDICTS}
    word = standing(consistent=counts["consistent"], inconsistent=counts["inconsistent"])
    return Standing(
        relation=relation, hypothesis=name, counts=counts, word=word, sentence=_sentence(name, word, counts, outcomes)
    )


def _sentence(name: str, word: str, counts: Mapping[str, int], outcomes: list[Outcome]) -> str:
    parts = [f"{n} {verdict}{_by(verdict, outcomes)}" for verdict, n in counts.items() if n]
    tests = "test" if len(outcomes) == 1 else "tests"
    silent = counts["not decisive"] + counts["not applicable"] == len(outcomes)
    text = f"{hypothesis(name).title} {'is ' if word != 'survives' else ''}{word}: of {len(outcomes)} {tests}, "
    text += ", ".join(parts)
    return text + ("; no test could tell." if silent else ".")


def _by(verdict: str, outcomes: list[Outcome]) -> str:
    if verdict not in ("consistent", "inconsistent"):
        return ""
    return f" ({', '.join(o.statistic for o in outcomes if o.verdict == verdict)})"
