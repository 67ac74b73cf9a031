"""What the tokens of a name give away by themselves: the baselines that a look-up has to beat.

Each function returns, for each entity, whether the baseline's guess is right, so that a bootstrap of its mean
gives the baseline's accuracy without any refit. `cls` holds class indices from 0.
"""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Bool, Int, Shaped
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder


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
    these entities; nothing about others. Raises ValueError for no entities.
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

    A token that is not in `train` adds nothing, so a name of two new tokens gets the majority class. Raises ValueError
    where `train` is empty.
    """
    train = np.asarray(train, dtype=bool)
    guess = _additive(np.asarray(cls), np.asarray(first), np.asarray(last), train, penalty)
    return np.asarray((guess == np.asarray(cls))[~train])


def _additive(
    cls: np.ndarray, first: np.ndarray, last: np.ndarray, train: np.ndarray, penalty: float
) -> Int[np.ndarray, " entity"]:
    """Class guesses for every entity from the model fitted on `train`; the intercept carries no penalty."""
    if not train.any():
        raise ValueError("no entity to fit on: expected at least one True in train")
    n_cls = len(np.unique(cls[train]))
    if n_cls == 1:
        return np.full(len(cls), cls[train][0])
    design = OneHotEncoder().fit_transform(np.stack([first, last], axis=1))
    # of two classes scikit-learn weighs θ₁ − θ₀ alone, whose square is twice the sum of theirs (θ₁ = −θ₀)
    strength = (2 if n_cls == 2 else 1) / penalty
    # scikit-learn's L-BFGS takes three times as long to the same optimum on the bundled names
    model = LogisticRegression(C=strength, solver="newton-cg", tol=1e-8, max_iter=1000)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")  # as many as there are entities is allowed
        return np.asarray(model.fit(design[train], cls[train]).predict(design))
