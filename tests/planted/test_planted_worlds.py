"""The worlds that certify the judge hold what they are said to hold, by measures of their own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from calibration.certify import Tally, clopper_pearson, has, tally, tuned, verdict
from calibration.parts import judged, table
from calibration.run import unusual, usual
from calibration.worlds import PLANTS, UNUSUAL, World, possible, world
from scipy.stats import binom

from rote.catalog import PREDICTIONS, Prediction
from rote.stack import Stack

SEEDS = range(3)


def silenced(stack: Stack, layer: int) -> float:
    """The largest change of a later MLP's output, over its size, when one MLP's output becomes another name's."""
    x, strata = stack.inputs(stack.entities.first, stack.entities.last), stack.strata_of(stack.entities.first)
    run = stack.run(x, strata)
    changed = stack.run(x, strata, output={layer: run.mlp_out[layer].roll(1, 0)})
    later = range(layer + 1, len(stack.layers))
    return max(float((changed.mlp_out[j] - run.mlp_out[j]).norm() / run.mlp_out[j].norm()) for j in later)


def interaction(stack: Stack) -> float:
    """Share of the output's standard deviation over the whole product that no sum over tokens explains."""
    n, m = len(stack.first), len(stack.last)
    if stack.stratum is not None:  # of the first one: only its parts make names with each other
        n = m = int((stack.stratum == 0).sum())
    first, last = np.divmod(np.arange(n * m), m)
    out = stack.run_names(first, last).output.double().reshape(n, m, -1)
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


@pytest.fixture(scope="module")
def unusual_worlds() -> list[World]:
    torch.set_num_threads(1)
    return [world(t, 0, parts) for t in ("single_step", "hash", "additive") for parts in UNUSUAL]


def test_people_share_parts_as_the_kind_of_world_says(unusual_worlds: list[World]) -> None:
    sides = {"shared": ((14, 16), (14, 16)), "rare": ((90, 95), (90, 95)), "unequal": ((12, 12), (120, 120))}
    sides["strata"] = ((36, 36), (36, 36))
    for w in unusual_worlds:
        entities = w.stack.entities
        for table_, (low, high) in zip((w.stack.first, w.stack.last), sides[w.parts], strict=True):
            assert low <= len(table_) <= high
        if w.truth != "additive":  # of which only what a sum can hold is kept
            assert set(entities.first) == set(range(len(w.stack.first)))
            assert set(entities.last) == set(range(len(w.stack.last)))
            assert w.accuracy >= 0.9


def test_mechanisms_are_the_same_on_unusual_parts(unusual_worlds: list[World]) -> None:
    for w in unusual_worlds:
        if w.truth == "additive":
            assert interaction(w.stack) < 1e-5
        elif w.truth == "single_step":
            assert silenced(w.stack, 0) <= (1e-4 if w.shape.norm == "none" else 0.25)
        else:
            assert silenced(w.stack, len(w.stack.layers) - 2) > 0.3 and interaction(w.stack) > 0.05


def test_gates_need_a_dimension_for_every_part() -> None:
    assert not possible("and_gates", "rare") and possible("and_gates", "unequal")
    with pytest.raises(ValueError, match="too many"):
        world("and_gates", 0, "rare")
    assert all(possible(truth, parts) for truth, _, parts in unusual(2)) and len(unusual(2)) == 2 * (4 * 5 - 2)


def test_strata_share_no_part_and_have_what_is_their_own(unusual_worlds: list[World]) -> None:
    for w in (w for w in unusual_worlds if w.parts == "strata"):
        strata, entities = w.stack.strata_of(w.stack.entities.first), w.stack.entities
        assert strata is not None and set(strata) == {0, 1, 2}
        assert (entities.last // 12 == strata).all(), "the last part is of the same stratum"
        if w.truth != "additive":
            assert all(not torch.equal(layer.attention[0], layer.attention[1]) for layer in w.stack.layers)


def test_the_worlds_that_certify_are_drawn_as_ever() -> None:
    """Names and classes of two of them, as they were when the certification was written."""
    drawn = {}
    for truth in ("hash", "and_gates"):
        entities = world(truth, 0).stack.entities
        names = hashlib.sha256(" ".join(entities.names).encode()).hexdigest()[:16]
        drawn[truth] = (names, "".join(map(str, entities.cls["fact"][:12])))
    assert drawn == {"hash": ("52d7e0921c1649e8", "100020210101"), "and_gates": ("adfafce512eefc16", "012222022001")}
    assert {parts for _, _, parts in usual(3)} == {"square"}


def test_words_on_unusual_parts_are_counted_by_the_certified_reaches(tmp_path: Path) -> None:
    name = "hash_and_lookup/path_ablation/path_share/additive"
    p = next(p for p in PREDICTIONS if p.cell == name)
    blind = next(p for p in PREDICTIONS if p.cell.startswith("hash_and_lookup/layer_probes/early_rise"))
    lines = [
        {"truth": "hash", "parts": "rare", "cells": {name: cell(p, 1.0, 1.0, 0.0)}},
        {"truth": "hash", "parts": "rare", "cells": {name: cell(p, 0.0, 1.0, 0.0)}},
        {"truth": "hash", "parts": "rare", "cells": {name: cell(p, 0.5, 1.0, 0.0)}},
        {"truth": "single_step", "parts": "rare", "cells": {name: cell(p, 0.0, 1.0, 0.0)}},
        {"truth": "parallel", "parts": "shared", "failed": "why"},
        {"truth": "additive", "parts": "shared", "cells": {blind.cell: cell(blind, 1.0, 1.0, 0.0)}},
    ]
    path = tmp_path / "parts.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    found = judged(path)
    assert (found["rare", "hash"]["right"], found["rare", "hash"]["wrong"], found["rare", "hash"]["undecided"]) == (
        1,
        1,
        1,
    )
    assert found["rare", "single_step"]["right"] == 1 and found["shared", "parallel"]["failed"] == 1
    assert not found["shared", "additive"]["right"] + found["shared", "additive"]["wrong"], "no prediction, no word"
    assert "| rare | hash | 3 | 1 | 1 | 1 |" in table(path) and f"- rare, hash: {name}, 1 times" in table(path)


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
