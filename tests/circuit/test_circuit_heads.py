"""Direct effects, attention, value inputs and key-or-value paths of heads, against hooks on one prompt at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from circuit_world import World
from plain_neox import Change, put
from torch import Tensor

from rote.circuit.direct_effects import direct_effects
from rote.circuit.top_heads import head_attention, key_or_value, value_inputs

FEW = range(0, 90, 9)  # facts on which a slow twin is looped


def node_output(world: World, node: tuple[str, int, int | None], i: int, position: int) -> Tensor:
    """What a head or MLP adds to the residual stream at a position, in fact i's clean run."""
    kind, layer, head = node
    trace = world.clean[i]
    if kind == "embed":
        return trace["resid_pre", 0][position].double()
    if kind == "mlp":
        return trace["mlp_out", layer][position].double()
    assert head is not None
    z = trace["z", layer][position][world.plain.of_head(head)]
    return z.double() @ world.plain.w_o(layer, head)


def difference(logits: Tensor, a: int, b: int) -> float:
    return float(logits[a] - logits[b])


def literal_direct_effect(world: World, node: tuple[str, int, int | None], i: int) -> float:
    effects = []
    for draw in world.others:
        j, x = draw[i], world.clean[i]["resid_post", world.plain.n_layers - 1][-1].double()
        changed = x - node_output(world, node, i, -1) + node_output(world, node, j, -1)
        scale = world.plain.scale(x)
        before, after = (world.plain.final_logits(r, scale, world.class_tokens) for r in (x, changed))
        effects.append(difference(before, world.cls[i], world.cls[j]) - difference(after, world.cls[i], world.cls[j]))
    return float(np.mean(effects))


@pytest.mark.parametrize("layer", range(6))
def test_direct_effects_are_replaced_outputs_under_the_final_norms_clean_scale(world: World, layer: int) -> None:
    effects = direct_effects(world.recall)
    largest = np.abs(effects.heads).max()
    for i in FEW:
        for head in range(4):
            literal = literal_direct_effect(world, ("head", layer, head), i)
            assert abs(literal - effects.heads[i, layer, head]) < 1e-5 * largest
        assert abs(literal_direct_effect(world, ("mlp", layer, None), i) - effects.mlps[i, layer]) < 1e-5 * largest


def test_top_heads_are_the_largest_mean_effects_on_the_selection_half(world: World) -> None:
    means = {
        (layer, head): np.mean([literal_direct_effect(world, ("head", layer, head), i) for i in world.selection])
        for layer in range(1, 6)  # where a head of layer 0 reads, nothing has been looked up
        for head in range(4)
    }
    order = sorted(means, key=lambda node: -means[node])
    clear = [node for node in order[:6] if means[node] > 1e-4 * means[order[0]]]  # the rest is rounding
    assert len(clear) >= 4
    assert world.circuit.top_heads[: len(clear)] == tuple(clear)
    assert len(set(world.circuit.top_heads)) == 6
    assert all(layer > 0 for layer, _ in world.circuit.top_heads)


def test_attention_by_kind_of_position_is_the_eager_pattern_summed(world: World) -> None:
    heads = world.circuit.top_heads
    found = head_attention(world.recall.full, world.recall.prompts, heads)
    for i in FEW:
        s, end = world.last[i], len(world.full[i]) - 1
        kinds = ["bos", *["relation_words"] * (s - 2), "name_early", "subject_last"]
        kinds += ["relation_words"] * (end - s - 1) + ["end"]
        assert len(kinds) == end + 1
        for layer, head in heads:
            row = world.clean[i]["pattern", layer][head, end]
            for kind, weights in found[layer, head].items():
                literal = sum(float(w) for w, k in zip(row, kinds, strict=True) if k == kind)
                assert abs(literal - weights[i]) < 1e-5
            assert abs(sum(w[i] for w in found[layer, head].values()) - 1) < 1e-5


def through_value(world: World, target: tuple[int, int], change: Tensor, i: int) -> Tensor:
    """Class logits when a head's value at the name reads a residual stream shifted there: two passes, the first
    for the value, the second clean but for it."""
    layer, head = target
    s, part = world.last[i], world.plain.part("v", head)
    shifted = world.clean[i]["attn_in", layer][s] + change.float()
    first = world.plain.run(world.full[i], {("attn_in", layer): put(s, shifted)})
    value = world.clean[i]["qkv", layer][s].clone()
    value[part] = first["qkv", layer][s][part]
    second = world.plain.run(world.full[i], {("qkv", layer): put(s, value)})
    return second["logits"][-1][world.class_tokens]


def test_value_inputs_are_true_path_patches(world: World) -> None:
    target = world.circuit.top_heads[0]
    found = value_inputs(world.recall, target)
    nodes = {"embed": ("embed", 0, None), "mlp.0": ("mlp", 0, None), "mlp.2": ("mlp", 2, None), "L0H1": ("head", 0, 1)}
    assert set(found) == {"embed"} | {f"mlp.{n}" for n in range(target[0])} | {
        f"L{n}H{h}" for n in range(target[0]) for h in range(4)
    }
    largest = max(np.abs(x).max() for x in found.values())
    for name, node in nodes.items():
        for i in FEW:
            effects = []
            clean = world.clean[i]["logits"][-1][world.class_tokens]
            for draw in world.others:
                j = draw[i]
                change = node_output(world, node, j, world.last[j]) - node_output(world, node, i, world.last[i])
                patched = through_value(world, target, change, i)
                a, b = world.cls[i], world.cls[j]
                effects.append(difference(clean, a, b) - difference(patched, a, b))
            assert abs(np.mean(effects) - found[name][i]) < 1e-5 * largest, name


def only_parts(position: int, parts: list[slice], value: Tensor) -> Change:
    """Replace some heads' keys or values at one position, and leave the others as the pass makes them."""

    def change(x: Tensor) -> Tensor:
        x = x.clone()
        for part in parts:
            x[position, part] = value[part]
        return x

    return change


@pytest.mark.parametrize(("path", "letter"), [("key", "k"), ("value", "v")])
@pytest.mark.parametrize("how", ["mean", "resample"])
def test_an_mlp_ablated_along_keys_or_values_only(world: World, path: str, letter: str, how: str) -> None:
    mlp, heads = 2, world.circuit.top_heads
    clean = world.at_name("mlp_out", mlp)
    average = torch.stack(clean).mean(0)
    draws = [None] if how == "mean" else world.others
    found = key_or_value(world.recall, heads, mlp, letter, how)
    assert len(found) == len(draws)
    for draw, (right, right_cls) in zip(draws, found, strict=True):
        for i in range(len(world.recall)):
            s, changes = world.last[i], {}
            shift = (average if draw is None else clean[draw[i]]) - clean[i]
            for layer in sorted({layer for layer, _ in heads if layer > mlp}):
                x = world.clean[i]["attn_in", layer][s] + shift
                first = world.plain.run(world.full[i], {("attn_in", layer): put(s, x)})
                parts = [world.plain.part(letter, h) for n, h in heads if n == layer]
                changes["qkv", layer] = only_parts(s, parts, first["qkv", layer][s])
            trace = world.plain.run(world.full[i], changes)
            assert right[i] == world.right_token(trace, i)
            assert right_cls[i] == world.right(trace, i)


def test_an_mlp_beside_the_heads_is_no_input_of_theirs(world: World) -> None:
    last = max(layer for layer, _ in world.circuit.top_heads)
    for right, _ in key_or_value(world.recall, world.circuit.top_heads, last, "v", "mean"):
        assert (right == world.recall.clean.scores.correct.numpy()).all()
