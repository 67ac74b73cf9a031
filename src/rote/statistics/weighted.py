"""Statistics of weighted observations, for many vectors of weights at once: no interval refits a model.

`weights` has the shape [... obs]; results have the shape [...]. A result is NaN where it is undefined under
its weights (no weight, or a class without weight): the bootstrap drops and counts such resamples.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Shaped

_STRETCH = 40  # values that are looked through one by one


def weighted_mean(values: Float[np.ndarray, " obs"], weights: Float[np.ndarray, "... obs"]) -> Float[np.ndarray, "..."]:
    """Σ w·v / Σ w; exactly the constant where `values` is constant."""
    values = np.asarray(values, dtype=float)
    origin = values[0] if len(values) else 0.0  # Σ w·v / Σ w of a constant v would be off by rounding
    return np.asarray(origin + ratio(weights @ (values - origin), weights.sum(axis=-1)))


def ratio(above: Float[np.ndarray, "..."], below: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """above / below, NaN where below is 0."""
    above, below = np.broadcast_arrays(np.asarray(above, dtype=float), np.asarray(below, dtype=float))
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0))


def weighted_median(
    values: Float[np.ndarray, " obs"], weights: Float[np.ndarray, "... obs"]
) -> Float[np.ndarray, "..."]:
    """The value with half of the weight below it; halfway between two values where the weight splits evenly.

    With equal weights this is the ordinary median; with whole weights, the median of the repeated values.
    """
    values = np.asarray(values, dtype=float)
    order = np.argsort(values, kind="stable")
    ordered, cumulative = values[order], np.cumsum(weights[..., order], axis=-1)
    if not len(values):
        return np.full(cumulative.shape[:-1], np.nan)
    total = cumulative[..., -1:]
    low = np.argmax(cumulative >= total / 2, axis=-1)  # the first that reaches half
    high = np.argmax(cumulative > total / 2, axis=-1)  # the first that passes it
    middle = ordered[low] + (ordered[high] - ordered[low]) / 2
    return np.where(total[..., 0] > 0, middle, np.nan)


def weighted_medians(
    values: Float[np.ndarray, "obs column"], weights: Float[np.ndarray, "resample obs"]
) -> Float[np.ndarray, "resample column"]:
    """`weighted_median` of every column under every vector of whole weights, NaN where there is no weight.

    Sums over stretches of 40 sorted values say in which of them the middle lies; only that one is looked through.
    """
    n, n_resamples = len(values), len(weights)
    total = weights.sum(axis=1)
    half, n_stretches = total / 2, -(-n // _STRETCH)
    # whole weights below 2²⁴ have exact sums in half the memory
    counts = np.zeros((n_stretches * _STRETCH, n_resamples), dtype=np.float32 if total.max() < 2**24 else float)
    found = np.full((n_resamples, values.shape[1]), np.nan)
    each = np.arange(n_resamples)
    for column, unsorted in enumerate(values.T):
        order = np.argsort(unsorted, kind="stable")
        counts[:n] = weights.T[order]
        stretches = counts.reshape(n_stretches, _STRETCH, n_resamples)
        ends = np.cumsum(stretches.sum(axis=1), axis=0)
        ordered, places = unsorted[order], []
        for reached in (np.less, np.less_equal):  # the first value that reaches half, the first that passes it
            stretch = np.minimum(np.count_nonzero(reached(ends, half), axis=0), n_stretches - 1)
            before = np.where(stretch > 0, ends[stretch - 1, each], 0.0)
            inside = before[:, None] + np.cumsum(stretches[stretch, :, each], axis=1)
            places.append(stretch * _STRETCH + np.count_nonzero(reached(inside, half[:, None]), axis=1))
        low, high = (ordered[np.minimum(place, n - 1)] for place in places)
        found[:, column] = np.where(total > 0, low + (high - low) / 2, np.nan)
    return found


def balanced_accuracy(
    correct: Bool[np.ndarray, " obs"], cls: Shaped[np.ndarray, " obs"], weights: Float[np.ndarray, "... obs"]
) -> Float[np.ndarray, "..."]:
    """Mean over classes of the accuracy within the class (recall); NaN where a class has no weight."""
    correct, cls = np.asarray(correct, dtype=float), np.asarray(cls)
    recalls = [weighted_mean(correct[cls == value], weights[..., cls == value]) for value in np.unique(cls)]
    if not recalls:
        return np.full(weights.shape[:-1], np.nan)
    return np.asarray(np.mean(np.stack(recalls), axis=0))


def weighted_auc(
    scores: Float[np.ndarray, " obs"], labels: Bool[np.ndarray, " obs"], weights: Float[np.ndarray, "... obs"]
) -> Float[np.ndarray, "..."]:
    """Area under the ROC curve (0 to 1): weighted share of (positive, negative) pairs in the right order, ties ½.

    Σᵢⱼ wᵢ wⱼ (1[sᵢ > sⱼ] + ½·1[sᵢ = sⱼ]) / (Σᵢ wᵢ · Σⱼ wⱼ), i over positives, j over negatives.
    NaN where one of the two has no weight.
    """
    scores, labels = np.asarray(scores, dtype=float), np.asarray(labels, dtype=bool)
    if not len(scores):
        return np.full(weights.shape[:-1], np.nan)
    order = np.argsort(scores, kind="stable")
    ordered, positive, weights = scores[order], labels[order], weights[..., order]
    new = np.r_[True, ordered[1:] != ordered[:-1]]
    run = np.cumsum(new) - 1  # the number of each score's run of ties
    start, stop = np.flatnonzero(new)[run], np.r_[np.flatnonzero(new)[1:], len(ordered)][run]
    beaten = np.zeros((*weights.shape[:-1], len(ordered) + 1))  # weight of the negatives before each place
    np.cumsum(weights * ~positive, axis=-1, out=beaten[..., 1:])
    # negatives before a run of ties plus those before its end: twice (those beaten + half of those tied)
    losers = beaten[..., start[positive]] + beaten[..., stop[positive]]
    above = weights[..., positive]
    return ratio(np.einsum("...i,...i->...", above, losers) / 2, above.sum(axis=-1) * beaten[..., -1])


def weighted_cohens_d(
    values: Float[np.ndarray, " obs"], labels: Bool[np.ndarray, " obs"], weights: Float[np.ndarray, "... obs"]
) -> Float[np.ndarray, "..."]:
    """(mean of True − mean of False) / pooled SD, weights as frequencies: SD² = (SS₁ + SS₀) / (W₁ + W₀ − 2).

    NaN where a group has no weight, the weights sum to 2 or less, or nothing varies within the groups.
    """
    values, labels = np.asarray(values, dtype=float), np.asarray(labels, dtype=bool)
    values = values - values.mean() if len(values) else values  # the difference of squares below needs it
    means, squares, totals = [], [], []
    for group in (labels, ~labels):
        part, weight = values[group], weights[..., group]
        total = weight.sum(axis=-1)
        mean = weighted_mean(part, weight)
        means.append(mean)
        squares.append(np.maximum(weight @ part**2 - total * mean**2, 0.0))
        totals.append(total)
    variance = ratio(squares[0] + squares[1], np.maximum(totals[0] + totals[1] - 2, 0.0))
    # a constant group leaves squares of rounding; taken for a spread they would make the effect enormous
    tiny = (64 * np.finfo(float).eps) ** 2 * (np.square(values).max() if len(values) else 0.0)
    return ratio(means[0] - means[1], np.sqrt(np.where(variance > tiny, variance, 0.0)))
