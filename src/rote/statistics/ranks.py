"""ROC AUCs of many scores for many labellings at once, from average ranks: a search over neurons costs one product."""

from __future__ import annotations

from functools import partial

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import mannwhitneyu, rankdata


def average_ranks(scores: Float[np.ndarray, "score obs"]) -> Float[np.ndarray, "score obs"]:
    """Ranks 1..n of each row's values; equal values share the mean of their places. Raises ValueError for NaN, infinity
    or another shape.
    """
    scores = np.asarray(scores)
    if scores.ndim != 2 or not np.isfinite(scores).all():
        raise ValueError(f"scores have the shape {scores.shape}: expected [score, obs] of finite numbers")
    return np.asarray(rankdata(scores, axis=1))


def aucs_of_ranks(
    ranks: Float[np.ndarray, "score obs"], labels: Bool[np.ndarray, "obs label"]
) -> Float[np.ndarray, "score label"]:
    """AUC = (Σ ranks of the positives − n₁(n₁ + 1)/2) / (n₁·n₀) of every score for every labelling.

    The area under each pair's ROC curve, ties counting ½; NaN where a labelling lacks one of its groups.
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
    """One-sided p-value (a probability) of each score's AUC for its own labels, both groups of which hold something.

    How often chance gives an AUC as high: the normal approximation with the variance under permutation, which holds
    the correction for ties; no correction for continuity. 1 where all scores are equal, since every permutation gives
    that AUC. Source: Mann & Whitney (1947).
    """
    test = partial(mannwhitneyu, alternative="greater", method="asymptotic", use_continuity=False)
    p = [test(row[own], row[~own]).pvalue for row, own in zip(ranks, labels, strict=True)]
    return np.where(np.ptp(ranks, axis=1) > 0, p, 1.0)
