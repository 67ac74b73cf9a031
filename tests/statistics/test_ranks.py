"""Many AUCs at once equal one at a time, and their p-values what all relabellings give."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from rote.statistics import aucs_of_ranks, average_ranks, mann_whitney_p

GENERATOR = np.random.default_rng(0)
SCORES = np.concatenate([GENERATOR.normal(size=(5, 30)), GENERATOR.integers(0, 3, (5, 30)), np.ones((1, 30))])


def test_a_rank_counts_the_lower_values_and_half_of_the_equal_ones() -> None:
    lower = (SCORES[:, :, None] > SCORES[:, None, :]).sum(axis=2)
    equal = (SCORES[:, :, None] == SCORES[:, None, :]).sum(axis=2)
    assert np.array_equal(average_ranks(SCORES), lower + (equal + 1) / 2)


def test_every_auc_equals_the_one_of_its_score_and_labelling() -> None:
    labels = GENERATOR.random((30, 4)) < 0.4
    found = aucs_of_ranks(average_ranks(SCORES), labels)
    for i, scores in enumerate(SCORES):
        for k in range(4):
            assert found[i, k] == pytest.approx(roc_auc_score(labels[:, k], scores))
    assert (found[-1] == 0.5).all()  # a constant tells nothing


def test_a_labelling_without_one_of_its_groups_has_no_auc() -> None:
    found = aucs_of_ranks(average_ranks(SCORES), np.stack([np.zeros(30, bool), np.ones(30, bool)], axis=1))
    assert np.isnan(found).all()


@pytest.mark.parametrize("scores", [GENERATOR.normal(size=9), np.array([0, 0, 0, 1, 1, 2, 2, 2, 5.0])])
def test_p_values_are_the_normal_tail_with_mean_and_variance_over_all_relabellings(scores: np.ndarray) -> None:
    ranks = average_ranks(scores[None])
    sums = np.array([ranks[0, list(own)].sum() for own in combinations(range(9), 4)])
    labels = np.array([GENERATOR.permutation(9) < 4 for _ in range(20)])
    expected = norm.sf([(ranks[0, own].sum() - sums.mean()) / sums.std() for own in labels])
    assert mann_whitney_p(np.repeat(ranks, 20, axis=0), labels) == pytest.approx(expected)


def test_no_labelling_of_a_constant_is_less_probable_than_another() -> None:
    assert mann_whitney_p(np.full((1, 30), 15.5), np.arange(30)[None] < 3) == 1.0


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        average_ranks(np.array([[0.0, np.nan]]))
