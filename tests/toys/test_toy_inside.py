"""What is looked for inside networks is found where it was planted and not where it was not."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from rote.toys.memorisation.bagging import bagging, count_variance, dealt_anew, mean_correlation
from rote.toys.memorisation.sparsity import dictionary_l0, kurtosis, participation_ratio
from rote.toys.memorisation.structure import States, probe_bit, probe_integer, probe_xor
from rote.toys.tasks import random_halves, xor_of

N = 16


def states(planted: str | None, seed: int) -> States:
    """Hidden states that hold both integers, and where it is planted the bit or the XOR, in random directions."""
    g = np.random.default_rng(seed)
    first, second = (part.ravel() for part in np.divmod(np.arange(N * N), N))
    label, sides = g.integers(0, 2, N * N), random_halves(N, g)
    xor = xor_of(sides[None], first[None], second[None])[0]
    hidden = g.standard_normal((N, 40))[first] + g.standard_normal((N, 40))[second]
    extra = {"bit": 2.0 * label - 1, "xor": 2.0 * xor - 1}.get(planted or "")
    if extra is not None:
        hidden = hidden + extra[:, None] * g.standard_normal(40)
    return States(hidden=hidden, first=first, second=second, label=label, sides=sides, train=g.random(N * N) > 0.2)


@pytest.mark.parametrize("planted", ["bit", "xor", None])
def test_probes_find_what_was_planted(planted: str | None) -> None:
    for seed in range(5):
        g = np.random.default_rng(seed)
        s = states(planted, seed)
        bit, xor = (probe(s, n_null=199, generator=g) for probe in (probe_bit, probe_xor))
        assert (bit.p == 1 / 200) is (planted == "bit"), seed
        assert (xor.p == 1 / 200) is (planted == "xor"), seed
        assert abs(bit.null - 0.5) < 0.05


def test_probes_find_the_integers_that_are_there_and_not_those_that_are_not() -> None:
    s, g = states(None, 0), np.random.default_rng(0)
    there = probe_integer(s, 0, n_null=9, generator=g)
    assert there.accuracy > 0.9 and there.null < 0.2 and there.p == 0.1
    noise = States(**{**vars(s), "hidden": g.standard_normal(s.hidden.shape)})
    assert probe_integer(noise, 0, n_null=9, generator=g).accuracy < 0.25


def test_p_is_uniform_where_nothing_is_planted() -> None:
    p = [probe_bit(states(None, seed), n_null=49, generator=np.random.default_rng(seed)).p for seed in range(40)]
    assert 0.3 < float(np.mean(p)) < 0.7 and sum(v <= 0.1 for v in p) <= 10


def sparse_and_dense(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """600 states of 24 neurons: sums of two of 48 atoms, and normal ones."""
    g = np.random.default_rng(seed)
    codes = np.zeros((600, 48))
    np.put_along_axis(codes, np.argsort(g.random((600, 48)), axis=1)[:, :2], 1 + g.random((600, 2)), axis=1)
    return codes @ g.standard_normal((48, 24)), g.standard_normal((600, 24))


def test_a_planted_dictionary_takes_few_atoms_and_dense_states_many() -> None:
    sparse, dense = (dictionary_l0(x[:450], x[450:], seed=0) for x in sparse_and_dense(0))
    assert sparse < 0.6 * dense


def test_kurtosis_of_known_distributions() -> None:
    g = np.random.default_rng(0)
    assert kurtosis(g.standard_normal((20_000, 4))) == pytest.approx(0, abs=0.1)
    assert kurtosis(g.laplace(size=(20_000, 4))) == pytest.approx(3, abs=0.5)
    assert kurtosis(np.tile([-1.0, 1.0], 500)[:, None]) == pytest.approx(-2)
    firing = (g.random((20_000, 3)) < 0.05).astype(float)
    assert kurtosis(firing) > 10
    assert kurtosis(np.column_stack([firing, np.ones(20_000)])) == pytest.approx(kurtosis(firing))


def test_the_participation_ratio_counts_dimensions() -> None:
    g = np.random.default_rng(0)
    assert participation_ratio(g.standard_normal((50_000, 10))) == pytest.approx(1, abs=0.01)
    three = g.standard_normal((50_000, 3)) @ np.linalg.qr(g.standard_normal((10, 3)))[0].T
    assert participation_ratio(three) == pytest.approx(0.3, abs=0.01)


def test_independent_neurons_are_what_bagging_supposes() -> None:
    g = np.random.default_rng(0)
    label = g.random(400) < 0.5
    votes = (2.0 * label - 1)[:, None] * 0.3 + g.standard_normal((400, 40))
    found = bagging(votes, label, generator=g)
    assert abs(found.error_correlation - found.error_correlation_null) < 0.01
    assert found.subset_accuracy[-1] == pytest.approx(found.subset_accuracy_null[-1], abs=0.03)
    assert found.majority_accuracy == pytest.approx(found.majority_accuracy_null, abs=0.04)


def test_neurons_that_err_together_and_neurons_that_make_up_for_each_other_are_told_apart() -> None:
    g = np.random.default_rng(0)
    label = g.random(400) < 0.5
    truth = (2.0 * label - 1)[:, None] * 0.3
    together = truth + g.standard_normal((400, 1)) + 0.1 * g.standard_normal((400, 40))
    found = bagging(together, label, generator=g)
    assert found.error_correlation > 0.6 and found.subset_accuracy[-1] < found.subset_accuracy_null[-1] - 0.2
    noise = g.standard_normal((400, 40))
    making_up = truth + noise - noise.mean(1, keepdims=True)
    found = bagging(making_up, label, generator=g)
    assert found.subset_accuracy[-1] == 1 > found.subset_accuracy_null[-1]


def test_dealing_anew_keeps_each_neuron_as_strong() -> None:
    g = np.random.default_rng(0)
    label = g.random(100) < 0.4
    c = g.standard_normal((100, 5)) + label[:, None]
    dealt = dealt_anew(c, label, g)
    for cls in (False, True):
        np.testing.assert_array_equal(np.sort(dealt[label == cls], axis=0), np.sort(c[label == cls], axis=0))
    assert not np.array_equal(dealt, c)


def test_the_mean_correlation_is_the_mean_over_pairs() -> None:
    wrong = np.random.default_rng(0).random((50, 6)) < 0.4
    pairs = [np.corrcoef(wrong[:, i], wrong[:, j])[0, 1] for i, j in combinations(range(6), 2)]
    assert mean_correlation(wrong) == pytest.approx(float(np.mean(pairs)))
    assert np.isnan(mean_correlation(wrong[:, :1]))


def test_one_neuron_that_errs_takes_the_correlation_away_and_nothing_else() -> None:
    g = np.random.default_rng(0)
    label = g.random(100) < 0.5
    perfect = np.where(label, 1.0, -1.0)[:, None] * np.ones((100, 3))
    found = bagging(np.hstack([perfect, g.standard_normal((100, 1))]), label, generator=g)
    assert np.isnan(found.error_correlation)
    assert found.vote_accuracy > 0.75 and found.subset_accuracy[-1] > 0.9 and found.vote_count_variance == 1


def test_the_count_of_wrong_votes_varies_as_its_correlation_says() -> None:
    """With k votes that are alike: Var(Σ) / Σ Var = 1 + (k − 1)·ρ; errors that cancel give 0."""
    wrong = np.random.default_rng(0).random((4000, 5)) < 0.3
    assert count_variance(wrong) == pytest.approx(1, abs=0.1)
    assert count_variance(np.repeat(wrong[:, :1], 4, axis=1)) == pytest.approx(4)
    assert count_variance(np.hstack([wrong[:, :1], ~wrong[:, :1]])) == pytest.approx(0)
    assert np.isnan(count_variance(np.zeros((5, 2), dtype=bool)))
