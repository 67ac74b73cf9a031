"""Logistic-regression probes with strict separation of fitting and testing entities."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from rote.errors import NotApplicable

STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # sklearn's C: the inverse of the L2 penalty


def logistic_correct(
    x: Float[np.ndarray, "entity feature"],
    cls: Int[np.ndarray, " entity"],
    train: Bool[np.ndarray, " entity"],
    strength: float | None = None,
) -> Bool[np.ndarray, " entity"]:
    """Whether a multinomial logistic regression fitted on `train` is right, for every entity.

    Inputs are standardised on `train`. Without a `strength`, the best of STRENGTHS by three folds within `train`
    is taken (the strongest penalty among equals). Raises NotApplicable where `train` holds fewer than two classes.
    """
    if strength is None and len(np.unique(cls[train])) > 1:
        strength = best_strength(x, cls, train)
    model, features = _fitted(x, cls, train, strength)
    with threadpool_limits(1):
        correct: Bool[np.ndarray, " entity"] = model.predict(features) == cls
    return correct


def logistic_answers(
    x: Float[np.ndarray, "entity feature"],
    cls: Int[np.ndarray, " entity"],
    train: Bool[np.ndarray, " entity"],
    strength: float,
    n_cls: int,
) -> tuple[Bool[np.ndarray, " entity"], Float[np.ndarray, " entity"]]:
    """(right, loss in nats) of the same regression, for every entity.

    loss = −log((n·p + 1/n_cls) / (n + 1)) with n = entities in `train`: a class that it has not seen is not impossible.
    Raises NotApplicable where `train` holds fewer than two classes.
    """
    model, features = _fitted(x, cls, train, strength)
    with threadpool_limits(1):
        fitted = model.predict_proba(features)
    n, p = int(train.sum()), np.zeros((len(cls), n_cls))
    p[:, model.classes_] = fitted
    mixed = (n * p[np.arange(len(cls)), cls] + 1 / n_cls) / (n + 1)
    return model.classes_[fitted.argmax(1)] == cls, -np.log(mixed)


def _fitted(
    x: Float[np.ndarray, "entity feature"],
    cls: Int[np.ndarray, " entity"],
    train: Bool[np.ndarray, " entity"],
    strength: float | None,
) -> tuple[LogisticRegression, Float[np.ndarray, "entity feature"]]:
    if len(np.unique(cls[train])) < 2:
        raise NotApplicable("the fitting entities are all of one class; at least two classes are needed")
    features = _features(x, train)
    with threadpool_limits(1):  # such small fits are several times slower on several threads than on one
        return LogisticRegression(C=strength, max_iter=1000).fit(features[train], cls[train]), features


def logistic_directions(
    x: Float[np.ndarray, "entity feature"],
    cls: Int[np.ndarray, " entity"],
    train: Bool[np.ndarray, " entity"],
    strength: float,
) -> Float[np.ndarray, "feature cls"]:
    """What `logistic_correct` multiplies inputs by, up to a constant, for each class of `train`.

    Raises NotApplicable where `train` holds fewer than two classes.
    """
    if len(np.unique(cls[train])) < 2:
        raise NotApplicable("the fitting entities are all of one class; at least two classes are needed")
    scaler = StandardScaler().fit(x[train])
    with threadpool_limits(1):
        model = LogisticRegression(C=strength, max_iter=1000).fit(scaler.transform(x[train]), cls[train])
    # sklearn keeps one row for two classes
    rows = model.coef_ if len(model.classes_) > 2 else np.concatenate([-model.coef_, model.coef_])
    return np.asarray((rows / scaler.scale_).T)


def _features(
    x: Float[np.ndarray, "entity feature"], train: Bool[np.ndarray, " entity"]
) -> Float[np.ndarray, "entity feature"]:
    """Standardised on `train`; where features outnumber the fitting entities, rotated into the span of those.

    The rotation changes nothing: a fit with an L2 penalty lies in the span of what it is fitted on.
    """
    scaled = StandardScaler().fit(x[train]).transform(np.asarray(x, dtype=float))
    if scaled.shape[1] <= int(train.sum()):
        return np.asarray(scaled)
    span = np.linalg.svd(scaled[train], full_matrices=False)[2]
    return np.asarray(scaled @ span.T)


def best_strength(
    x: Float[np.ndarray, "entity feature"], cls: Int[np.ndarray, " entity"], train: Bool[np.ndarray, " entity"]
) -> float:
    """The one of STRENGTHS that predicts best in three stratified folds within `train`; among equals the least.

    Raises NotApplicable where a fold leaves fewer than two classes to fit on.
    """
    totals = []
    for strength in STRENGTHS:
        right = [logistic_correct(x, cls, train & ~held, strength)[held].sum() for held in folds(cls, train)]
        totals.append(int(np.sum(right)))
    return STRENGTHS[int(np.argmax(totals))]


def folds(
    cls: Int[np.ndarray, " entity"], train: Bool[np.ndarray, " entity"]
) -> tuple[Bool[np.ndarray, " entity"], ...]:
    """Three parts of `train` to hold out in turn, each with the class shares of the whole."""
    members = np.flatnonzero(train)
    members = members[np.argsort(cls[members], kind="stable")]  # so that every third one stratifies by class
    masks = np.zeros((3, len(train)), dtype=bool)
    for start in range(3):
        masks[start, members[start::3]] = True
    return tuple(masks)


def splits(
    cls: Int[np.ndarray, " entity"], *, n_splits: int, test_share: float, generator: np.random.Generator
) -> tuple[Bool[np.ndarray, " entity"], ...]:
    """Masks of the testing entities of random splits, stratified by class; `test_share` is a fraction of each class.

    At least one entity of every class is tested.
    """
    masks = []
    for _ in range(n_splits):
        test = np.zeros(len(cls), dtype=bool)
        for c in np.unique(cls):
            members = generator.permutation(np.flatnonzero(cls == c))
            test[members[: max(round(test_share * len(members)), 1)]] = True
        masks.append(test)
    return tuple(masks)
