"""The interval in which the next member of a group is expected."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from rote.errors import NotApplicable
from rote.statistics.estimates import Estimate

_WIDTH = 2 * 1.96  # a 95 % interval in standard errors


def new_member(values: Sequence[float], lows: Sequence[float | None], highs: Sequence[float | None]) -> Estimate:
    """Mean of a group's members, with the interval for one more member of it.

    half-width = √((t·s)²·(1 + 1/k) + 1.96²·v), t the Student quantile with k − 1 degrees of freedom, s² the
    variance over the k members (k − 1 in the denominator), v the mean over members of ((high − low)/3.92)², which
    is 0 for a member without an interval. `lows` and `highs` are None or NaN there. One member has no spread to
    learn from and so no interval. The members' own variance is counted in s² as well, so the interval is too
    wide rather than too narrow where members are measured roughly.

    Raises NotApplicable where there is no member, ValueError for lengths that differ, values that are not finite,
    one end of an interval without the other, and intervals turned round. Source: the prediction interval of a
    normal sample.
    """
    value = np.asarray(values, dtype=float)
    low, high = np.asarray(lows, dtype=float), np.asarray(highs, dtype=float)
    if not value.ndim == low.ndim == high.ndim == 1 or not len(value) == len(low) == len(high):
        raise ValueError(f"{value.shape} values, {low.shape} lows, {high.shape} highs: expected one of each per member")
    if not len(value):
        raise NotApplicable("there is no member with this value")
    if not np.isfinite(value).all():
        raise ValueError(f"{np.sum(~np.isfinite(value))} of {len(value)} values are not finite: leave them out first")
    if (np.isnan(low) != np.isnan(high)).any() or (high < low).any():
        raise ValueError("every interval needs both ends, the low one first, or neither")
    k, mean = len(value), float(value.mean())
    if k == 1:
        return Estimate(value=mean, n=1)
    spread = student.ppf(0.975, k - 1) * value.std(ddof=1)
    own = np.nan_to_num((high - low) / _WIDTH) ** 2
    half = float(np.sqrt(spread**2 * (1 + 1 / k) + 1.96**2 * own.mean()))
    return Estimate(value=mean, ci_low=mean - half, ci_high=mean + half, n=k)
