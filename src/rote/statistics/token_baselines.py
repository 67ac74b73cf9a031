"""What the parts of a name give away by themselves: the baselines that a look-up has to beat.

Each function returns, for each entity, whether the baseline's guess is right, so that a bootstrap of its mean
gives the baseline's accuracy without any refit. `cls` holds class indices from 0; `first` and `last` are labels of
parts, or of tokens; `has_first` is False where a name has no first part, whose label then means nothing.
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
    """Guess the commonest class among the other entities with the same last part.

    Of equally common classes the one commoner among all others; the majority class where nobody shares it.
    """
    return _shared_majority(np.asarray(cls), np.asarray(last), None)


def baseline_first(
    cls: Int[np.ndarray, " entity"],
    first: Shaped[np.ndarray, " entity"],
    has_first: Bool[np.ndarray, " entity"] | None = None,
) -> Bool[np.ndarray, " entity"]:
    """Guess the commonest class among the other entities with the same first part; see `baseline_last`."""
    return _shared_majority(np.asarray(cls), np.asarray(first), has_first)


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


def _shared_majority(
    cls: np.ndarray, part: np.ndarray, there: Bool[np.ndarray, " entity"] | None
) -> Bool[np.ndarray, " entity"]:
    everyone = _other_counts(cls, np.zeros(len(cls), dtype=int))
    sharing = _other_counts(cls, part)
    if there is not None:
        sharing[~there] = 0
    # lexicographic: shared parts decide, everyone else breaks ties, also where nobody shares
    guess = np.argmax(sharing * (len(cls) + 1) + everyone, axis=1)
    return np.asarray(guess == cls)


def additive_fit(
    cls: Int[np.ndarray, " entity"],
    first: Shaped[np.ndarray, " entity"],
    last: Shaped[np.ndarray, " entity"],
    has_first: Bool[np.ndarray, " entity"] | None = None,
    *,
    penalty: float = 1e-3,
) -> Bool[np.ndarray, " entity"]:
    """In-sample guesses of the linear model on one-hot first and last parts.

    Multinomial logistic regression with a penalty too small to matter: least Σ −log p(cls) + ½·penalty·‖θ‖².
    Logistic, not ridge, because the question is whether any additive model separates the classes, and least
    squares can mistake classes that are separable. A high value says that memorising each part suffices for
    these entities; nothing about others. Raises ValueError for no entities.
    """
    every = np.ones(len(cls), dtype=bool)
    guess = _additive(np.asarray(cls), np.asarray(first), np.asarray(last), has_first, every, penalty)
    return np.asarray(guess == np.asarray(cls))


def additive_held_out(
    cls: Int[np.ndarray, " entity"],
    first: Shaped[np.ndarray, " entity"],
    last: Shaped[np.ndarray, " entity"],
    has_first: Bool[np.ndarray, " entity"] | None = None,
    *,
    train: Bool[np.ndarray, " entity"],
    penalty: float = 1.0,
) -> Bool[np.ndarray, " held_out"]:
    """Guesses of the same model, fitted on `train`, for the other entities, in their order.

    A part that is not in `train` adds nothing, so a name of two new parts gets the majority class. Raises ValueError
    where `train` is empty.
    """
    train = np.asarray(train, dtype=bool)
    guess = _additive(np.asarray(cls), np.asarray(first), np.asarray(last), has_first, train, penalty)
    return np.asarray((guess == np.asarray(cls))[~train])


def _additive(
    cls: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    has_first: np.ndarray | None,
    train: np.ndarray,
    penalty: float,
) -> Int[np.ndarray, " entity"]:
    """Class guesses for every entity from the model fitted on `train`; the intercept carries no penalty."""
    if not train.any():
        raise ValueError("no entity to fit on: expected at least one True in train")
    n_cls = len(np.unique(cls[train]))
    if n_cls == 1:
        return np.full(len(cls), cls[train][0])
    # a missing first part is no level: its columns are all 0
    sides = [(last, np.unique(last))]
    if has_first is None or has_first.any():
        sides.insert(0, (first, np.unique(first if has_first is None else first[has_first])))
    encoder = OneHotEncoder(categories=[levels for _, levels in sides], handle_unknown="ignore")
    design = encoder.fit_transform(np.stack([labels for labels, _ in sides], axis=1))
    # of two classes scikit-learn weighs θ₁ − θ₀ alone, whose square is twice the sum of theirs (θ₁ = −θ₀)
    strength = (2 if n_cls == 2 else 1) / penalty
    # scikit-learn's L-BFGS takes three times as long to the same optimum on the bundled names
    model = LogisticRegression(C=strength, solver="newton-cg", tol=1e-8, max_iter=1000)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")  # as many as there are entities is allowed
        return np.asarray(model.fit(design[train], cls[train]).predict(design))
