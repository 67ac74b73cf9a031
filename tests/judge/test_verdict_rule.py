"""The rule itself: every verdict, its edges, and what t means."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rote.judge import Position, Ruling, decide


def at(name: str, value: float, low: float | None = None, high: float | None = None) -> Position:
    return Position(name=name, value=value, low=low, high=high, members=20)


HASH = at("hash_lookup", 0.46, 0.40, 0.52)
STEP = at("single_step", 0.02, 0.00, 0.05)


def ruled(value: float, low: float | None = None, high: float | None = None) -> Ruling:
    return decide(at("effective", value, low, high), [HASH], [STEP])


def test_meeting_a_control_with_the_property_alone_is_consistent() -> None:
    found = ruled(0.44, 0.38, 0.51)
    assert found.verdict == "consistent"
    assert found.reason == (
        "0.44 [0.38, 0.51] meets hash_lookup 0.46 [0.40, 0.52] and none of single_step 0.02 [0.00, 0.05]"
    )
    assert found.t == pytest.approx((0.44 - 0.02) / (0.46 - 0.02))


def test_meeting_a_control_without_it_alone_is_inconsistent() -> None:
    found = ruled(0.03, 0.01, 0.06)
    assert found.verdict == "inconsistent"
    assert found.t == pytest.approx(0.01 / 0.44)
    assert "meets single_step 0.02 [0.00, 0.05] and none of hash_lookup" in found.reason


def test_meeting_both_or_the_gap_between_them_is_in_between() -> None:
    both, gap = ruled(0.2, 0.04, 0.45), ruled(0.2, 0.15, 0.25)
    assert both.verdict == gap.verdict == "in between"
    assert "and also" in both.reason and "meets none" in gap.reason


@pytest.mark.parametrize(("value", "side"), [(0.9, "above"), (-0.5, "below")])
def test_outside_the_hull_of_both_sides_is_unlike_all(value: float, side: str) -> None:
    found = ruled(value, value - 0.05, value + 0.05)
    assert found.verdict == "unlike all controls"
    assert f"lies {side} all controls" in found.reason
    assert found.t is not None and not 0 <= found.t <= 1


def test_overlapping_controls_decide_nothing_wherever_the_model_is() -> None:
    blurred = at("single_step", 0.35, 0.20, 0.45)
    for value in (-1.0, 0.3, 0.46, 2.0):
        found = decide(at("effective", value), [HASH], [blurred])
        assert (found.verdict, found.t) == ("not decisive", None)
        assert "cannot tell its own controls apart" in found.reason


def test_one_overlapping_pair_of_many_is_enough() -> None:
    fine = [at("a", 0.1, 0.05, 0.15), at("b", 0.2, 0.15, 0.25)]
    assert decide(at("effective", 0.1), [HASH], fine).verdict == "inconsistent"
    assert decide(at("effective", 0.1), [HASH], [*fine, at("c", 0.39, 0.3, 0.41)]).verdict == "not decisive"


def test_touching_counts_as_meeting() -> None:
    assert ruled(0.6, 0.52, 0.7).verdict == "consistent"
    assert ruled(0.6, 0.53, 0.7).verdict == "unlike all controls"
    touching = decide(at("effective", 0.5), [HASH], [at("single_step", 0.3, 0.2, 0.40)])
    assert touching.verdict == "not decisive"


def test_without_an_interval_it_is_the_point() -> None:
    points = [at("additive", 0.0)], [at("single_step", 0.3)]
    assert decide(at("effective", 0.3), *points).verdict == "inconsistent"
    assert decide(at("effective", 0.2, 0.1, 0.3), *points).verdict == "inconsistent"
    assert decide(at("effective", 0.1), *points).verdict == "in between"
    assert ruled(0.45).verdict == "consistent"


def test_rounding_of_an_exact_zero_is_no_difference_but_a_small_value_is() -> None:
    additive, step = at("additive", 2e-8, 0.0, 6e-8), at("single_step", 0.3, 0.2, 0.4)
    assert decide(at("effective", 9e-7, 8e-7, 1e-6), [additive], [step]).verdict == "consistent"
    found = decide(at("effective", 9e-4, 8e-4, 1e-3), [additive], [step])
    assert found.verdict == "in between"


def test_t_is_measured_from_the_nearest_of_each_side_and_null_on_no_distance() -> None:
    with_ = [at("a", 0.9, 0.85, 0.95), at("b", 0.6, 0.58, 0.62)]
    without = [at("c", 0.0, -0.1, 0.1), at("d", 0.3, 0.25, 0.35)]
    assert decide(at("effective", 0.45), with_, without).t == pytest.approx(0.5)
    # an interval that is not about its own mean: means equal, intervals disjoint
    odd = decide(at("effective", 0.5), [at("a", 0.5, 0.6, 0.7)], [at("b", 0.5, 0.3, 0.4)])
    assert (odd.verdict, odd.t) == ("in between", None)


def test_a_side_without_controls_is_for_the_caller() -> None:
    with pytest.raises(ValueError, match="on either side"):
        decide(HASH, [], [STEP])
    with pytest.raises(ValueError, match="on either side"):
        decide(HASH, [STEP], [])


def test_small_differences_are_written_in_enough_digits() -> None:
    found = decide(at("effective", 0.0021), [at("a", 0.0020, 0.0019, 0.0022)], [at("b", 0.0010, 0.0009, 0.0011)])
    assert "0.0021" in found.reason and "a 0.0020 [0.0019, 0.0022]" in found.reason
    negative = decide(at("effective", -0.3), [at("a", -0.3, -0.4, -0.2)], [at("b", 0.5, 0.4, 0.6)])
    assert "−0.30" in negative.reason


intervals = st.tuples(st.floats(-2, 2), st.floats(0, 0.5)).map(lambda x: (x[0], x[0] - x[1], x[0] + x[1]))
sides = st.lists(intervals, min_size=1, max_size=4)


@given(sides, sides, st.integers(0, 3), st.floats(0, 3))
def test_a_model_at_a_with_controls_mean_is_consistent_wherever_the_cell_decides(
    with_: list[tuple[float, float, float]], without: list[tuple[float, float, float]], which: int, half: float
) -> None:
    named = [at(f"w{i}", *x) for i, x in enumerate(with_)]
    others = [at(f"o{i}", *x) for i, x in enumerate(without)]
    there = named[which % len(named)].value
    found = decide(at("effective", there), named, others)
    assert found.verdict in ("consistent", "not decisive")
    assume(found.verdict == "consistent")
    assert found.t is None or found.t == pytest.approx(1)
    # however wide its own interval, a model there is never spoken against
    assert decide(at("effective", there, there - half, there + half), named, others).verdict in (
        "consistent",
        "in between",
    )


@given(sides, sides, intervals)
def test_exchanging_the_sides_turns_the_verdict_round(
    with_: list[tuple[float, float, float]],
    without: list[tuple[float, float, float]],
    model: tuple[float, float, float],
) -> None:
    named = [at(f"w{i}", *x) for i, x in enumerate(with_)]
    others = [at(f"o{i}", *x) for i, x in enumerate(without)]
    one, other = decide(at("effective", *model), named, others), decide(at("effective", *model), others, named)
    turned = {"consistent": "inconsistent", "inconsistent": "consistent"}
    assert other.verdict == turned.get(one.verdict, one.verdict)
    if one.t is not None and other.t is not None and abs(one.t) < 1e6:
        assert one.t + other.t == pytest.approx(1, abs=1e-6)
