"""Error rate and power of the rule where the truth is known: members drawn from the controls' own distributions."""

from __future__ import annotations

import numpy as np
import pytest

from rote.judge import Position, decide
from rote.statistics import new_member, rng

DRAWS = 1000


def control(name: str, members: np.ndarray) -> Position:
    found = new_member(members.tolist(), [None] * len(members), [None] * len(members))
    return Position(name=name, value=found.value, low=found.ci_low, high=found.ci_high, members=found.n)


def verdict_counts(k: int, distance_sd: float, truth: str) -> dict[str, int]:
    """Verdicts on a model that is one more member of one of two controls, `distance_sd` apart."""
    generator = rng(0, "judge_rates", f"{k}/{distance_sd}/{truth}")
    counts: dict[str, int] = {}
    for _ in range(DRAWS):
        with_, without = generator.normal(0, 1, k), generator.normal(distance_sd, 1, k)
        value = float(generator.normal(0 if truth == "with" else distance_sd, 1))
        found = decide(Position(name="effective", value=value), [control("with", with_)], [control("without", without)])
        counts[found.verdict] = counts.get(found.verdict, 0) + 1
    return counts


@pytest.mark.parametrize("k", [5, 20])
@pytest.mark.parametrize("distance_sd", [0.5, 2.0, 4.0, 6.0, 12.0])
def test_a_member_of_a_control_with_the_property_is_spoken_against_in_at_most_5_percent(
    k: int, distance_sd: float
) -> None:
    counts = verdict_counts(k, distance_sd, "with")
    wrong, decided = counts.get("inconsistent", 0), DRAWS - counts.get("not decisive", 0)
    assert wrong <= 0.05 * DRAWS
    # and among the decided ones alone, where there are enough of them to say
    assert decided < 100 or wrong <= 0.05 * decided


@pytest.mark.parametrize("k", [5, 20])
@pytest.mark.parametrize(("truth", "verdict"), [("with", "consistent"), ("without", "inconsistent")])
def test_far_apart_the_rule_decides_and_rightly(k: int, truth: str, verdict: str) -> None:
    counts = verdict_counts(k, 12.0, truth)
    assert counts[verdict] >= 0.8 * DRAWS
    other = "inconsistent" if verdict == "consistent" else "consistent"
    assert counts.get(other, 0) <= 0.05 * DRAWS


@pytest.mark.parametrize("k", [5, 20])
def test_where_the_controls_are_the_same_the_rule_does_not_decide(k: int) -> None:
    # the positive control of the one above: power comes from the distance and not from a rule that always decides
    assert verdict_counts(k, 0.0, "with").get("not decisive", 0) >= 0.99 * DRAWS
