"""Baselines from tokens equal literal loops, and linear models know their limits."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from rote.statistics import (
    additive_fit,
    additive_held_out,
    baseline_first,
    baseline_last,
    baseline_majority,
    rng,
)


def literal(cls: np.ndarray, token: np.ndarray) -> list[bool]:
    right = []
    for i in range(len(cls)):
        everyone = Counter(int(c) for j, c in enumerate(cls) if j != i)
        shared = Counter(int(c) for j, c in enumerate(cls) if j != i and token[j] == token[i])
        guess = max(range(3), key=lambda c: (shared[c], everyone[c], -c))
        right.append(guess == cls[i])
    return right


@pytest.mark.parametrize("seed", range(5))
def test_baselines_equal_literal_loops(seed: int) -> None:
    generator = rng(seed, "baselines")
    cls, token = generator.choice(3, 80, p=[0.5, 0.3, 0.2]), generator.integers(0, 30, 80)
    assert baseline_last(cls, token).tolist() == literal(cls, token)
    assert baseline_first(cls, token).tolist() == literal(cls, token)
    assert baseline_majority(cls).tolist() == literal(cls, np.zeros(80))


def test_where_nobody_shares_a_token_the_majority_is_guessed() -> None:
    cls = np.array([0, 0, 0, 1, 2])
    assert baseline_last(cls, np.arange(5)).tolist() == baseline_majority(cls).tolist()
    assert baseline_majority(cls).tolist() == [True, True, True, False, False]


def test_an_entity_does_not_vote_for_itself() -> None:
    cls, surname = np.array([0, 1, 0, 1]), np.array(["x", "x", "y", "y"])
    assert not baseline_last(cls, surname).any()


def test_additive_data_are_fitted_and_held_out_data_follow() -> None:
    generator = rng(0, "additive")
    first, last = generator.integers(0, 15, 600), generator.integers(0, 15, 600)
    scores = generator.normal(size=(15, 3))[first] + generator.normal(size=(15, 3))[last]
    cls = scores.argmax(axis=1)
    assert additive_fit(cls, first, last).all()
    train = generator.random(600) < 0.7
    held_out = additive_held_out(cls, first, last, train=train)
    assert held_out.shape == (np.sum(~train),) and held_out.mean() > 0.9


def test_no_additive_model_makes_an_exclusive_or() -> None:
    first, last = np.repeat([0, 1], 20), np.tile([0, 1], 20)
    assert additive_fit(first ^ last, first, last).mean() <= 0.75


def test_names_that_share_little_are_fitted_whatever_their_class() -> None:
    generator = rng(0, "sparse")  # so a high in-sample accuracy shows no look-up
    first, last, cls = generator.integers(0, 300, 250), generator.integers(0, 280, 250), generator.integers(0, 3, 250)
    assert additive_fit(cls, first, last).mean() > 0.97
    train = np.arange(250) % 2 == 0
    assert additive_held_out(cls, first, last, train=train).mean() < 0.6


def test_new_tokens_get_the_majority_class() -> None:
    cls = np.array([0, 0, 0, 1, 0, 1])
    train = np.arange(6) < 4
    names = np.arange(6)
    assert additive_held_out(cls, names, names, train=train).tolist() == [True, False]


def test_one_class_is_guessed_everywhere() -> None:
    names, cls = np.arange(4), np.array([1, 1, 1, 0])
    assert additive_held_out(cls, names, names, train=cls == 1).tolist() == [False]
    assert additive_fit(cls[:3], names[:3], names[:3]).all()


def test_classes_of_one_entity_each_are_fitted_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert additive_fit(np.arange(30), np.arange(30), np.arange(30) % 7).all()


@pytest.mark.parametrize(("n_cls", "another_penalty"), [(2, 2.0), (3, 0.5)])
def test_the_model_has_the_least_documented_objective(n_cls: int, another_penalty: float) -> None:
    generator = rng(0, "objective", n_cls)
    first, last, cls = generator.integers(0, 12, 200), generator.integers(0, 12, 200), generator.integers(0, n_cls, 200)
    design = np.concatenate([np.eye(12)[first], np.eye(12)[last], np.ones((200, 1))], axis=1)
    train = np.arange(200) < 120

    def objective(theta: np.ndarray) -> float:
        log_p = log_softmax(design[train] @ theta.reshape(25, n_cls), axis=1)
        return float(-log_p[np.arange(120), cls[train]].sum() + 0.5 * np.square(theta[:-n_cls]).sum())

    guess = np.argmax(design[~train] @ minimize(objective, np.zeros(25 * n_cls)).x.reshape(25, n_cls), axis=1)
    expected = (guess == cls[~train]).tolist()
    assert additive_held_out(cls, first, last, train=train).tolist() == expected
    assert additive_held_out(cls, first, last, train=train, penalty=another_penalty).tolist() != expected


def test_a_missing_first_part_is_shared_by_nobody() -> None:
    cls, first = np.array([0, 0, 1, 1, 0]), np.array([7, 7, -1, -1, -1])
    there = first >= 0
    # the majority of the others decides for those without a first part, whatever their equal labels say
    assert baseline_first(cls, first, there).tolist() == [True, True, False, False, True]
    assert baseline_first(cls, first).tolist() == [True, True, False, False, False]  # the control: taken for a level
