"""Two groups compared."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from rote.errors import NotApplicable
from rote.statistics.weighted import weighted_auc, weighted_cohens_d


def auc(scores: Float[np.ndarray, " obs"], labels: Bool[np.ndarray, " obs"]) -> float:
    """Area under the ROC curve by ranks: P(score of a True > score of a False) + ½ P(equal).

    Raises NotApplicable where one of the groups is empty. Source: Hanley & McNeil (1982).
    """
    scores, labels = _paired(scores, labels)
    if labels.all() or not labels.any():
        raise NotApplicable(f"an AUC needs both groups: there are {labels.sum()} and {(~labels).sum()} of them")
    return float(weighted_auc(scores, labels, np.ones(len(scores))))


def cohens_d(a: Float[np.ndarray, " a"], b: Float[np.ndarray, " b"]) -> float:
    """(mean a − mean b) / pooled SD, with SD² = (SSₐ + SS_b) / (nₐ + n_b − 2).

    Raises NotApplicable where a group is empty, both have one value, or nothing varies. Source: Cohen (1988).
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    values, labels = _paired(np.concatenate([a, b]), np.arange(len(a) + len(b)) < len(a))
    d = float(weighted_cohens_d(values, labels, np.ones(len(values)))) if len(values) else np.nan
    if np.isnan(d):
        raise NotApplicable(f"an effect size needs two groups that vary: there are {len(a)} and {len(b)} values")
    return d


def _paired(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, labels = np.asarray(values, dtype=float), np.asarray(labels, dtype=bool)
    if values.shape != labels.shape or values.ndim != 1:
        raise ValueError(f"values have the shape {values.shape} and labels {labels.shape}: expected [obs] for both")
    if not np.isfinite(values).all():
        raise ValueError(f"{np.sum(~np.isfinite(values))} of {len(values)} values are not finite: leave them out first")
    return values, labels
