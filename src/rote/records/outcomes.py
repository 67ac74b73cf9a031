"""outcomes.json as the report sees it: verdicts with the values they rest on, and a hypothesis's standing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rote.catalog import standing

CONSISTENT, INCONSISTENT = "consistent", "inconsistent"
NOT_DECISIVE, NOT_APPLICABLE = "not decisive", "not applicable"
# verdicts of tests that can tell their own controls apart
DECISIVE = (CONSISTENT, INCONSISTENT, "in between", "unlike all controls")


@dataclass(frozen=True, kw_only=True)
class ControlValue:
    """A control as a reference of one verdict: the mean of its members, the interval for a new member."""

    control: str
    value: float | None
    low: float | None
    high: float | None
    members: int | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One verdict: a hypothesis, the one statistic that it was judged by, and the values."""

    hypothesis: str
    experiment: str
    statistic: str
    condition: str | None
    relation: str | None
    verdict: str
    value: float | None
    low: float | None
    high: float | None
    with_controls: tuple[ControlValue, ...]
    without_controls: tuple[ControlValue, ...]
    t: float | None
    reason: str

    @property
    def decisive(self) -> bool:
        return self.verdict in DECISIVE

    @property
    def key(self) -> tuple[str, str, str, str | None, str | None]:
        """What one verdict is about; the same in every run."""
        return (self.hypothesis, *self.test)

    @property
    def test(self) -> tuple[str, str, str | None, str | None]:
        """The statistic alone: several hypotheses may be judged by it."""
        return (self.experiment, self.statistic, self.condition, self.relation)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """All verdicts on one hypothesis, counted and never pooled into a score."""

    hypothesis: str
    outcomes: tuple[Outcome, ...]

    def count(self, *verdicts: str) -> int:
        return sum(o.verdict in verdicts for o in self.outcomes)

    @property
    def consistent(self) -> int:
        return self.count(CONSISTENT)

    @property
    def inconsistent(self) -> int:
        return self.count(INCONSISTENT)

    @property
    def undecided(self) -> int:
        return len(self.outcomes) - self.consistent - self.inconsistent

    @property
    def standing(self) -> str:
        """The catalog's word for these counts."""
        return standing(consistent=self.consistent, inconsistent=self.inconsistent)


def judged(outcomes: Iterable[Outcome]) -> tuple[Judged, ...]:
    """Verdicts by hypothesis, in the order of outcomes.json."""
    grouped: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        grouped.setdefault(outcome.hypothesis, []).append(outcome)
    return tuple(Judged(hypothesis=name, outcomes=tuple(found)) for name, found in grouped.items())


def lined_up(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """The verdicts on relations that have a line-up: where no test is applicable, nothing was judged."""
    found = tuple(outcomes)
    with_line_up = {o.relation for o in found if o.verdict != NOT_APPLICABLE}
    return tuple(o for o in found if o.relation in with_line_up)


def read_outcome(entry: Mapping[str, Any]) -> Outcome:
    """One entry of outcomes.json. KeyError where a field of the public format is missing."""
    return Outcome(
        hypothesis=str(entry["hypothesis"]),
        experiment=str(entry["experiment"]),
        statistic=str(entry["statistic"]),
        condition=entry.get("condition"),
        relation=entry.get("relation"),
        verdict=str(entry["verdict"]),
        value=_real(entry["value"]),
        low=_real(entry["value_low"]),
        high=_real(entry["value_high"]),
        with_controls=tuple(map(_control, entry["with_controls"] or ())),
        without_controls=tuple(map(_control, entry["without_controls"] or ())),
        t=_real(entry["t"]),
        reason=str(entry["reason"] or ""),
    )


def _control(entry: Mapping[str, Any]) -> ControlValue:
    members = entry.get("members")
    return ControlValue(
        control=str(entry["control"]),
        value=_real(entry["value"]),
        low=_real(entry["low"]),
        high=_real(entry["high"]),
        members=None if members is None else int(members),
    )


def _real(value: Any) -> float | None:
    return None if value is None else float(value)
