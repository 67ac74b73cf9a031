"""What the tokens of a name give away by themselves: the baselines that a look-up has to beat.

Each function returns, for each entity, whether the baseline's guess is right, so that a bootstrap of its mean
gives the baseline's accuracy without any refit. `cls` holds class indices from 0.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy import sparse
from scipy.optimize import minimize


def baseline_majority(cls: Int[np.ndarray, " entity"]) -> Bool[np.ndarray, " entity"]:
    """Guess the commonest class among all other entities; of equally common ones, the lowest index."""
    cls = np.asarray(cls)
    return np.asarray(_others_majority(cls) == cls)


def baseline_last(cls: Int[np.ndarray, " entity"], last: Shaped[np.ndarray, " entity"]) -> Bool[np.ndarray, " entity"]:
    """Guess the commonest class among the other entities with the same last token.

    Of equally common classes the one commoner among all others; the majority class where nobody shares it.
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
    return np.asarray(np.argmax(_other_counts(cls, np.zeros(len(cls), dtype=int)), axis=1))


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

    Multinomial logistic regression with a penalty too small to matter: least Σ −log p(cls) + ½·penalty·‖θ‖².
    Logistic, not ridge, because the question is whether any additive model separates the classes, and least
    squares can mistake classes that are separable. A high value says that memorising each token suffices for
    these entities; nothing about others.
    """
    every = np.ones(len(cls), dtype=bool)
    guess = _additive(np.asarray(cls), np.asarray(first), np.asarray(last), every, penalty)
    return np.asarray(guess == np.asarray(cls))


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
    return np.asarray((guess == np.asarray(cls))[~train])


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
    design = _one_hot(row, n_first + column, n_levels)
    theta = _fit(design[train], cls[train], n_cls, penalty)
    return np.asarray(np.argmax(design @ theta, axis=1))


def _one_hot(row: np.ndarray, column: np.ndarray, n_levels: int) -> sparse.csr_matrix:
    """Per entity a 1 at its first token, at its last token and, as the last column, at the intercept."""
    n = len(row)
    where = np.stack([row, column, np.full(n, n_levels)], axis=1)
    return sparse.csr_matrix((np.ones(3 * n), where.ravel(), np.arange(0, 3 * n + 1, 3)), (n, n_levels + 1))


def _fit(design: sparse.csr_matrix, cls: np.ndarray, n_cls: int, penalty: float) -> Float[np.ndarray, "level cls"]:
    """L-BFGS from zero on a convex loss: deterministic, one minimum. The intercept is not penalised."""
    truth = np.eye(n_cls)[cls]
    n_rows = design.shape[1]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        theta = flat.reshape(n_rows, n_cls)
        scores = design @ theta
        scores = scores - scores.max(axis=1, keepdims=True)
        log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        gradient = np.asarray(design.T @ (np.exp(log_p) - truth))
        gradient[:-1] += penalty * theta[:-1]
        value = -float((log_p * truth).sum()) + 0.5 * penalty * float(np.square(theta[:-1]).sum())
        return value, gradient.ravel()

    options = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-12, "gtol": 1e-6}
    found = minimize(loss, np.zeros(n_rows * n_cls), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x).reshape(n_rows, n_cls)
