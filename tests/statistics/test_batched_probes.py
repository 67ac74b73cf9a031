"""Batched probes against scikit-learn, one fit at a time."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from rote.errors import NotApplicable
from rote.statistics import batched_probes
from rote.statistics.batched_probes import Fits, fit, held_out_correct, standardised
from rote.statistics.probes import STRENGTHS, folds, splits

WORLDS = {  # entities, features, classes, distance of the classes
    "more entities than features": (200, 24, 3, 0.4),
    "more features than entities": (90, 300, 3, 0.2),
    "two classes": (150, 20, 2, 0.4),
    "two classes, more features": (80, 200, 2, 0.3),
    "many classes": (240, 16, 12, 1.5),
    "separable": (120, 30, 3, 3.0),
}


def draw(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unequal classes and correlated features of very different scales, one of them constant."""
    n, d, n_cls, distance = WORLDS[kind]
    r = np.random.default_rng(seed)
    cls = np.concatenate(
        [np.repeat(np.arange(n_cls), 6), r.choice(n_cls, n - 6 * n_cls, p=r.dirichlet(3 * np.ones(n_cls)))]
    )
    mixing = np.eye(d) + r.standard_normal((d, d)) / np.sqrt(d)
    x = (distance * r.standard_normal((n_cls, d))[cls] + r.standard_normal((n, d)) @ mixing) * np.exp(r.normal(size=d))
    x[:, 1] = 7.0
    return x, r.permutation(n_cls)[cls] * 5 - 3


def plain(x: np.ndarray) -> np.ndarray:
    scale = x.std(0)
    return (x - x.mean(0)) / np.where(scale > 1e-12, scale, 1.0)


def literal(z: np.ndarray, cls: np.ndarray, train: np.ndarray, strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, tol=1e-10, max_iter=20_000).fit(z[train], cls[train])


def literal_objective(model: LogisticRegression, z: np.ndarray, cls: np.ndarray) -> float:
    """C·Σ loss + ½‖coef‖², with the coefficients as scikit-learn has them (one vector for two classes)."""
    rows = [list(model.classes_).index(c) for c in cls]
    losses = -model.predict_log_proba(z)[np.arange(len(z)), rows]
    return float(model.C * losses.sum() + 0.5 * np.square(model.coef_).sum())


@pytest.mark.parametrize("kind", WORLDS)
def test_fits_are_scikit_learns(kind: str) -> None:
    x, cls = draw(kind, 0)
    z, features = plain(x), standardised(x)
    assert features.shape[1] <= min(x.shape)
    r = np.random.default_rng(1)
    train = np.array([r.permutation(len(cls)) < 0.6 * len(cls) for _ in range(8)])
    strengths = np.tile(STRENGTHS, 2)
    fits = fit(features, cls, train, strengths)
    same = []
    for k, strength in enumerate(strengths):
        model = literal(z, cls, train[k], strength)
        wanted = literal_objective(model, z[train[k]], cls[train[k]])
        assert fits.objective[k] == pytest.approx(wanted, rel=1e-5)
        same.append(np.unique(cls)[fits.predict(features)[k]] == model.predict(z))
    assert np.mean(same) > 0.999


def literal_held_out(x: np.ndarray, cls: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Three folds by hand, then the fit on all of `train`: whether each entity is predicted rightly."""
    z, train = plain(x), np.flatnonzero(~test)
    ordered = train[np.argsort(cls[train], kind="stable")]
    totals = []
    for strength in STRENGTHS:
        right = 0
        for start in range(3):
            held = ordered[start::3]
            model = literal(z, cls, np.setdiff1d(train, held), strength)
            right += int((model.predict(z[held]) == cls[held]).sum())
        totals.append(right)
    best = STRENGTHS[max(range(len(STRENGTHS)), key=lambda i: (totals[i], -i))]
    return np.asarray(literal(z, cls, train, best).predict(z) == cls)


@pytest.mark.parametrize("kind", WORLDS)
def test_held_out_predictions_are_those_of_refits_one_by_one(kind: str) -> None:
    agree, found, wanted = [], [], []
    for seed in range(3):
        x, cls = draw(kind, seed)
        tests = splits(cls, n_splits=3, test_share=0.2, generator=np.random.default_rng(seed))
        for test, correct in zip(tests, held_out_correct(x, cls, tests), strict=True):
            slow = literal_held_out(x, cls, test)
            agree.append((correct == slow)[test])
            found.append(correct[test].mean())
            wanted.append(slow[test].mean())
    assert np.mean(np.concatenate(agree)) >= 0.995
    assert np.mean(found) == pytest.approx(np.mean(wanted), abs=0.005)


def test_labels_of_the_testing_entities_are_not_looked_at() -> None:
    """The probe does learn: with its labels right it is right, and what is held out cannot change the fit."""
    x, cls = draw("separable", 0)
    tests = splits(cls, n_splits=2, test_share=0.2, generator=np.random.default_rng(0))
    right = held_out_correct(x, cls, tests)
    assert np.mean([r[t].mean() for r, t in zip(right, tests, strict=True)]) > 0.95
    for test in tests:
        wrong = cls.copy()
        wrong[test] = np.roll(np.unique(cls), 1)[np.searchsorted(np.unique(cls), cls[test])]
        (before,), (after,) = held_out_correct(x, cls, [test]), held_out_correct(x, wrong, [test])
        assert (before[~test] == after[~test]).all()
        assert not (before & after)[test].any()


def test_labels_without_relation_to_the_features_are_predicted_at_chance() -> None:
    r = np.random.default_rng(0)
    x, cls = r.standard_normal((300, 40)), np.tile([0, 1, 2], 100)
    tests = splits(cls, n_splits=10, test_share=0.2, generator=r)
    shares = [c[t].mean() for c, t in zip(held_out_correct(x, cls, tests), tests, strict=True)]
    assert np.mean(shares) == pytest.approx(1 / 3, abs=0.06)


def test_a_class_that_the_fitting_entities_lack_is_never_predicted() -> None:
    x, cls = draw("separable", 0)
    classes, features = np.unique(cls), standardised(x)
    for lacking in classes:
        train = (cls != lacking)[None]
        fits = fit(features, cls, train, np.array([0.1]))
        assert not (classes[fits.predict(features)] == lacking).any()
        model = literal(plain(x), cls, train[0], 0.1)  # two classes are left: one vector of weights
        assert fits.objective[0] == pytest.approx(literal_objective(model, plain(x)[train[0]], cls[train[0]]), rel=1e-5)
        assert (classes[fits.predict(features)[0]] == model.predict(plain(x))).all()


def test_one_class_is_not_applicable() -> None:
    x, cls = draw("two classes", 0)
    lone = np.where(np.arange(len(cls)) == 0, cls.max(), cls.min())
    test = np.arange(len(cls)) == 0
    with pytest.raises(NotApplicable, match="all of one class"):
        held_out_correct(x, lone, [test])


def test_fits_done_in_groups_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, cls = draw("more entities than features", 2)
    features, train = standardised(x), np.random.default_rng(0).random((9, len(cls))) < 0.7
    strengths = np.geomspace(0.001, 1, 9)

    def scores(fits: Fits) -> np.ndarray:
        return np.einsum("fcj,nj->fcn", fits.weight, features) + fits.intercept[:, :, None]

    at_once = scores(fit(features, cls, train, strengths))
    monkeypatch.setattr(batched_probes, "_CHUNK_BYTES", 1)
    np.testing.assert_allclose(scores(fit(features, cls, train, strengths)), at_once, atol=1e-8)


def test_a_rotation_or_a_new_scale_of_the_features_changes_nothing() -> None:
    x, cls = draw("more entities than features", 3)
    tests = splits(cls, n_splits=4, test_share=0.2, generator=np.random.default_rng(3))
    before = held_out_correct(x, cls, tests)
    assert (held_out_correct(x * np.geomspace(1e-3, 1e3, x.shape[1]) + 5, cls, tests) == before).mean() > 0.999
    repeated = np.concatenate([standardised(x)[:, :3]] * 2, axis=1)
    assert standardised(repeated).shape == repeated.shape  # dependent features do no harm
    assert held_out_correct(repeated, cls, tests).shape == before.shape


def test_features_that_say_nothing_give_the_largest_class() -> None:
    cls = np.repeat([4, 9], [60, 30])
    tests = splits(cls, n_splits=2, test_share=0.2, generator=np.random.default_rng(0))
    right = held_out_correct(np.full((90, 5), 3.0), cls, tests)
    assert (right == (cls == 4)).all()


def test_folds_part_the_fitting_entities_and_keep_class_shares() -> None:
    cls, train = np.repeat([0, 1, 2], [31, 20, 9]), np.arange(60) % 7 != 0
    parts = folds(cls, train)
    assert (np.sum(parts, axis=0) == train).all()
    for part in parts:
        counts, whole = np.bincount(cls[part], minlength=3), np.bincount(cls[train], minlength=3)
        assert np.abs(counts - whole / 3).max() < 1
