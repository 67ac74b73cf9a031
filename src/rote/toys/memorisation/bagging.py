"""Are the neurons of a one-layer network like uncorrelated weak classifiers whose votes are added up?

The logit is a sum of one contribution per neuron, c_j = w_j h_j. A neuron votes by the sign of its contribution beside
the mean of the means of the two classes. The null deals each neuron's contributions out anew among the facts of each
class: every neuron keeps its strength and becomes independent of the others given the class, which is what bagging
supposes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True, kw_only=True, eq=False)
class Bagging:
    """One network's ensemble, and the mean over null draws of the same.

    `subset_accuracy[i]` is the accuracy of a random `shares[i]` of the neurons, mean over draws; the last is the sum
    of all of them.
    """

    vote_accuracy: float
    error_correlation: float  # NaN where fewer than two neurons vote both right and wrong
    error_correlation_null: float
    vote_count_variance: float
    vote_count_variance_null: float
    majority_accuracy: float
    majority_accuracy_null: float
    shares: tuple[float, ...]
    subset_accuracy: tuple[float, ...]
    subset_accuracy_null: tuple[float, ...]


SHARES = (0.0625, 0.125, 0.25, 0.5, 0.75, 1.0)


def bagging(
    contributions: Float[np.ndarray, "fact neuron"],
    label: Int[np.ndarray, " fact"],
    *,
    generator: np.random.Generator,
    n_draws: int = 20,
    n_null: int = 10,
) -> Bagging:
    """Measure one network; neurons that never vary are left out."""
    varies = contributions.std(0) > 1e-9 * max(float(contributions.std(0).max()), 1e-300)
    c, y = contributions[:, varies], np.asarray(label, dtype=bool)
    real = _ensemble(c, y, generator, n_draws)
    null = [_ensemble(dealt_anew(c, y, generator), y, generator, n_draws) for _ in range(n_null)]
    mean = np.mean([n[1:] for n in null], axis=0)  # NaN where one draw has none
    return Bagging(
        vote_accuracy=float(real[0]),
        error_correlation=float(real[1]),
        error_correlation_null=float(mean[0]),
        vote_count_variance=float(real[2]),
        vote_count_variance_null=float(mean[1]),
        majority_accuracy=float(real[3]),
        majority_accuracy_null=float(mean[2]),
        shares=SHARES,
        subset_accuracy=tuple(real[4:].tolist()),
        subset_accuracy_null=tuple(mean[3:].tolist()),
    )


def dealt_anew(
    contributions: Float[np.ndarray, "fact neuron"], label: Bool[np.ndarray, " fact"], generator: np.random.Generator
) -> Float[np.ndarray, "fact neuron"]:
    """Each neuron's contributions permuted among the facts of each class, independently of the other neurons."""
    dealt = contributions.copy()
    for cls in (False, True):
        dealt[label == cls] = generator.permuted(contributions[label == cls], axis=0)
    return dealt


def _ensemble(
    c: Float[np.ndarray, "fact neuron"], label: Bool[np.ndarray, " fact"], generator: np.random.Generator, n_draws: int
) -> Float[np.ndarray, " value"]:
    """Mean accuracy of a vote, correlation of two votes' errors, variance of the count of wrong votes over that of
    independent ones, the majority's accuracy, then the subsets'."""
    votes = centred(c, label) > 0
    wrong = votes != label[:, None]
    majority = votes.mean(1) + np.where(generator.random(len(votes)) < 0.5, 1e-9, -1e-9)  # a tie is a fair coin
    subsets = [_subset(c, label, share, generator, 1 if share == 1 else n_draws) for share in SHARES]
    errors = [mean_correlation(wrong), count_variance(wrong)]
    return np.array([1 - wrong.mean(), *errors, ((majority > 0.5) == label).mean(), *subsets])


def _subset(
    c: Float[np.ndarray, "fact neuron"],
    label: Bool[np.ndarray, " fact"],
    share: float,
    generator: np.random.Generator,
    n_draws: int,
) -> float:
    """Accuracy of the sum over random neurons, with the threshold between the two classes' means."""
    size = max(round(share * c.shape[1]), 1)
    members = np.stack([generator.permutation(c.shape[1])[:size] for _ in range(n_draws)])
    chosen = np.zeros((c.shape[1], n_draws))
    np.put_along_axis(chosen, members.T, 1.0, axis=0)
    return float(((centred(c @ chosen, label) > 0) == label[:, None]).mean())


def centred(
    values: Float[np.ndarray, "fact column"], label: Bool[np.ndarray, " fact"]
) -> Float[np.ndarray, "fact column"]:
    """Each column beside the midpoint of its means on the two classes."""
    return np.asarray(values - (values[label].mean(0) + values[~label].mean(0)) / 2)


def mean_correlation(wrong: Bool[np.ndarray, "fact neuron"]) -> float:
    """Mean Pearson correlation over pairs of columns that vary; 0 is independent, −1/(k − 1) the least that k can have.

    NaN where fewer than two columns vary.
    """
    x = wrong.astype(float)
    x = x[:, x.std(0) > 0]
    k = x.shape[1]
    if k < 2:
        return float("nan")
    z = (x - x.mean(0)) / x.std(0)
    total = float((z.sum(1) ** 2).mean())  # k + the sum over ordered pairs
    return float((total - k) / (k * (k - 1)))


def count_variance(wrong: Bool[np.ndarray, "fact neuron"]) -> float:
    """Var(Σ_j wrong_j) / Σ_j Var(wrong_j) over facts: 1 where votes err independently, less where errors make up for
    each other, more where they come together. NaN where no vote varies."""
    x = wrong.astype(float)
    single = x.var(0).sum()
    return float(x.sum(1).var() / single) if single > 0 else float("nan")
