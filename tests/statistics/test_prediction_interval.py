"""The interval for a new member covers new members, and says when it cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from rote.errors import NotApplicable
from rote.statistics import new_member, rng

NONE: list[float | None] = [None]


def literal(members: list[tuple[float, float | None, float | None]]) -> tuple[float, float]:
    """The half-width as the text has it, by loops."""
    k = len(members)
    mean = sum(value for value, _, _ in members) / k
    s2 = sum((value - mean) ** 2 for value, _, _ in members) / (k - 1)
    v = sum(0.0 if low is None or high is None else ((high - low) / 3.92) ** 2 for _, low, high in members) / k
    t = float(student.ppf(0.975, k - 1))
    return mean, math.sqrt((t * math.sqrt(s2)) ** 2 * (1 + 1 / k) + 1.96**2 * v)


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 2), st.booleans()), min_size=2, max_size=25),
)
def test_it_equals_the_literal_formula(drawn: list[tuple[float, float, bool]]) -> None:
    members = [(x, x - w, x + w) if has else (x, None, None) for x, w, has in drawn]
    found = new_member(*map(list, zip(*members, strict=True)))
    mean, half = literal(members)
    assert found.n == len(members) and found.ci_low is not None and found.ci_high is not None
    assert found.value == pytest.approx(mean, abs=1e-9)
    assert (found.ci_high - found.ci_low) / 2 == pytest.approx(half, abs=1e-6)


@pytest.mark.parametrize("k", [5, 20])
def test_it_covers_a_new_member_in_95_percent(k: int) -> None:
    draws = rng(0, "new_member", k).normal(0.3, 0.1, size=(4000, k + 1))
    covered = 0
    for row in draws:
        found = new_member(row[:k], NONE * k, NONE * k)
        assert found.ci_low is not None and found.ci_high is not None
        covered += found.ci_low <= row[k] <= found.ci_high
    assert covered / 4000 == pytest.approx(0.95, abs=0.011)  # three standard errors


def test_the_interval_of_the_mean_would_not_cover_one() -> None:
    # the positive control: without the variance of the new member itself, coverage is far from 95 %
    k, covered = 20, 0
    for row in rng(0, "new_member", "mean").normal(size=(1000, k + 1)):
        half = student.ppf(0.975, k - 1) * row[:k].std(ddof=1) / math.sqrt(k)
        covered += abs(row[k] - row[:k].mean()) <= half
    assert covered / 1000 < 0.5


def test_the_members_own_intervals_widen_it() -> None:
    bare = new_member([0.1, 0.2, 0.3], NONE * 3, NONE * 3)
    wide = new_member([0.1, 0.2, 0.3], [0.0, 0.1, 0.2], [0.2, 0.3, 0.4])
    assert wide.ci_low < bare.ci_low < bare.value == wide.value < bare.ci_high < wide.ci_high  # type: ignore[operator]


def test_one_member_has_no_interval_and_equal_members_have_a_point() -> None:
    one = new_member([0.4], [0.3], [0.5])
    assert (one.value, one.ci_low, one.ci_high, one.n) == (0.4, None, None, 1)
    equal = new_member([0.4, 0.4], NONE * 2, NONE * 2)
    assert (equal.ci_low, equal.ci_high, equal.n) == (0.4, 0.4, 2)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(NotApplicable, match="no member"):
        new_member([], [], [])
    with pytest.raises(ValueError, match="one of each per member"):
        new_member([0.1, 0.2], [None], [None])
    with pytest.raises(ValueError, match="1 of 2 values are not finite"):
        new_member([0.1, np.nan], NONE * 2, NONE * 2)
    with pytest.raises(ValueError, match="both ends"):
        new_member([0.1, 0.2], [0.0, None], [0.2, 0.3])
    with pytest.raises(ValueError, match="low one first"):
        new_member([0.1, 0.2], [0.3, 0.1], [0.2, 0.3])
