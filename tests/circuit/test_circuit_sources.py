"""Direct effects split by source token, against sums over keys of one prompt at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from circuit_world import World, value
from test_circuit_heads import FEW, difference
from test_circuit_layouts import recall_of, tiny
from test_circuit_names import study_of
from torch import Tensor

from rote.circuit.direct_effects import direct_effects
from rote.circuit.source_effects import source_effects
from rote.experiments.direct_effects.measure import DirectEffectsExperiment
from rote.facts.prompts import POSITIONS


def kinds(world: World, i: int) -> list[str]:
    """What each position of a fact's prompt is; names have two tokens, and there is no prefix."""
    s, end = world.last[i], len(world.full[i]) - 1
    found = ["bos", *["relation_words"] * (s - 2), "name_early", "subject_last"]
    return found + ["relation_words"] * (end - s - 1) + ["end"]


def written(world: World, layer: int, head: int, kind: str, i: int) -> Tensor:
    """Σ pattern · v · W_O over one kind of position, term by term."""
    plain, trace = world.plain, world.clean[i]
    total = torch.zeros(128, dtype=torch.float64)
    for k, what in enumerate(kinds(world, i)):
        if what == kind:
            value = trace["qkv", layer][k][plain.part("v", head)].double()
            total += trace["pattern", layer][head, -1, k].double() * (value @ plain.w_o(layer, head))
    return total


def literal_part(world: World, layer: int, head: int, kind: str, i: int) -> float:
    effects = []
    for draw in world.others:
        j, x = draw[i], world.clean[i]["resid_post", world.plain.n_layers - 1][-1].double()
        changed = x - written(world, layer, head, kind, i) + written(world, layer, head, kind, j)
        before, after = (world.plain.final_logits(r, world.plain.scale(x), world.class_tokens) for r in (x, changed))
        effects.append(difference(before, world.cls[i], world.cls[j]) - difference(after, world.cls[i], world.cls[j]))
    return float(np.mean(effects))


@pytest.mark.parametrize("layer", range(6))
def test_a_part_is_the_sum_over_its_keys_of_pattern_times_value(world: World, layer: int) -> None:
    parts = source_effects(world.recall).parts
    largest = np.abs(parts).max()
    for i in list(FEW)[::2]:
        for head in range(4):
            for place, kind in enumerate(POSITIONS):
                literal = literal_part(world, layer, head, kind, i)
                assert abs(literal - parts[i, layer, head, place]) < 1e-5 * largest, (head, kind)


@pytest.mark.parametrize("layout", ["organism", "gpt2", "llama", "gemma2", "neox in sequence"])
def test_the_parts_sum_to_the_heads_effect(world: World, layout: str) -> None:
    """Also behind norms that follow attention, with grouped queries, and in prompts of different lengths."""
    recall = study_of(world, 48, 14).recall if layout == "organism" else recall_of(tiny(layout))
    assert layout != "organism" or len(np.unique(recall.prompts.length)) > 1
    parts, whole = source_effects(recall).parts, direct_effects(recall).heads
    assert np.abs(parts.sum(-1) - whole).max() < 1e-5 * np.abs(whole).max()
    assert np.abs(parts[..., POSITIONS.index("prefix")]).max() == 0  # nothing stands there
    # the control: a kind left out is missed
    assert np.abs(parts[..., :-2].sum(-1) - whole).max() > 1e-3 * np.abs(whole).max()


def test_source_effects_are_means_over_each_half_and_readout_heads_are_ranked(world: World) -> None:
    record = DirectEffectsExperiment().record(world.study)
    layer, head = world.circuit.readout_heads[0]
    for condition, half in (("selection", world.selection), ("report", world.report)):
        for kind in ("subject_last", "end"):
            effects = [literal_part(world, layer, head, kind, i) for i in half]
            key = {"layer": layer, "head": head, "condition": condition, "position": kind}
            assert value(record, "source_effect", **key) == pytest.approx(np.mean(effects), abs=1e-5)
    ranks = {r.value: (r.layer, r.head) for r in record.rows if r.statistic == "readout_head"}
    assert [ranks[n] for n in sorted(ranks)] == list(world.circuit.readout_heads)


def test_candidates_are_the_largest_signed_parts_from_the_name(world: World) -> None:
    means = {
        (layer, head): np.mean([literal_part(world, layer, head, "subject_last", i) for i in world.selection])
        for layer in range(1, 6)  # where a head of layer 0 reads, nothing has been looked up
        for head in range(4)
    }
    order = sorted(means, key=lambda node: -means[node])
    clear = [node for node in order[:6] if means[node] > 1e-4 * means[order[0]]]  # the rest is rounding
    assert len(clear) >= 4
    assert world.circuit.candidates[: len(clear)] == tuple(clear)
    assert any(mean < 0 for mean in means.values())
    parts = source_effects(world.recall).parts[world.selection].mean(0)
    assert all(means[node] > 1e-5 * np.abs(parts).max() for node in world.circuit.candidates)
    # fewer are asked for than there are heads above rounding, and of more none below it is taken
    wanted = source_effects(world.recall).name_heads(world.recall.selection, 20)
    assert set(wanted) == {node for node, mean in means.items() if mean > 1e-5 * np.abs(parts).max()}
    assert any(0 < mean <= 1e-5 * np.abs(parts).max() for mean in means.values())
