"""A subspace patched at the name, against hooks on one prompt at a time; how many heads that chooses, and whether."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from circuit_world import SETTINGS, World, model
from plain_neox import add
from test_circuit_readout import literal_weight
from torch import Tensor

from rote.asking import Recall, ask
from rote.circuit import Circuit, search
from rote.circuit.extraction import head_readouts
from rote.circuit.flips import (
    flips,
    has_room,
    patch_layer,
    projected,
    random_basis,
    random_within,
    readout_basis,
    value_flips,
    value_span,
)
from rote.circuit.readout_heads import N_RANDOM, choose_readout_heads, reading_heads
from rote.errors import NotApplicable
from rote.experiments.base import Study
from rote.experiments.readout.measure import ReadoutExperiment
from rote.statistics import rng


def projector(columns: Tensor) -> np.ndarray:
    """On the span of linearly independent columns, by the normal equations."""
    a = columns.double().numpy()
    found: np.ndarray = a @ np.linalg.inv(a.T @ a) @ a.T
    return found


def literal_flip(world: World, space: np.ndarray, layer: int, i: int, j: int) -> bool:
    x = [world.clean[n]["resid_pre", layer][world.last[n]].double().numpy() for n in (i, j)]
    change = torch.as_tensor(space @ (x[1] - x[0]))
    trace = world.plain.run(world.full[i], {("resid_pre", layer): add(world.last[i], change)})
    return int(trace["logits"][-1][world.class_tokens].argmax()) == world.cls[j]


def centred(world: World, heads: tuple[tuple[int, int], ...]) -> Tensor:
    """Three centred columns span two dimensions."""
    weight = literal_weight(world, heads)
    return (weight - weight.mean(1, keepdim=True))[:, :2]


def test_patching_the_readouts_subspace(world: World) -> None:
    heads = world.circuit.readout_heads
    layer = min(layer for layer, _ in heads)
    basis = readout_basis(head_readouts(world.recall, heads)[-1].weight)
    random = random_basis(128, 2, np.random.default_rng(0))
    noise = torch.as_tensor(np.random.default_rng(0).standard_normal((128, 2)))
    shares = []
    for space, columns in ((basis, centred(world, heads)), (random, noise)):
        found = flips(world.recall, space, layer)
        for draw, flipped in zip(world.others, found, strict=True):
            for i, j in enumerate(draw):
                assert flipped[i] == literal_flip(world, projector(columns), layer, i, j)
        shares.append(found.mean())
    assert shares[0] > shares[1] + 0.3


def test_the_same_patch_through_the_readout_heads_values_alone(world: World) -> None:
    heads = world.circuit.readout_heads
    layer, space = min(layer for layer, _ in heads), projector(centred(world, heads))
    found = value_flips(world.recall, readout_basis(head_readouts(world.recall, heads)[-1].weight), heads)
    for i, j in list(enumerate(world.others[0]))[::6]:
        s, changes = world.last[i], {}
        x = [world.clean[n]["resid_pre", layer][world.last[n]].double().numpy() for n in (i, j)]
        shift = torch.as_tensor(space @ (x[1] - x[0]))
        for number in sorted({number for number, _ in heads}):
            own = {("attn_in", number): add(s, shift)}
            qkv, value = world.plain.run(world.full[i], own)["qkv", number][s], world.clean[i]["qkv", number][s].clone()
            for _, head in (h for h in heads if h[0] == number):
                part = world.plain.part("v", head)
                value[part] = qkv[part]
            changes["qkv", number] = value_only(world, number, heads, s, value)
        trace = world.plain.run(world.full[i], changes)
        assert found[0, i] == (int(trace["logits"][-1][world.class_tokens].argmax()) == world.cls[j])


def value_only(world: World, layer: int, heads: tuple[tuple[int, int], ...], s: int, value: Tensor):  # type: ignore[no-untyped-def]
    """Replace the values of these heads, and leave the others as the pass makes them."""

    def change(x: Tensor) -> Tensor:
        x = x.clone()
        for number, head in heads:
            if number == layer:
                part = world.plain.part("v", head)
                x[s, part] = value[part]
        return x

    return change


def literal_span(world: World, heads: tuple[tuple[int, int], ...]) -> Tensor:
    columns = []
    for layer, head in heads:
        w = world.plain.block(layer, "input_layernorm.weight")[:, None] * world.plain.w_v(layer, head)
        columns.append(w - w.mean(0))
    return torch.cat(columns, dim=1)


def test_what_heads_can_see_is_the_span_of_their_folded_value_weights(world: World) -> None:
    """Whatever is orthogonal to it changes none of their values."""
    heads = world.circuit.candidates[:2]
    found = value_span(world.recall, heads).double()
    assert found.shape == (128, 64)
    assert np.abs((found @ found.T).numpy() - projector(literal_span(world, heads))).max() < 1e-5
    inside = random_within(found, 2, np.random.default_rng(0))
    assert float((found @ found.T @ inside - inside).abs().max()) < 1e-6
    row, null = projected(random_basis(128, 5, np.random.default_rng(1)), found)
    assert row.shape[1] == null.shape[1] == 5
    for columns in literal_span(world, heads).T:
        assert float((columns @ null).abs().max()) < 1e-5 * float(columns.norm())
        assert float((columns @ row).abs().max()) > 1e-3 * float(columns.norm())
    row, null = projected(inside, found)
    assert (row.shape[1], null.shape[1]) == (2, 0)


@pytest.mark.parametrize(("rank", "size", "room"), [(2, 3, False), (2, 4, True), (3, 5, False), (5, 10, True)])
def test_a_span_has_room_where_its_random_subspaces_hold_half_of_what_it_holds(
    rank: int, size: int, room: bool
) -> None:
    generator = np.random.default_rng(0)
    span = random_basis(16, size, generator)
    inside = span @ torch.as_tensor(generator.standard_normal(size))
    inside /= inside.norm()
    held = [float((random_within(span, rank, generator).T @ inside).square().sum()) for _ in range(4000)]
    assert np.mean(held) == pytest.approx(rank / size, abs=0.02)
    assert has_room(span, rank) == room == (rank / size <= 0.5)


def test_as_few_heads_are_taken_as_come_near_the_largest_gain(world: World) -> None:
    """Flips of the readout's subspace less those of random ones in what the candidates see; on the selection half."""
    candidates, use = world.circuit.candidates, world.selection
    span = projector_basis(literal_span(world, candidates))
    gains = []
    for n in range(1, len(candidates) + 1):
        layer = min(layer for layer, _ in candidates[:n])
        spaces = [projector(centred(world, candidates[:n]))]
        generator = rng(0, "readout_heads", f"sport/within/{n}")
        spaces += [projector(random_within(span, 2, generator)) for _ in range(N_RANDOM)]
        few = use[::5] if n > 2 else use
        shares = [
            np.mean([literal_flip(world, space, layer, i, draw[i]) for draw in world.others for i in few])
            for space in spaces
        ]
        gains.append(shares[0] - np.mean(shares[1:]))
    found = world.circuit.flip_gains
    assert gains[:2] == pytest.approx(found[:2], abs=1e-9)
    assert gains[2:] == pytest.approx(found[2:], abs=0.1)  # of every fifth fact
    enough = max(found) - world.recall.settings.readout_tolerance
    n = 1 + next(k for k, gain in enumerate(found) if gain >= enough)
    assert world.circuit.readout_heads == candidates[:n]


def projector_basis(columns: Tensor) -> Tensor:
    return torch.linalg.svd(columns)[0][:, : int(torch.linalg.matrix_rank(columns))]


def test_the_rank_is_at_most_a_quarter_of_the_width() -> None:
    weight = torch.as_tensor(np.random.default_rng(0).standard_normal((32, 50)))
    basis = readout_basis(weight)
    assert basis.shape == (32, 8)
    leading = torch.linalg.svd(weight - weight.mean(1, keepdim=True))[0][:, :8]
    assert float((basis @ basis.T - leading @ leading.T).abs().max()) < 1e-9
    assert readout_basis(weight[:, :3]).shape == (32, 2)


def without_patterns(recall: Recall) -> Recall:
    """The same facts with the answers permuted: what heads bring from the name has nothing to do with them."""
    cls = np.random.default_rng(0).permutation(recall.prompts.cls)
    return replace(recall, prompts=replace(recall.prompts, cls=cls), readouts={})


def test_where_flips_do_not_beat_random_ones_nothing_reads_the_name(world: World) -> None:
    recall = without_patterns(world.recall)
    found = choose_readout_heads(recall)
    assert found.heads == ()
    assert found.reason is not None and found.reason.startswith("There is no readout at the name: ")
    with pytest.raises(NotApplicable, match="no readout at the name"):
        reading_heads(recall)
    circuit = search(recall)
    assert circuit.readout_heads == () and circuit.no_readout == circuit.no_window == found.reason
    assert Circuit.from_json(circuit.to_json()) == circuit
    with pytest.raises(NotApplicable, match="no readout at the name"):
        circuit.require_readout()
    study = Study(prompts=recall.prompts, known=ask(model(), recall.prompts, SETTINGS), recall=recall, circuit=circuit)
    record = ReadoutExperiment().record(study)
    assert {r.statistic for r in record.rows} <= {"n_readout_heads", "flip_gain"}
    assert {a.reason for a in record.absent} == {found.reason}
    # the control: with the true answers the same search finds heads
    assert choose_readout_heads(world.recall).reason is None
    # and a rehearsal goes on whatever it finds
    assert choose_readout_heads(recall, rehearse=True).heads


def test_a_readouts_subspace_is_patched_before_the_earliest_of_its_heads() -> None:
    assert patch_layer(((5, 1), (3, 2), (4, 0))) == 3
