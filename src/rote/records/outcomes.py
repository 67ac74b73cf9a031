"""The entries of outcomes.json: verdicts with the values that they rest on, and a hypothesis's standing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypedDict

from rote.catalog import standing
from rote.catalog.hypotheses import cell_name

CONSISTENT, INCONSISTENT = "consistent", "inconsistent"
NOT_DECISIVE, NOT_APPLICABLE = "not decisive", "not applicable"
# verdicts of tests that can tell their own controls apart
DECISIVE = (CONSISTENT, INCONSISTENT, "in between", "unlike all controls")


# Float32 arithmetic gives an exact zero back as 1e-7 or so: intervals this near each other meet. The statistics
# that are judged are shares and rates of order 1.
TOLERANCE = 1e-5


class PositionFields(TypedDict):
    """A control in outcomes.json."""

    control: str
    value: float
    low: float | None
    high: float | None
    members: int | None


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where one stack stands on a statistic: value and interval, in its unit; without an interval it is the point."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    members: int | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """The interval; the value twice where there is none."""
        return (self.value if self.low is None else self.low, self.value if self.high is None else self.high)

    def meets(self, other: Position) -> bool:
        """Whether the intervals share a point, touching included, up to `TOLERANCE`."""
        (low, high), (other_low, other_high) = self.ends, other.ends
        return low <= other_high + TOLERANCE and other_low <= high + TOLERANCE

    def widened(self, by: float) -> Position:
        """The same place with an interval wider by this much at either end."""
        low, high = self.ends
        return replace(self, low=low - by, high=high + by)

    def distance(self, other: Position) -> float:
        """The gap between two intervals; 0 where they overlap."""
        (low, high), (other_low, other_high) = self.ends, other.ends
        return max(other_low - high, low - other_high, 0.0)

    @property
    def fields(self) -> PositionFields:
        return {
            "control": self.name,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "members": self.members,
        }


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One entry of outcomes.json: a hypothesis, the statistic it was judged by, the verdict and all its values.

    `with_controls` and `without_controls` hold the controls that were used as references.
    """

    hypothesis: str
    experiment: str
    statistic: str
    condition: str | None
    relation: str | None
    verdict: str
    value: float | None
    value_low: float | None
    value_high: float | None
    with_controls: tuple[Position, ...]
    without_controls: tuple[Position, ...]
    t: float | None
    reason: str

    @property
    def cell(self) -> str:
        """The name of the cell in certification.json."""
        return cell_name(self.hypothesis, self.experiment, self.statistic, self.condition)

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

    @property
    def as_dict(self) -> dict[str, Any]:
        """The fields in the order of the public format."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        for side in ("with_controls", "without_controls"):
            found[side] = [position.fields for position in found[side]]
        return found


OUTCOME_FIELDS = tuple(field.name for field in fields(Outcome))


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
    given = {name: entry[name] for name in OUTCOME_FIELDS}
    sides = {name: tuple(map(_position, given[name] or ())) for name in ("with_controls", "without_controls")}
    texts = {name: str(given[name] or "") for name in ("hypothesis", "experiment", "statistic", "verdict", "reason")}
    return Outcome(**{**given, **texts, **sides})


def _position(entry: Mapping[str, Any]) -> Position:
    numbers = {name: entry[name] for name in ("value", "low", "high")}
    return Position(name=str(entry["control"]), members=entry.get("members"), **numbers)
