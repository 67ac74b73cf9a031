"""Many AUCs at once equal one at a time, and their p-values scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from rote.statistics import auc, aucs_of_ranks, average_ranks, mann_whitney_p

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
            assert found[i, k] == pytest.approx(auc(scores, labels[:, k]))
    assert (found[-1] == 0.5).all()  # a constant tells nothing


def test_a_labelling_without_one_of_its_groups_has_no_auc() -> None:
    found = aucs_of_ranks(average_ranks(SCORES), np.stack([np.zeros(30, bool), np.ones(30, bool)], axis=1))
    assert np.isnan(found).all()


def test_p_values_are_scipys_one_sided_with_ties_and_one_for_a_constant() -> None:
    labels = GENERATOR.random((len(SCORES), 30)) < 0.4
    found = mann_whitney_p(average_ranks(SCORES), labels)
    for p, scores, label in zip(found[:-1], SCORES[:-1], labels[:-1], strict=True):
        test = mannwhitneyu(
            scores[label], scores[~label], alternative="greater", method="asymptotic", use_continuity=False
        )
        assert p == pytest.approx(test.pvalue)
    assert found[-1] == 1.0


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        average_ranks(np.array([[0.0, np.nan]]))
