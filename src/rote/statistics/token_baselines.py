"""What the tokens of a name give away by themselves: the baselines that a look-up has to beat.

Each function returns, for each entity, whether the baseline's guess is right, so that a bootstrap of its mean gives
the baseline's accuracy without any refit. `cls` holds class indices from 0.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.optimize import minimize


def baseline_majority(cls: Int[np.ndarray, " entity"]) -> Bool[np.ndarray, " entity"]:
    """Guess the commonest class among all other entities; of equally common ones, the lowest index."""
    cls = np.asarray(cls)
    return np.asarray(_others_majority(cls) == cls)


def baseline_last(
    cls: Int[np.ndarray, " entity"], last: Shaped[np.ndarray, " entity"]
) -> Bool[np.ndarray, " entity"]:
    """Guess the commonest class among the other entities with the same last token.

    Of equally common classes the one commoner among all others; the majority class where nobody shares the token.
    """
    return _shared_majority(np.asarray(cls), np.asarray(last))


def baseline_first(
    cls: Int[np.ndarray, " entity"], first: Shaped[np.ndarray, " entity"]
) -> Bool[np.ndarray, " entity"]:
    """Guess the commonest class among the other entities with the same first token; see `baseline_last`."""
    return _shared_majority(np.asarray(cls), np.asarray(first))


def _other_counts(cls: np.ndarray, group: np.ndarray) -> Int[np.ndarray, "entity cls"]:
    """Per entity, how many other members of its group are of each class."""
    n_cls = int(cls.max()) + 1 if len(cls) else 1
    _, index = np.unique(group, return_inverse=True)
    counts = np.zeros((int(index.max()) + 1 if len(index) else 0, n_cls), dtype=int)
    np.add.at(counts, (index, cls), 1)
    others = counts[index]
    others[np.arange(len(cls)), cls] -= 1
    return others


def _others_majority(cls: np.ndarray) -> Int[np.ndarray, " entity"]:
    return np.argmax(_other_counts(cls, np.zeros(len(cls), dtype=int)), axis=1)


def _shared_majority(cls: np.ndarray, token: np.ndarray) -> Bool[np.ndarray, " entity"]:
    everyone = _other_counts(cls, np.zeros(len(cls), dtype=int))
    # lexicographic: shared tokens decide, everyone else breaks ties, also where nobody shares
    guess = np.argmax(_other_counts(cls, token) * (len(cls) + 1) + everyone, axis=1)
    return np.asarray(guess == cls)


def additive_fit(
    cls: Int[np.ndarray, " entity"],
    first: Shaped[np.ndarray, " entity"],
    last: Shaped[np.ndarray, " entity"],
    *,
    penalty: float = 1e-3,
) -> Bool[np.ndarray, " entity"]:
    """In-sample guesses of the linear model on one-hot first and last tokens.

    Multinomial logistic regression with a penalty too small to matter: minimises Σ −log p(cls) + ½·penalty·‖θ‖².
    Logistic, not ridge, because the question is whether any additive model separates the classes, and least squares
    can mistake classes that are separable. A high value says that an additive model suffices; it does not generalise.
    """
    every = np.ones(len(cls), dtype=bool)
    return _additive(np.asarray(cls), np.asarray(first), np.asarray(last), every, penalty) == np.asarray(cls)


def additive_held_out(
    cls: Int[np.ndarray, " entity"],
    first: Shaped[np.ndarray, " entity"],
    last: Shaped[np.ndarray, " entity"],
    *,
    train: Bool[np.ndarray, " entity"],
    penalty: float = 1.0,
) -> Bool[np.ndarray, " held_out"]:
    """Guesses of the same model, fitted on `train`, for the other entities, in their order.

    A token that is not in `train` adds nothing, so a name of two new tokens gets the majority class.
    """
    train = np.asarray(train, dtype=bool)
    guess = _additive(np.asarray(cls), np.asarray(first), np.asarray(last), train, penalty)
    return np.asarray(guess == np.asarray(cls))[~train]


def _additive(
    cls: np.ndarray, first: np.ndarray, last: np.ndarray, train: np.ndarray, penalty: float
) -> Int[np.ndarray, " entity"]:
    """Class guesses for every entity from the model fitted on `train`."""
    if not train.any():
        raise ValueError("no entity to fit on: expected at least one True in train")
    _, row = np.unique(first, return_inverse=True)
    _, column = np.unique(last, return_inverse=True)
    n_first, n_cls = int(row.max()) + 1, int(cls.max()) + 1
    n_levels = n_first + int(column.max()) + 1
    index = np.stack([row, n_first + column], axis=1)
    theta = _fit(index[train], cls[train], n_levels, n_cls, penalty)
    return np.argmax(_scores(theta, index), axis=1)


def _scores(
    theta: Float[np.ndarray, "level_and_intercept cls"], index: np.ndarray
) -> Float[np.ndarray, "entity cls"]:
    return theta[index[:, 0]] + theta[index[:, 1]] + theta[-1]


def _fit(
    index: np.ndarray, cls: np.ndarray, n_levels: int, n_cls: int, penalty: float
) -> Float[np.ndarray, "level_and_intercept cls"]:
    """L-BFGS from zero on a convex loss: deterministic, one minimum. The intercept is not penalised."""
    truth = np.eye(n_cls)[cls]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        theta = flat.reshape(n_levels + 1, n_cls)
        scores = _scores(theta, index)
        scores = scores - scores.max(axis=1, keepdims=True)
        log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        error = np.exp(log_p) - truth
        gradient = np.zeros_like(theta)
        np.add.at(gradient, index[:, 0], error)
        np.add.at(gradient, index[:, 1], error)
        gradient[:-1] += penalty * theta[:-1]
        gradient[-1] = error.sum(axis=0)
        value = -float((log_p * truth).sum()) + 0.5 * penalty * float(np.square(theta[:-1]).sum())
        return value, gradient.ravel()

    options = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-12, "gtol": 1e-6}
    found = minimize(loss, np.zeros((n_levels + 1) * n_cls), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x).reshape(n_levels + 1, n_cls)
