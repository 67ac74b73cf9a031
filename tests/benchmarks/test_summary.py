"""Statistics of the benchmark: each with a case that it must tell apart."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from benchmarks.state import State
from benchmarks.summary import Ratio, agreement, doublings, per_unit, ratio, relative, share_of_peak


def test_a_ratio_compares_medians_per_unit_and_shows_the_rounds() -> None:
    found = ratio([2.0, 4.0, 6.0], 10, [1.0, 1.0, 2.0], 10)
    assert found == Ratio(value=4.0, low=2.0, high=4.0, rounds=3)
    assert ratio([2.0], 10, [1.0], 100).value == pytest.approx(20.0)  # fewer units, the same per unit
    assert str(found) == "4.00 (2.00–4.00)"
    assert str(ratio([2.0], 10, [1.0], 10)) == "2.00"  # one round has no spread


def test_per_unit_is_not_moved_by_one_slow_repetition() -> None:
    assert per_unit([1.0, 1.0, 100.0], 4) == 0.25


def test_agreement_is_relative_to_the_largest_value() -> None:
    b = {"effect": np.array([0.0, 10.0])}
    assert agreement({"effect": np.array([0.0005, 10.0])}, b) == pytest.approx(5e-5)
    assert agreement(b, b) == 0.0


@pytest.mark.parametrize(
    "found",
    [
        {"effect": np.zeros(2)},  # an intervention that silently does nothing
        {"effect": np.array([1.0, 2.0, 3.0])},
        {"effect": np.array([1.0, math.nan])},
        {"other": np.array([1.0, 2.0])},
    ],
)
def test_agreement_refuses(found: dict[str, np.ndarray]) -> None:
    assert not agreement(found, {"effect": np.array([1.0, 2.0])}) <= 1e-4


def test_argmaxes_may_differ_where_they_are_few() -> None:
    b = np.zeros(100)
    one, many = b.copy(), b.copy()
    one[0], many[:50] = 1, 1
    assert agreement({"accuracy": one}, {"accuracy": b}) == 0.0
    assert agreement({"accuracy": many}, {"accuracy": b}) == math.inf


def test_zero_everywhere_agrees_with_zero_only() -> None:
    assert relative(np.zeros(3), np.zeros(3)) == 0.0
    assert relative(np.full(3, 1e-9), np.zeros(3)) == math.inf


def test_growth_is_per_doubling() -> None:
    assert doublings([10, 20, 40], [1.0, 2.0, 4.0]) == pytest.approx([2.0, 2.0])
    assert doublings([10, 40], [1.0, 4.0]) == pytest.approx([2.0])
    assert doublings([10, 20], [1.0, 4.0]) == pytest.approx([4.0])  # quadratic shows


def test_share_of_the_peak() -> None:
    assert share_of_peak(50.0, 1.0, 100.0) == 0.5


def test_a_stopped_run_goes_on_and_another_plan_starts_afresh(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    State(path, {"plan": 1}).append(3.0, "cells", "a", "seconds")
    again = State(path, {"plan": 1})
    assert again.get("cells", "a", "seconds") == [3.0]
    assert again.get("parts") == 2
    assert State(path, {"plan": 2}).get("cells") is None
    again.drop("cells", "a")
    assert again.get("cells", "a", "seconds") is None
    assert not list(tmp_path.glob("*.tmp"))
