"""The timed sweep does what it says: effects are those of whole passes, operations those counted by hand."""

from __future__ import annotations

import pytest
from benchmarks.neuron_sweep import operations, sweep

from rote.asking import PromptSet
from rote.facts import build_prompts
from rote.model import Model, load_model
from rote.organisms import BUNDLED
from rote.organisms.demo import demo_facts


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(BUNDLED, check=False)


@pytest.fixture(scope="module")
def asked(model: Model) -> PromptSet:
    prompts = build_prompts(demo_facts(), "sport", model.tokenizer)
    return PromptSet.of(model, prompts.take(range(4)), 4)


def test_its_effects_are_those_of_whole_passes(model: Model, asked: PromptSet) -> None:
    found = sweep(model, asked, [1, 2], 16, rows_at_once=24)
    assert found["interventions"] == 2 * 16 * 4 and found["checked"] == 24 * 4
    assert found["furthest_from_whole_passes_nats"] < 1e-5 < found["largest_checked_effect_nats"]


def test_its_operations_grow_with_neurons_and_with_the_blocks_behind(model: Model, asked: PromptSet) -> None:
    one, two = (operations(model, asked, [2], n) for n in (1, 2))
    assert two == 2 * one
    last = operations(model, asked, [model.n_layers - 1], 1)  # nothing but the answers' logits is left
    assert last == 4 * 2 * model.d_model * int(model.config.vocab_size)
    assert operations(model, asked, [1], 1) - one == one - operations(model, asked, [3], 1) > 0
