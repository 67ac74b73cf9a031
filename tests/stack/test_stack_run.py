"""A stack's run is a loop over names, written out here; its permutations keep what they are said to keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stack_maker import KINDS, N_LAYERS, make, of_kind
from torch import Tensor

from rote.stack import Stack, StackLayer, permuted
from rote.stack.layers import MATRICES

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
NAMES = np.array([3, 0, 8, 3]), np.array([1, 7, 2, 2])


@pytest.fixture(params=KINDS)
def stack(request: pytest.FixtureRequest) -> Stack:
    return of_kind(request.param)


def slow_norm(x: Tensor, norm: object) -> Tensor:
    """LayerNorm or RMSNorm of one vector, by torch's own functions."""
    if norm is None:
        return x
    weight, bias, eps = norm.weight, norm.bias, norm.eps  # type: ignore[attr-defined]
    if norm.kind == "layer":  # type: ignore[attr-defined]
        return torch.nn.functional.layer_norm(x, x.shape, weight, bias, eps)
    return torch.nn.functional.rms_norm(x, x.shape, weight, eps)


def slow_mlp(layer: StackLayer, x: Tensor) -> Tensor:
    """One vector through one MLP, neuron by neuron."""
    mlp, x = layer.mlp, slow_norm(x, layer.norm)
    out = torch.zeros_like(x) if mlp.b_out is None else mlp.b_out.clone()
    for n in range(mlp.w_in.shape[1]):
        linear = x @ mlp.w_in[:, n] + (0 if mlp.b_in is None else mlp.b_in[n])
        if mlp.w_gate is None:
            post = mlp.activation(linear)
        else:
            post = mlp.activation(x @ mlp.w_gate[:, n] + (0 if mlp.b_gate is None else mlp.b_gate[n])) * linear
        out = out + post * mlp.w_out[n]
    return slow_norm(out, layer.out_norm)


def test_run_equals_a_loop_over_names(stack: Stack) -> None:
    run = stack.run(stack.inputs(*NAMES))
    for i, (first, last) in enumerate(zip(*NAMES, strict=True)):
        x = stack.first[first] + stack.last[last] + stack.constant
        for index, layer in enumerate(stack.layers):
            torch.testing.assert_close(run.resid[index][i], x, **CLOSE)
            read = x if layer.parallel else x + layer.attention
            out = slow_mlp(layer, read)
            torch.testing.assert_close(run.mlp_in[index][i], read, **CLOSE)
            torch.testing.assert_close(run.mlp_out[index][i], out, **CLOSE)
            x = x + layer.attention + out
        torch.testing.assert_close(run.output[i], x, **CLOSE)
    assert stack.numbers == (4, 5, 6)


def test_a_read_shift_reaches_one_mlp_and_what_follows(stack: Stack) -> None:
    x, shift = stack.inputs(*NAMES), torch.randn(1, 12, generator=torch.Generator().manual_seed(3))
    clean, shifted = stack.run(x), stack.run(x, read_shift={1: shift})
    torch.testing.assert_close(shifted.mlp_in[1], clean.mlp_in[1] + shift)
    torch.testing.assert_close(shifted.mlp_out[1], stack.layers[1].mlp_out(clean.mlp_in[1] + shift))
    assert torch.equal(shifted.resid[1], clean.resid[1])  # only the reading is shifted, not the stream
    torch.testing.assert_close(shifted.resid[2], clean.resid[2] + shifted.mlp_out[1] - clean.mlp_out[1], **CLOSE)
    torch.testing.assert_close(shifted.output, stack_from(stack, 2, shifted.resid[2]), **CLOSE)


def stack_from(stack: Stack, layer: int, x: Tensor) -> Tensor:
    return stack.with_layers(stack.layers[layer:], "rest").run(x).output


def test_a_replaced_output_takes_the_place_of_what_the_mlp_adds(stack: Stack) -> None:
    x, value = stack.inputs(*NAMES), torch.randn(1, 12, generator=torch.Generator().manual_seed(4))
    clean, replaced = stack.run(x), stack.run(x, output={0: value})
    assert torch.equal(replaced.mlp_out[0], value.expand(4, -1)) and torch.equal(replaced.mlp_in[0], clean.mlp_in[0])
    torch.testing.assert_close(replaced.resid[1], x + stack.layers[0].attention + value)
    torch.testing.assert_close(replaced.output, stack_from(stack, 1, replaced.resid[1]))
    same = stack.run(x, output=dict(enumerate(clean.mlp_out)))
    assert torch.equal(same.output, clean.output)
    both = stack.run(x, read_shift={0: value}, output={0: clean.mlp_out[0]})  # what is replaced is replaced
    assert torch.equal(both.output, clean.output)


def test_cutting_a_path_by_its_shift_equals_removing_the_output_from_one_reading() -> None:
    """Path 0 → 2: MLP 2 reads the stream without MLP 0's output, everything else is as it was."""
    stack = make(norm=None)
    clean = stack.run(stack.inputs(*NAMES))
    cut = stack.run(stack.inputs(*NAMES), read_shift={2: -clean.mlp_out[0]})
    stream = stack.inputs(*NAMES) + stack.layers[0].attention + stack.layers[1].attention + clean.mlp_out[1]
    torch.testing.assert_close(cut.mlp_in[2], stream, **CLOSE)
    assert torch.equal(cut.mlp_out[1], clean.mlp_out[1])


def test_sequential_blocks_read_the_stream_with_attention_and_parallel_ones_without() -> None:
    parallel, sequential = make(parallel=True), make(parallel=False)
    x = parallel.inputs(*NAMES)
    attention = parallel.layers[0].attention
    torch.testing.assert_close(sequential.run(x).mlp_in[0], parallel.run(x).mlp_in[0] + attention)
    torch.testing.assert_close(sequential.run(x - attention).mlp_out[0], parallel.run(x).mlp_out[0], **CLOSE)


def test_entities_are_rows_of_the_tables(stack: Stack) -> None:
    e = stack.entities
    assert torch.equal(stack.run_entities().resid[0], stack.first[e.first] + stack.last[e.last] + stack.constant)
    taken = e.take(np.array([5, 0, 5]))
    assert taken.names == (e.names[5], e.names[0], e.names[5]) and len(taken) == 3
    assert (taken.first == e.first[[5, 0, 5]]).all() and (taken.cls["sport"] == e.cls["sport"][[5, 0, 5]]).all()
    assert (taken.last == e.last[[5, 0, 5]]).all() and (taken.selection == e.selection[[5, 0, 5]]).all()
    covered = [i for piece in stack.batches(20000) for i in range(piece.start, piece.stop)]
    assert covered == list(range(20000)) and not list(stack.batches(0))


def test_permuted_weights_are_the_same_entries_in_another_order(stack: Stack) -> None:
    generator = np.random.default_rng(0)
    for layer in stack.layers:
        kept = {name: x.clone() for name in MATRICES if (x := getattr(layer.mlp, name)) is not None}
        shuffled = permuted(layer, generator)
        for name in MATRICES:
            before, after = getattr(layer.mlp, name), getattr(shuffled.mlp, name)
            if before is None:
                assert after is None
                continue
            assert after.shape == before.shape and not torch.equal(after, before)
            assert torch.equal(after.flatten().sort().values, before.flatten().sort().values)
            assert torch.equal(before, kept[name])
        assert shuffled.norm is layer.norm and shuffled.attention is layer.attention
        assert shuffled.out_norm is layer.out_norm and shuffled.number == layer.number


def test_a_permutation_is_its_generators() -> None:
    stack = make()
    one, two, other = (stack.shuffled(np.random.default_rng(seed)).run_entities().output for seed in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)
    assert stack.shuffled(np.random.default_rng(1)).name == "shuffled"


def test_matched_permutation_restores_every_neurons_mean_and_sd(stack: Stack) -> None:
    matched = stack.shuffled_matched(np.random.default_rng(0))
    target, run = stack.run_entities(), matched.run_entities()
    for index in range(N_LAYERS):
        wanted = stack.layers[index].pre(target.mlp_in[index])
        pre = matched.layers[index].pre(run.mlp_in[index])
        torch.testing.assert_close(pre.mean(0), wanted.mean(0), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(pre.std(0), wanted.std(0), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(pre, wanted, atol=0.1)
    plain = stack.shuffled(np.random.default_rng(0)).run_entities()
    off = (stack.layers[0].pre(target.mlp_in[0]).std(0) - permuted_pre(stack, plain.mlp_in[0]).std(0)).abs().max()
    assert off > 0.1  # what matching corrects


def permuted_pre(stack: Stack, read: Tensor) -> Tensor:
    return stack.shuffled(np.random.default_rng(0)).layers[0].pre(read)


def test_matched_permutation_keeps_the_output_weights_permuted_only(stack: Stack) -> None:
    matched = stack.shuffled_matched(np.random.default_rng(0))
    for before, after in zip(stack.layers, matched.layers, strict=True):
        assert torch.equal(after.mlp.w_out.flatten().sort().values, before.mlp.w_out.flatten().sort().values)
        assert after.norm is before.norm
    assert matched.name == "shuffled_matched"
