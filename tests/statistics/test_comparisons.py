"""AUC and effect size against independent implementations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from rote.errors import NotApplicable
from rote.statistics import balanced_accuracy, cohens_d, rng, weighted_auc, weighted_cohens_d


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 3)), min_size=2, max_size=40))
def test_a_weighted_auc_equals_sklearns_with_ties(observations: list[tuple[int, bool, int]]) -> None:
    scores, labels, weights = (np.array(column) for column in zip(*observations, strict=True))
    weighed = float(weighted_auc(scores, labels, weights.astype(float)))
    if weights[labels].sum() and weights[~labels].sum():
        assert weighed == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights))
    else:
        assert np.isnan(weighed)


def test_auc_of_the_negated_score_is_the_complement() -> None:
    scores, labels, equal = rng(0, "s").normal(size=50), rng(0, "l").random(50) < 0.3, np.ones(50)
    auc = weighted_auc(scores, labels, equal)
    assert weighted_auc(-scores, labels, equal) == pytest.approx(1 - auc)
    assert weighted_auc(np.exp(scores), labels, equal) == auc


def test_balanced_accuracy_equals_sklearns() -> None:
    truth, guess = rng(0, "t").integers(0, 3, 60), rng(0, "g").integers(0, 3, 60)
    assert balanced_accuracy(truth == guess, truth, np.ones(60)) == pytest.approx(balanced_accuracy_score(truth, guess))


def test_cohens_d_is_the_difference_in_pooled_standard_deviations() -> None:
    a, b = rng(0, "a").normal(1, 2, 30), rng(0, "b").normal(0, 1, 50)
    pooled = np.sqrt((29 * a.var(ddof=1) + 49 * b.var(ddof=1)) / 78)
    assert cohens_d(a, b) == pytest.approx((a.mean() - b.mean()) / pooled)
    assert cohens_d(10 * a + 3, 10 * b + 3) == pytest.approx(cohens_d(a, b))
    assert cohens_d(b, a) == pytest.approx(-cohens_d(a, b))


def test_cohens_d_of_repeated_values_is_the_weighted_one() -> None:
    values, labels = rng(0, "v").normal(5, 1, 20), np.arange(20) < 8
    weights = rng(0, "w").integers(0, 4, 20)
    rows = np.repeat(np.arange(20), weights)
    repeated = cohens_d(values[rows][labels[rows]], values[rows][~labels[rows]])
    assert float(weighted_cohens_d(values, labels, weights.astype(float))) == pytest.approx(repeated)


@pytest.mark.parametrize(("a", "b"), [([1.0], [2.0]), ([], [1.0, 2.0]), ([0.1, 0.1], [0.3, 0.3]), ([], [])])
def test_an_effect_size_without_spread_is_absent(a: list[float], b: list[float]) -> None:
    with pytest.raises(NotApplicable):
        cohens_d(np.array(a), np.array(b))


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 4 values are not finite"):
        cohens_d(np.array([0.0, np.nan]), np.array([1.0, 2.0]))
