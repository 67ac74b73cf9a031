"""ROC AUCs of many scores for many labellings at once, from average ranks: a search over neurons costs one product."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import ndtr
from scipy.stats import rankdata


def average_ranks(scores: Float[np.ndarray, "score obs"]) -> Float[np.ndarray, "score obs"]:
    """Ranks 1..n of each row's values; equal values share the mean of their places. Raises ValueError for NaN."""
    scores = np.asarray(scores)
    if scores.ndim != 2 or not np.isfinite(scores).all():
        raise ValueError(f"scores have the shape {scores.shape}: expected [score, obs] of finite numbers")
    return np.asarray(rankdata(scores, axis=1))


def aucs_of_ranks(
    ranks: Float[np.ndarray, "score obs"], labels: Bool[np.ndarray, "obs label"]
) -> Float[np.ndarray, "score label"]:
    """AUC = (Σ ranks of the positives − n₁(n₁ + 1)/2) / (n₁·n₀) of every score for every labelling.

    The same as `auc` of each pair, ties counting ½; NaN where a labelling lacks one of its groups.
    Source: Hanley & McNeil (1982).
    """
    positive = np.asarray(labels, dtype=float)
    n_1 = positive.sum(axis=0)
    pairs = n_1 * (len(positive) - n_1)
    above = ranks @ positive - n_1 * (n_1 + 1) / 2
    return np.asarray(np.divide(above, pairs, out=np.full(above.shape, np.nan), where=pairs > 0))


def mann_whitney_p(
    ranks: Float[np.ndarray, "score obs"], labels: Bool[np.ndarray, "score obs"]
) -> Float[np.ndarray, " score"]:
    """One-sided p-value of each score's AUC for its own labels: how often chance gives one as high.

    Normal approximation with the variance under permutation, n₁n₀ Σ(rank − mean rank)² / (n(n − 1)), which holds the
    correction for ties; no correction for continuity. 1 where all scores are equal, since every permutation gives
    that AUC; NaN where a group is empty. Source: Mann & Whitney (1947).
    """
    ranks, labels = np.asarray(ranks, dtype=float), np.asarray(labels, dtype=bool)
    n, n_1 = ranks.shape[1], labels.sum(axis=1)
    n_0, mean = n - n_1, (n + 1) / 2
    excess = (ranks * labels).sum(axis=1) - n_1 * mean
    variance = n_1 * n_0 * np.square(ranks - mean).sum(axis=1) / (n * max(n - 1, 1))
    z = np.divide(excess, np.sqrt(variance), out=np.zeros(len(ranks)), where=variance > 0)
    p = np.where(variance > 0, ndtr(-z), 1.0)
    return np.where((n_1 > 0) & (n_0 > 0), p, np.nan)
