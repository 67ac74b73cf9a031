"""Exponents of power laws, and means of a few independent runs, with Student intervals."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import stats

from rote.errors import NotApplicable
from rote.statistics.estimates import Estimate

_LEVEL = 0.975


def mean_of_runs(values: Float[np.ndarray, " run"]) -> Estimate:
    """Mean of independent runs ± t·s/√n, in their unit; without an interval where there is one run."""
    values = np.asarray(values, dtype=float)
    n = len(values)
    if n < 2:
        return Estimate(value=float(values.mean()), n=n)
    half = float(stats.t.ppf(_LEVEL, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Estimate(value=float(values.mean()), ci_low=values.mean() - half, ci_high=values.mean() + half, n=n)


def exponent(x: Float[np.ndarray, " point"], y: Float[np.ndarray, " point"]) -> Estimate:
    """a in y = b·xᵃ: the least-squares slope of log y on log x ± t·SE with n − 2 degrees of freedom.

    What is off the straight line counts as error, so points should be one per size (means over seeds), not one per run.
    NotApplicable for fewer than three different x, or where an x or y is not positive.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(np.unique(x)) < 3:
        raise NotApplicable(f"a slope with an interval needs at least 3 sizes; there are {len(np.unique(x))}")
    if (y <= 0).any() or (x <= 0).any():
        raise NotApplicable(f"{int((y <= 0).sum())} of {len(y)} values are not above zero, so they have no logarithm")
    # not linregress: its error comes from 1 − r², which on a straight line is rounding, and is NaN for a constant y
    coefficients, covariance = np.polyfit(np.log(x), np.log(y), 1, cov=True)
    slope, half = float(coefficients[0]), float(stats.t.ppf(_LEVEL, len(x) - 2) * np.sqrt(covariance[0, 0]))
    return Estimate(value=slope, ci_low=slope - half, ci_high=slope + half, n=len(x))
