"""Operations against a count by hand, multiplication by multiplication, on a model small enough to write down."""

from __future__ import annotations

import pytest
import torch
from benchmarks.shapes import SHAPES, TINY, Shape
from benchmarks.workloads import LENGTH, SUBJECT, WORKLOADS, all_units, inputs, units, workload_named, worth
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from benchmarks import operations

SMALL = Shape(name="small", n_layers=3, d_model=8, n_heads=2, window=(0, 1), blocks_read=2, d_vocab=11)


def counted(shape: Shape, rows: int, length: int) -> int:
    """What torch counts in a whole forward pass with logits everywhere."""
    model = GPTNeoXForCausalLM._from_config(GPTNeoXConfig(**shape.config()), attn_implementation="eager")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.ones(rows, length, dtype=torch.long), use_cache=False)
    return counter.get_total_flops()


def test_a_forward_pass_counts_as_torch_counts_it() -> None:
    ours = 3 * operations.block(SMALL, 2 * 5, 5) + operations.unembedding(SMALL, 2 * 5)
    assert ours == counted(SMALL, 2, 5)


def test_one_block_by_hand() -> None:
    """4 positions, d 8, MLP 32: qkv 4·8·24, out 4·8·8, scores and mixing 4·4·8 each, MLP 2·(4·8·32), twice each."""
    assert operations.block(SMALL, 4, 4) == 2 * (4 * 8 * 24 + 4 * 8 * 8 + 2 * 4 * 4 * 8 + 2 * 4 * 8 * 32)


def test_ablating_a_neuron_needs_later_blocks_and_positions_only() -> None:
    one, two = (operations.needed(workload_named("neurons"), SMALL, n) for n in (1, 2))
    later = operations.block(SMALL, 9 * (LENGTH - SUBJECT), LENGTH) + operations.unembedding(SMALL, 9)
    assert two - one == later  # the second neuron is in layer 1 of 3: one block is left
    assert one > later  # the first is in layer 0, and the clean pass counts once


def test_a_whole_pass_per_intervention_counts_as_torch_counts_it() -> None:
    """A clean pass and one per neuron, of 9 prompts, with logits everywhere: what a plain hook makes a model do."""
    neurons = workload_named("neurons")
    assert operations.whole_passes(neurons, SMALL, 2, LENGTH) == 3 * counted(SMALL, 9, LENGTH)
    for name in operations.WHOLE_PASSES:
        least = operations.needed(workload_named(name), SMALL, 4)
        last, everywhere = (operations.whole_passes(workload_named(name), SMALL, 4, n) for n in (1, LENGTH))
        assert least < last < everywhere


def test_every_workload_needs_something_that_grows_at_most_linearly() -> None:
    for workload in WORKLOADS:
        for shape in SHAPES:
            n = units(workload, shape, "rote")
            small, large = (operations.needed(workload, shape, k) for k in (max(1, n // 2), n))
            assert 0 < small < large
            assert large <= 2.1 * small, workload.name


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_parameters_are_those_of_the_models(shape: Shape) -> None:
    published = {"pythia-70m": 70_426_624, "pythia-160m": 162_322_944, "pythia-410m": 405_334_016}
    assert shape.n_parameters == published[shape.name]


def test_fewer_units_are_the_first_of_more() -> None:
    """So that what is checked on few is what is timed on many."""
    for name in ("capture", "heads", "paths", "neurons", "names"):
        few, many = (inputs(workload_named(name), TINY, n) for n in (4, 8))
        for key, value in few.items():
            if key in ("tokens", "cls", "neurons"):
                assert list(map(tuple, value) if key == "neurons" else map(str, value)) == list(
                    map(tuple, many[key][: len(value)]) if key == "neurons" else map(str, many[key][: len(value)])
                )


def test_patches_cover_the_whole_grid_evenly() -> None:
    grid = inputs(workload_named("patching"), TINY, 10**6)["places"]
    assert len(grid) == len(set(grid)) == TINY.n_layers * TINY.n_heads * LENGTH
    some = inputs(workload_named("patching"), TINY, 24)["places"]
    assert len(some) == len(set(some)) == 24
    assert {layer for layer, _, _ in some} == set(range(TINY.n_layers))
    assert {head for _, head, _ in some} == set(range(TINY.n_heads))
    few = inputs(workload_named("patching"), SHAPES[-1], 5)["places"]
    assert len({(layer, position) for layer, _, position in few}) == 1
    assert len({head for _, head, _ in few}) == 5


@pytest.mark.parametrize(("name", "clean"), [("neurons", 1), ("patching", 2)])
def test_few_passes_are_worth_what_they_are_of_the_whole(name: str, clean: int) -> None:
    """A tool that takes a second for every pass, clean ones among them, takes as long per unit whatever it does."""
    workload, shape = workload_named(name), SHAPES[0]
    whole = all_units(workload, shape)
    for n in (1, 10, whole):
        assert (n + clean) / worth(workload, shape, "hooks", n) == pytest.approx((whole + clean) / whole)
        assert operations.asked(workload, shape, "hooks", n) == pytest.approx(
            operations.needed(workload, shape, whole) * worth(workload, shape, "hooks", n) / whole
        )
        assert worth(workload, shape, "rote", n) == n
        assert operations.asked(workload, shape, "rote", n) == operations.needed(workload, shape, n)
    assert worth(workload_named("capture"), shape, "hooks", 7) == 7
