"""Bits, the construction by hand, the bisection and the exponents, each against what is known."""

from __future__ import annotations

from math import log2

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rote.errors import NotApplicable
from rote.toys.bits import stored_bits
from rote.toys.capacity.by_hand import BITS_PER_WEIGHT, by_hand, by_hand_architecture
from rote.toys.capacity.exponents import AXES, exponent, slope
from rote.toys.capacity.measure import Configuration, bisect, measure
from rote.toys.networks import forward
from rote.toys.pairs import AllPairs
from rote.toys.training import Training, predicted

AXIS = {axis.name: axis for axis in AXES}


@given(st.integers(1, 1000), st.floats(0.01, 0.99), st.integers(2, 20))
def test_bits_are_the_mutual_information(n: int, accuracy: float, n_classes: int) -> None:
    """Of answer and class, summed over the joint distribution in which wrong answers are spread evenly."""
    if accuracy <= 1 / n_classes:
        assert stored_bits(n, accuracy, n_classes) == 0
        return
    wrong = (1 - accuracy) / (n_classes - 1)
    joint = [accuracy / n_classes] * n_classes + [wrong / n_classes] * n_classes * (n_classes - 1)
    information = sum(p * log2(p * n_classes**2) for p in joint)
    assert stored_bits(n, accuracy, n_classes) == pytest.approx(n * information, abs=1e-9)


def test_bits_of_what_is_certain_and_of_a_coin() -> None:
    assert stored_bits(100, 1.0) == 100 and stored_bits(100, 0.5) == 0 and stored_bits(10, 1.0, 16) == 40
    assert stored_bits(100, 0.99) == pytest.approx(91.92, abs=0.01)
    with pytest.raises(ValueError, match="fraction"):
        stored_bits(10, 1.2)


@pytest.mark.parametrize("n", [3, 8, 33, 128])
def test_the_construction_by_hand_stores_every_table(n: int) -> None:
    tables = np.random.default_rng(n).integers(0, 3, (2, n, n))
    architecture = by_hand_architecture(n)
    answers = predicted(forward(architecture, by_hand(tables), AllPairs(n)).logits)
    assert np.array_equal(answers.numpy(), tables.reshape(2, -1))
    assert architecture.n_mlp_parameters == n * n + 6 * n + 3


def test_the_construction_reaches_its_bits_in_the_limit() -> None:
    per_parameter = [stored_bits(n * n, 1.0, 3) / by_hand_architecture(n).n_mlp_parameters for n in (8, 128, 4096)]
    assert per_parameter == sorted(per_parameter) and per_parameter[1] > 1.5
    assert per_parameter[2] == pytest.approx(BITS_PER_WEIGHT, abs=0.003)
    assert round(BITS_PER_WEIGHT, 3) == 1.585


def test_without_its_gate_the_construction_stores_nothing() -> None:
    table = np.random.default_rng(0).integers(0, 3, (1, 16, 16))
    parameters = by_hand(table)
    parameters["in_0"] = torch.cat([parameters["in_0"][:, :16], torch.zeros(1, 2, 16)], dim=1)
    answers = predicted(forward(by_hand_architecture(16), parameters, AllPairs(16)).logits)
    assert float((answers.numpy() == table.reshape(1, -1)).mean()) < 0.6
    with pytest.raises(ValueError, match="expected"):
        by_hand(np.full((1, 4, 4), 3))


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=5), st.integers(1, 400), st.integers(2, 800))
def test_the_bisection_finds_a_known_edge(edges: list[int], low: int, high: int) -> None:
    edge = np.array(edges)
    found = bisect(lambda models, n: n <= edge[models], len(edges), low, high, precision=0.05)
    assert (found.stored <= edge).all() and (found.failed > edge).all()
    assert all(f <= max(1.05 * s, s + 1) for s, f in zip(found.stored, found.failed, strict=True))


def test_the_bisection_stops_at_the_most_there_are() -> None:
    found = bisect(lambda models, n: np.ones(len(models), dtype=bool), 2, 10, 30, precision=0.05, most=100)
    assert found.stored.tolist() == [100, 100] and found.failed.tolist() == [0, 0]


def test_the_bisection_asks_only_for_networks_that_are_open() -> None:
    asked: list[int] = []

    def stores(models: np.ndarray, n: np.ndarray) -> np.ndarray:
        asked.append(len(models))
        return np.asarray(n <= np.array([0, 4000])[models])

    bisect(stores, 2, 1, 4, precision=0.05)
    assert asked[0] == 2 and asked[-1] == 1


def test_a_trained_network_stores_what_is_reported_and_a_larger_one_more() -> None:
    training = Training(steps=200, learning_rate=0.02, enough=0.99)
    small, large = (measure(Configuration(n_neurons=m, d_model=8), [0, 1, 2], training, 0.25) for m in (2, 8))
    assert (small["accuracy"] >= 0.99).all() and (large["accuracy"] >= 0.99).all()
    assert large["facts_stored"].mean() > 1.5 * small["facts_stored"].mean()
    direct = [stored_bits(n, a) for n, a in zip(small["facts_stored"], small["accuracy"], strict=True)]
    assert small["bits"].tolist() == pytest.approx(direct)
    assert (small["bits"] / small["trained_parameters"]).mean() > 0.5


def grid(neurons: float, d_model: float, *, noise: float = 0.0) -> pd.DataFrame:
    """Facts = neurons^a · d_model^b on a full grid, with noise per network."""
    generator = np.random.default_rng(0)
    rows = [
        {
            "n_neurons": m,
            "d_model": d,
            "n_layers": 1,
            "n_classes": 2,
            "embedding": "random",
            "seed": seed,
            "trained_parameters": m * d,
            "facts_stored": 10 * m**neurons * d**d_model * np.exp(noise * generator.standard_normal()),
        }
        for m in (8, 16, 32)
        for d in (8, 16, 32)
        for seed in range(4)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("neurons", "d_model"), [(1.0, 1.0), (1.5, 0.5), (0.7, 1.2)])
def test_planted_exponents_are_found(neurons: float, d_model: float) -> None:
    exact, noisy = grid(neurons, d_model), grid(neurons, d_model, noise=0.1)
    wanted = {"neurons": neurons, "d_model": d_model, "neurons and d_model together": neurons + d_model}
    for name, value in wanted.items():
        assert exponent(exact, AXIS[name], value="facts_stored", seed=0).value == pytest.approx(value)
        found = exponent(noisy, AXIS[name], value="facts_stored", seed=0)
        assert found.ci_low is not None and found.ci_high is not None
        assert found.ci_low < value < found.ci_high and found.ci_high - found.ci_low < 0.6
    parameters = exponent(exact, AXIS["parameters"], value="facts_stored", seed=0)
    assert parameters.value == pytest.approx((neurons + d_model) / 2)


def test_an_axis_that_does_not_vary_has_no_exponent() -> None:
    with pytest.raises(NotApplicable, match="layers"):
        exponent(grid(1, 1), AXIS["layers"], value="facts_stored", seed=0)


def test_the_slope_is_least_squares_with_an_intercept_per_group() -> None:
    generator = np.random.default_rng(1)
    x, y, group = generator.standard_normal(20), generator.standard_normal(20), np.arange(20) % 3
    weights = generator.integers(0, 3, (4, 20)).astype(float)
    found = slope(x, y, group, weights)
    for w, value in zip(weights, found, strict=True):
        root = np.sqrt(w)[:, None]
        design = np.column_stack([x, np.eye(3)[group]])
        assert value == pytest.approx(np.linalg.lstsq(root * design, root[:, 0] * y, rcond=None)[0][0])
