"""Two groups compared."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from rote.errors import NotApplicable
from rote.statistics.weighted import weighted_cohens_d


def cohens_d(a: Float[np.ndarray, " a"], b: Float[np.ndarray, " b"]) -> float:
    """(mean a − mean b) / pooled SD, with SD² = (SSₐ + SS_b) / (nₐ + n_b − 2).

    Raises NotApplicable where a group is empty, both have one value, or nothing varies; ValueError for values that
    are not finite. Source: Cohen (1988).
    """
    values = np.concatenate([np.asarray(a, dtype=float), np.asarray(b, dtype=float)])
    if not np.isfinite(values).all():
        raise ValueError(f"{np.sum(~np.isfinite(values))} of {len(values)} values are not finite: leave them out first")
    d = float(weighted_cohens_d(values, np.arange(len(values)) < len(a), np.ones(len(values))))
    if np.isnan(d):
        raise NotApplicable(f"an effect size needs two groups that vary: there are {len(a)} and {len(b)} values")
    return d
