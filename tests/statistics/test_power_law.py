"""Exponents: exact on exact laws, and covered by their intervals at the promised rate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rote.errors import NotApplicable
from rote.statistics import exponent, mean_of_runs

X = np.array([8.0, 12, 16, 24, 32, 48])


@pytest.mark.parametrize("a", [-1.0, 0.0, 0.5, 1.0, 1.7])
def test_an_exact_law_gives_its_exponent_and_no_width(a: float) -> None:
    found = exponent(X, 3 * X**a)
    assert found.value == pytest.approx(a, abs=1e-12)
    assert found.ci_low == pytest.approx(a, abs=1e-12) and found.ci_high == pytest.approx(a, abs=1e-12)
    assert found.n == len(X)


def test_it_is_scipys_regression_with_a_student_interval() -> None:
    y = X**1.2 * np.exp(np.random.default_rng(0).normal(0, 0.2, len(X)))
    found, line = exponent(X, y), stats.linregress(np.log(X), np.log(y))
    half = stats.t.ppf(0.975, len(X) - 2) * line.stderr
    assert found.value == pytest.approx(line.slope)
    assert (found.ci_low, found.ci_high) == pytest.approx((line.slope - half, line.slope + half))


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(1)
    slopes = [exponent(X, X**1.3 * np.exp(random.normal(0, 0.1, len(X)))) for _ in range(1000)]
    means = [mean_of_runs(random.normal(2.0, 1.0, 3)) for _ in range(1000)]
    for found, truth in ((slopes, 1.3), (means, 2.0)):
        covered = np.mean([e.ci_low <= truth <= e.ci_high for e in found])
        assert 0.93 < covered < 0.97


def test_a_curve_that_is_no_power_law_has_a_wide_interval() -> None:
    """What is off the line counts as error: a saturating curve is not reported as exactly known."""
    straight, bent = exponent(X, X**1.0), exponent(X, np.minimum(X, 16.0))
    assert bent.ci_high - bent.ci_low > 0.5 > straight.ci_high - straight.ci_low


def test_what_has_no_exponent_says_so() -> None:
    with pytest.raises(NotApplicable, match="at least 3 sizes; there are 2"):
        exponent(X[:2], X[:2])
    with pytest.raises(NotApplicable, match="1 of 6 values are not above zero"):
        exponent(X, X - 8)
    one = mean_of_runs(np.array([3.0]))
    assert (one.value, one.ci_low, one.n) == (3.0, None, 1)
