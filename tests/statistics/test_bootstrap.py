"""The pigeonhole bootstrap covers at its rate where names are shared; the naive one does not."""

from __future__ import annotations

import time

import numpy as np
import pytest

from rote.errors import NotApplicable
from rote.statistics import PigeonholeBootstrap, balanced_accuracy, rng, weighted_auc, weighted_median
from rote.statistics import bootstrap as module


def crossed(generator: np.random.Generator, n: int = 150, levels: int = 25) -> tuple[np.ndarray, ...]:
    """Observations whose variance comes mostly from shared first and last names; the true mean is 0."""
    first, last = generator.integers(0, levels, n), generator.integers(0, levels, n)
    values = generator.normal(size=levels)[first] + generator.normal(size=levels)[last]
    return first, last, values + 0.3 * generator.normal(size=n)


def test_coverage_holds_under_shared_names_and_fails_for_the_naive_bootstrap() -> None:
    worlds, covered, naive = 300, 0, 0
    for world in range(worlds):
        generator = rng(0, "coverage", world)
        first, last, values = crossed(generator)
        estimate = PigeonholeBootstrap(first, last, n_resamples=400, generator=generator).mean(values)
        assert estimate.ci_low is not None and estimate.ci_high is not None
        covered += estimate.ci_low <= 0 <= estimate.ci_high
        single = np.arange(len(values))  # every entity its own factor: the ordinary bootstrap
        control = PigeonholeBootstrap(single, n_resamples=400, generator=generator).mean(values)
        assert control.ci_low is not None and control.ci_high is not None
        naive += control.ci_low <= 0 <= control.ci_high
    assert 0.91 <= covered / worlds <= 0.985
    assert naive / worlds < 0.75


def test_one_factor_gives_the_ordinary_bootstrap() -> None:
    labels = np.arange(400)
    values = rng(1, "ordinary").normal(size=400)
    bootstrap = PigeonholeBootstrap(labels, generator=rng(1, "draws"))
    assert (bootstrap.weights.sum(axis=1) == 400).all()
    estimate = bootstrap.mean(values)
    assert estimate.ci_low is not None and estimate.ci_high is not None
    standard_error = values.std() / np.sqrt(400)
    assert estimate.ci_high - estimate.ci_low == pytest.approx(2 * 1.96 * standard_error, rel=0.08)


def test_a_missing_first_part_is_no_level_and_weighs_its_last_part_alone() -> None:
    first, last = np.array([5, -1, 9, -1]), np.array([1, 2, 2, 7])
    there = first >= 0
    bootstrap = PigeonholeBootstrap(first, last, has_first=there, n_resamples=50, generator=rng(0, "w"))
    of_last = bootstrap.observations(np.empty((3, 0), dtype=int), np.array([[1], [2], [7]])).weights
    of_first = bootstrap.observations(np.array([[5], [9]]), np.empty((2, 0), dtype=int)).weights
    assert (of_first.sum(axis=1) == 2).all()  # two levels, not three
    assert (bootstrap.weights[:, [1, 3]] == of_last[:, [1, 2]]).all()
    assert (bootstrap.weights[:, 2] == of_first[:, 1] * of_last[:, 1]).all()
    none = np.zeros(4, dtype=bool)
    nobody = PigeonholeBootstrap(first, last, has_first=none, n_resamples=50, generator=rng(0, "w"))
    assert (nobody.weights == of_last[:, [0, 1, 1, 2]]).all()


def test_equal_labels_of_a_first_and_a_last_part_are_two_levels() -> None:
    duran = np.array([3, 3, 4, 5])  # " Duran Duran": both parts are one token
    weights = PigeonholeBootstrap(duran, duran, n_resamples=200, generator=rng(0, "d")).weights
    assert weights.max() > 4 or not (weights.sum(axis=1) == 4).all()


def test_weights_are_products_of_level_counts() -> None:
    first, last = np.array([5, 5, 9]), np.array([1, 2, 2])
    weights = PigeonholeBootstrap(first, last, n_resamples=50, generator=rng(0, "w")).weights
    pair = PigeonholeBootstrap(first, last, n_resamples=50, generator=rng(0, "w"))
    of_first = pair.observations(np.array([[5], [9]]), np.empty((2, 0), dtype=int)).weights
    of_last = pair.observations(np.empty((2, 0), dtype=int), np.array([[1], [2]])).weights
    assert (of_first.sum(axis=1) == 2).all() and (of_last.sum(axis=1) == 2).all()
    expected = np.stack(
        [of_first[:, 0] * of_last[:, 0], of_first[:, 0] * of_last[:, 1], of_first[:, 1] * of_last[:, 1]], axis=1
    )
    assert (weights == expected).all()


def test_a_pair_weighs_the_product_of_its_distinct_names() -> None:
    first, last = np.array(["a", "b"]), np.array(["x", "y"])
    bootstrap = PigeonholeBootstrap(first, last, n_resamples=64, generator=rng(0, "p"))
    a, b = bootstrap.weights.T
    apart = bootstrap.observations(first[None, :], last[None, :]).weights[:, 0]
    assert (apart == a * b).all()
    shared = bootstrap.observations(np.array([["a", "a"]]), last[None, :]).weights[:, 0]
    single = bootstrap.observations(np.array([["a"]]), last[None, :]).weights[:, 0]
    assert (shared == single).all()


def test_the_interval_of_a_constant_is_the_constant() -> None:
    first, last, _ = crossed(rng(0, "constant"))
    bootstrap = PigeonholeBootstrap(first, last, generator=rng(0, "c"))
    for estimate in (bootstrap.mean(np.full(150, 0.1)), bootstrap.median(np.full(150, 0.1))):
        assert (estimate.value, estimate.ci_low, estimate.ci_high) == (0.1, 0.1, 0.1)
    assert bootstrap.mean(np.ones(150, dtype=bool)).ci_high == 1.0


def test_intervals_shift_and_scale_with_the_values_and_ignore_the_order_of_rows() -> None:
    first, last, values = crossed(rng(0, "moves"))
    estimate = PigeonholeBootstrap(first, last, generator=rng(0, "m")).mean(values)
    moved = PigeonholeBootstrap(first, last, generator=rng(0, "m")).mean(3 * values + 7)
    order = rng(0, "order").permutation(150)
    shuffled = PigeonholeBootstrap(first[order], last[order], generator=rng(0, "m")).mean(values[order])
    assert estimate.ci_low is not None
    assert moved.ci_low == pytest.approx(3 * estimate.ci_low + 7, rel=1e-12)
    assert shuffled.ci_low == pytest.approx(estimate.ci_low, rel=1e-9)


def test_every_statistic_equals_its_literal_loop() -> None:
    generator = rng(0, "loops")
    first, last, values = crossed(generator, n=40, levels=8)
    labels, cls = generator.random(40) < 0.4, generator.integers(0, 3, 40)
    bootstrap = PigeonholeBootstrap(first, last, n_resamples=60, generator=generator)
    repeated = [np.repeat(np.arange(40), row.astype(int)) for row in bootstrap.weights]

    def literal(statistic):  # type: ignore[no-untyped-def]
        found = [statistic(rows) for rows in repeated if len(rows)]
        return np.percentile([value for value in found if value is not None], [2.5, 97.5])

    def recall(rows: np.ndarray) -> float | None:
        parts = [labels[rows][cls[rows] == c] for c in range(3)]
        return float(np.mean([part.mean() for part in parts])) if all(len(p) for p in parts) else None

    mean, median = bootstrap.mean(values), bootstrap.median(values)
    balanced = bootstrap.balanced_accuracy(labels, cls)
    assert literal(lambda rows: values[rows].mean()) == pytest.approx([mean.ci_low, mean.ci_high])
    assert literal(lambda rows: np.median(values[rows])) == pytest.approx([median.ci_low, median.ci_high])
    assert literal(recall) == pytest.approx([balanced.ci_low, balanced.ci_high])
    own = bootstrap.weighted(lambda weights: float(weights @ values / weights.sum()))
    assert (own.ci_low, own.ci_high) == pytest.approx((mean.ci_low, mean.ci_high))


def test_a_subset_is_the_statistic_of_its_columns() -> None:
    first, last, values = crossed(rng(0, "subset"))
    bootstrap = PigeonholeBootstrap(first, last, generator=rng(0, "s"))
    where = values > 0
    estimate = bootstrap.mean(values, where=where)
    weights = bootstrap.weights[:, where]
    drawn = weights.sum(axis=1) > 0
    replicates = (weights[drawn] @ values[where]) / weights[drawn].sum(axis=1)
    assert estimate.n == where.sum() and estimate.value == pytest.approx(values[where].mean())
    assert [estimate.ci_low, estimate.ci_high] == pytest.approx(np.percentile(replicates, [2.5, 97.5]))
    several = bootstrap.means(np.stack([values, 2 * values], axis=1), where=where)
    assert several[0].ci_low == pytest.approx(estimate.ci_low)


def test_undefined_resamples_are_dropped_and_counted() -> None:
    first, last = np.arange(6), np.arange(6)
    bootstrap = PigeonholeBootstrap(first, last, generator=rng(0, "undefined"))
    where = np.arange(6) == 0
    where[1] = True
    estimate = bootstrap.mean(np.arange(6.0), where=where)
    assert estimate.dropped == (bootstrap.weights[:, :2].sum(axis=1) == 0).sum() > 0
    with pytest.raises(NotApplicable, match="no observation"):
        bootstrap.mean(np.arange(6.0), where=np.zeros(6, dtype=bool))
    with pytest.raises(NotApplicable, match="undefined"):
        bootstrap.auc(np.arange(6.0), np.ones(6, dtype=bool))
    with pytest.raises(ValueError, match="not finite"):
        bootstrap.mean(np.array([0, 1, np.nan, 3, 4, 5]))


def test_one_observation_has_a_value_and_no_interval() -> None:
    bootstrap = PigeonholeBootstrap(np.array([3]), np.array([4]), generator=rng(0, "one"))
    assert bootstrap.mean(np.array([2.5])).fields == {"value": 2.5, "ci_low": None, "ci_high": None, "n": 1}


def test_the_resamples_do_not_depend_on_how_many_are_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    first, last, values = crossed(rng(0, "memory"))
    kept = PigeonholeBootstrap(first, last, generator=rng(0, "g"))
    weights = kept.weights
    monkeypatch.setattr(module, "_KEPT_BYTES", 0)
    monkeypatch.setattr(module, "_BLOCK_BYTES", 8 * 150 * 7)
    streamed = PigeonholeBootstrap(first, last, generator=rng(0, "g"))
    assert (streamed.weights == weights).all()
    assert streamed.median(values) == kept.median(values)
    assert streamed.mean(values).ci_low == pytest.approx(kept.mean(values).ci_low, rel=1e-12)


def test_a_name_outside_the_table_is_refused() -> None:
    bootstrap = PigeonholeBootstrap(np.arange(3), np.arange(3), generator=rng(0, "x"))
    with pytest.raises(ValueError, match="no levels"):
        bootstrap.observations(np.array([[7]]), np.array([[0]]))


def test_two_hundred_means_of_a_thousand_entities_are_cheap() -> None:
    generator = rng(0, "speed")
    first, last = generator.integers(0, 700, 1100), generator.integers(0, 900, 1100)
    bootstrap = PigeonholeBootstrap(first, last, generator=generator)
    values = generator.normal(size=1100)
    bootstrap.mean(values)
    begin = time.perf_counter()
    for _ in range(20):
        bootstrap.mean(values)
    assert (time.perf_counter() - begin) / 20 < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_weights_of_whole_numbers_are_repetitions(seed: int) -> None:
    generator = rng(seed, "repetitions")
    values = generator.integers(0, 6, 30).astype(float)  # with ties
    labels, cls = np.arange(30) % 2 == 0, np.arange(30) % 3
    weights = generator.integers(0, 4, 30)
    rows = np.repeat(np.arange(30), weights)
    ones = np.ones(len(rows))
    weighed = weights.astype(float)
    assert weighted_median(values, weighed) == np.median(values[rows])
    assert weighted_auc(values, labels, weighed) == pytest.approx(weighted_auc(values[rows], labels[rows], ones))
    assert balanced_accuracy(labels, cls, weighed) == pytest.approx(balanced_accuracy(labels[rows], cls[rows], ones))


@pytest.mark.parametrize("n", [1, 7, 40, 41, 333])
def test_many_medians_are_those_of_one_column_after_the_other(n: int) -> None:
    random = np.random.default_rng(n)
    label = random.integers(0, 12, n)
    draws = PigeonholeBootstrap(label, label, n_resamples=200, generator=rng(0, "medians"))
    values = np.round(random.normal(size=(n, 4)), 1)  # ties and even splits
    where = random.random(n) < 0.7
    where[0] = True
    for chosen in (None, where):
        many = draws.medians(values, where=chosen)
        assert many == tuple(draws.median(column, where=chosen) for column in values.T)
    with pytest.raises(NotApplicable):
        draws.medians(values, where=np.zeros(n, dtype=bool))
