"""Exact intervals of a share of independent cases."""

from __future__ import annotations

from scipy.stats import binomtest

from rote.errors import NotApplicable
from rote.statistics.estimates import Estimate


def clopper_pearson(n_found: int, n: int) -> Estimate:
    """The fraction n_found / n with its exact 95 % interval (Clopper and Pearson 1934); NotApplicable for no cases."""
    if n == 0:
        raise NotApplicable("there is no case to take a share of")
    interval = binomtest(n_found, n).proportion_ci(confidence_level=0.95, method="exact")
    return Estimate(value=n_found / n, ci_low=float(interval.low), ci_high=float(interval.high), n=n)
