"""Reach and hulls: what a model that is made unlike the controls may still be said to meet."""

from __future__ import annotations

import pytest

from rote.judge import Position, decide

EXACT = Position(name="exact", value=0.0, low=0.0, high=0.0, members=20)
FAR = Position(name="far", value=1.0, low=0.8, high=1.2, members=20)
MIDDLE = Position(name="middle", value=0.6, low=0.55, high=0.65, members=20)


def model(value: float, half: float = 0.01) -> Position:
    return Position(name="effective", value=value, low=value - half, high=value + half)


def test_without_reach_an_exact_control_is_met_by_nothing_that_is_nearly_so() -> None:
    assert decide(model(0.05), [EXACT], [FAR]).verdict == "in between"
    assert decide(model(0.005), [EXACT], [FAR]).verdict == "consistent"


@pytest.mark.parametrize(("value", "verdict"), [(0.05, "consistent"), (0.4, "in between"), (0.7, "inconsistent")])
def test_reach_is_a_share_of_the_gap_on_either_side(value: float, verdict: str) -> None:
    """The gap is 0.8, so a reach of 0.2 takes both controls 0.16 further: to 0.16 and from 0.64."""
    assert decide(model(value), [EXACT], [FAR], reach=0.2).verdict == verdict
    assert decide(model(value), [FAR], [EXACT], reach=0.2).verdict == {
        "consistent": "inconsistent",
        "inconsistent": "consistent",
        "in between": "in between",
    }.get(verdict)


def test_reach_never_makes_a_model_meet_both_sides() -> None:
    for value in (0.3, 0.4, 0.5):
        assert decide(model(value, 0.0), [EXACT], [FAR], reach=0.49).verdict != "not decisive"
    assert decide(model(0.4, 0.0), [EXACT], [FAR], reach=0.49).verdict == "in between"


def test_reach_also_works_outwards() -> None:
    assert decide(model(1.3), [EXACT], [FAR]).verdict == "unlike all controls"
    assert decide(model(1.3), [EXACT], [FAR], reach=0.2).verdict == "inconsistent"
    assert decide(model(2.0), [EXACT], [FAR], reach=0.2).verdict == "unlike all controls"


def test_the_reason_says_what_was_reached() -> None:
    assert "within its reach of 0.16" in decide(model(0.05), [EXACT], [FAR], reach=0.2).reason
    assert "reach" not in decide(model(0.005), [EXACT], [FAR]).reason


def test_between_two_controls_of_one_side_is_on_that_side() -> None:
    between = model(0.72)
    assert decide(between, [EXACT], [MIDDLE, FAR]).verdict == "inconsistent"
    assert decide(between, [MIDDLE, FAR], [EXACT]).verdict == "consistent"
    # the positive control: where the sides interleave, the gap belongs to neither
    last = Position(name="last", value=1.5, low=1.4, high=1.6, members=20)
    assert decide(between, [MIDDLE, last], [EXACT, FAR]).verdict == "in between"
