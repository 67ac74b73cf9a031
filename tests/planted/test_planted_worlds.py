"""The worlds that certify the judge hold what they are said to hold, by measures of their own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from calibration.certify import Tally, clopper_pearson, has, tally, tuned, verdict
from calibration.worlds import PLANTS, World, world
from scipy.stats import binom

from rote.catalog import PREDICTIONS, Prediction
from rote.stack import Stack

SEEDS = range(3)


def silenced(stack: Stack, layer: int) -> float:
    """The largest change of a later MLP's output, over its size, when one MLP's output becomes another name's."""
    x = stack.inputs(stack.entities.first, stack.entities.last)
    run = stack.run(x)
    changed = stack.run(x, output={layer: run.mlp_out[layer].roll(1, 0)})
    later = range(layer + 1, len(stack.layers))
    return max(float((changed.mlp_out[j] - run.mlp_out[j]).norm() / run.mlp_out[j].norm()) for j in later)


def interaction(stack: Stack) -> float:
    """Share of the output's standard deviation over the whole product that no sum over tokens explains."""
    n = len(stack.first)
    first, last = np.divmod(np.arange(n * n), n)
    out = stack.run(stack.inputs(first, last)).output.double().reshape(n, n, -1)
    joint = out - out.mean(0, keepdim=True) - out.mean(1, keepdim=True) + out.mean((0, 1))
    return float(joint.norm() / (out - out.mean((0, 1))).norm())


@pytest.fixture(scope="module")
def worlds() -> Mapping[str, list[World]]:
    torch.set_num_threads(1)
    return {truth: [world(truth, seed) for seed in SEEDS] for truth in PLANTS}


def test_every_plant_holds_its_facts(worlds: Mapping[str, list[World]]) -> None:
    for truth, found in worlds.items():
        if truth == "additive":  # a sum over tokens holds no more than that of random labels
            n_classes = [w.shape.n_classes[0] for w in found]
            assert all(w.accuracy > 1 / k + 0.1 for w, k in zip(found, n_classes, strict=True))
        else:
            assert all(w.accuracy >= 0.9 for w in found), truth


@pytest.mark.parametrize("truth", ["single_step", "parallel", "and_gates"])
def test_layers_of_a_single_step_hardly_read_each_other(worlds: Mapping[str, list[World]], truth: str) -> None:
    """Exactly not without a norm; with one its scale leaks. A hash is the positive control."""
    for w in worlds[truth]:
        # gates stand on the edge for names that share one token, where float32 opens some of them a little
        exact = 0.03 if truth == "and_gates" else 1e-4
        assert silenced(w.stack, 0) <= (exact if w.shape.norm == "none" else 0.2)
    assert min(silenced(w.stack, len(w.stack.layers) - 2) for w in worlds["hash"]) > 0.3


def test_an_additive_world_is_a_sum_over_tokens_and_its_neurons_are_not_linear(
    worlds: Mapping[str, list[World]],
) -> None:
    assert max(interaction(w.stack) for w in worlds["additive"]) < 1e-5
    assert min(interaction(w.stack) for w in worlds["hash"]) > 0.05


def test_every_parallel_layer_answers_alone(worlds: Mapping[str, list[World]]) -> None:
    def alone(w: World) -> float:
        run = w.stack.run_entities()
        base = run.output - sum(run.mlp_out, torch.zeros_like(run.output))
        readout, cls = w.stack.readouts["fact"], w.stack.entities.cls["fact"]
        outputs = [base + len(run.mlp_out) * out for out in run.mlp_out]
        return min(float((readout.centred_on(out).predict(out) == cls).mean()) for out in outputs)

    assert min(alone(w) for w in worlds["parallel"]) > 0.85
    assert max(alone(w) for w in worlds["hash"]) < 0.75


def test_the_layers_before_a_hash_plant_s_last_are_random(worlds: Mapping[str, list[World]]) -> None:
    """They are those of the untrained stack: another truth's labels give the same first layers."""
    for w in worlds["hash"]:
        again = world("hash", w.seed)
        for one, other in zip(w.stack.layers, again.stack.layers, strict=True):
            assert torch.equal(one.mlp.w_in, other.mlp.w_in)
        x = w.stack.inputs(w.stack.entities.first, w.stack.entities.last)
        hashed = w.stack.run(x).resid[-2]
        readout, cls = w.stack.readouts["fact"], w.stack.entities.cls["fact"]
        chance = np.bincount(cls).max() / len(cls)
        assert (readout.centred_on(hashed).predict(hashed) == cls).mean() < chance + 0.2


@pytest.mark.parametrize(("wrong", "n"), [(0, 72), (0, 80), (1, 110), (5, 90)])
def test_clopper_pearson_inverts_the_binomial(wrong: int, n: int) -> None:
    low, high = clopper_pearson(wrong, n)
    assert binom.cdf(wrong, n, high) == pytest.approx(0.025)
    assert low == 0.0 if wrong == 0 else binom.sf(wrong - 1, n, low) == pytest.approx(0.025)


def cell(p: Prediction, model: float, with_: float, without: float) -> dict[str, object]:
    """A world's record of one cell: five members of every control, close together."""
    spread = np.linspace(-0.01, 0.01, 5)
    controls = {name: [[with_ + s, None, None] for s in spread] for name in p.with_controls}
    controls |= {name: [[without + s, None, None] for s in spread] for name in p.without_controls}
    return {"model": [model, model - 0.01, model + 0.01], "controls": controls}


def test_tallies_count_what_a_truth_has_and_lacks() -> None:
    p = next(p for p in PREDICTIONS if p.cell == "hash_and_lookup/path_ablation/path_share/additive")
    assert (has(p, "hash"), has(p, "single_step"), has(p, "additive"), has(p, "free")) == (True, False, None, None)
    near, far = cell(p, 0.85, 1.0, 0.0), cell(p, 0.0, 1.0, 0.0)
    assert verdict(near, p, 0.0) == "in between" and verdict(near, p, 0.2) == "consistent"
    records = [{"truth": "hash", "cells": {p.cell: near}}] * 3 + [{"truth": "hash", "cells": {p.cell: far}}]
    found = tally(records, p, 0.2)["hash"]
    assert (found.worlds, found.decisive, found.right, found.wrong) == (4, 4, 3, 1)
    assert tuned(records[:3], p) == 0.2, "the smallest reach with which the plants are judged rightly"


def test_a_cell_is_good_only_with_enough_errorless_cases() -> None:
    from collections import Counter

    def good(**verdicts: int) -> bool:
        counts = Counter({name.replace("_", " "): n for name, n in verdicts.items()})
        return Tally(worlds=sum(counts.values()), verdicts=counts, has=True).good

    assert good(consistent=72)
    assert not good(consistent=71)
    assert not good(consistent=100, inconsistent=2)
    assert not good(consistent=70, in_between=30), "a judge that is never wrong because it never says anything"
    assert not good(not_decisive=100)
