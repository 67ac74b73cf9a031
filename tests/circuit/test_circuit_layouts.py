"""Tiny models with random weights, in every layout: told that they know everything, they run through all of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from circuit_world import SETTINGS, World, cut, facts, measured, plain
from transformers import AutoModelForCausalLM, Gemma2Config, GPT2Config, GPTNeoXConfig, LlamaConfig

import rote
from rote.asking import Recall, ask
from rote.catalog import TEXT
from rote.circuit import search
from rote.circuit.direct_effects import direct_effects
from rote.experiments import EXPERIMENTS, Study
from rote.facts import build_prompts
from rote.model import Model

TOLD = replace(
    SETTINGS, known_probability=1e-9, min_known=12, n_top_heads=3,
    n_bootstrap=50, product_side=24, n_resamples_ablation=1,
)  # fmt: skip

OF_FACTS = tuple(e for e in EXPERIMENTS if TEXT not in e.card.takes)


def config(layout: str, n_layers: int) -> Any:
    common = {"vocab_size": 1619, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 2, "initializer_range": 0.3}
    sizes = {"hidden_size": 32, "num_hidden_layers": n_layers, "num_attention_heads": 4, "intermediate_size": 48}
    if layout == "gpt2":
        return GPT2Config(**common, n_embd=32, n_layer=n_layers, n_head=4, n_inner=48, n_positions=64)
    if layout == "llama":
        return LlamaConfig(**common, **sizes, num_key_value_heads=2, max_position_embeddings=64)
    if layout == "gemma2":
        return Gemma2Config(**common, **sizes, num_key_value_heads=2, head_dim=8, max_position_embeddings=64)
    return GPTNeoXConfig(**common, **sizes, max_position_embeddings=64, use_parallel_residual=False)


def tiny(layout: str, n_layers: int = 4) -> Model:
    torch.manual_seed(0)
    module = AutoModelForCausalLM.from_config(config(layout, n_layers)).eval()
    return rote.load_model(module, tokenizer=plain().tokenizer, name=f"tiny {layout}")


def recall_of(model: Model) -> Recall:
    prompts = build_prompts(cut(facts(), 16), "sport", model.tokenizer)
    told = ask(model, prompts, TOLD)
    assert told.known.all()
    return Recall.of(model, prompts, told.known, TOLD)


@pytest.mark.parametrize("layout", ["gpt2", "llama", "gemma2", "neox in sequence"])
def test_every_experiment_runs_with_and_without_a_window(world: World, layout: str) -> None:
    model = tiny(layout)
    assert not model.parallel
    recall = recall_of(model)
    unread, found = search(recall), search(recall, rehearse=True)  # random weights carry nothing from the name
    assert unread.no_readout
    prompts, known = recall.prompts, ask(model, recall.prompts, TOLD)
    forced = replace(found, lookup_start=1, lookup_stop=2, no_window=None, first_mlps=(0,), concatenating=(0, 1))
    none = replace(found, lookup_start=None, lookup_stop=None, no_window="told so")
    for circuit in (forced, none, unread):
        study = Study(prompts=prompts, known=known, recall=recall, circuit=circuit)
        for experiment in OF_FACTS:
            record = measured(experiment, study)
            if circuit is not forced and "lookup_window" in experiment.card.needs:
                assert not record.rows and {a.reason for a in record.absent} == {circuit.no_window}, experiment.name
            if circuit is forced:
                if experiment.name == "shared_neurons":  # of one relation there are not several facts per entity
                    assert not record.rows and all("relation" in a.reason for a in record.absent)
                else:
                    assert record.rows, experiment.name
                assert all(np.isfinite(row.value) for row in record.rows)
            assert all(a.reason for a in record.absent)


@pytest.mark.parametrize("layout", ["gpt2", "llama", "neox in sequence"])
def test_direct_effects_of_all_nodes_and_the_embedding_sum_to_the_logit_difference(world: World, layout: str) -> None:
    """With the final scale frozen the logits are linear, so replacing everything replaces the residual stream."""
    recall = recall_of(tiny(layout))
    model, (draw,) = recall.model, recall.others
    effects = direct_effects(recall)
    with torch.no_grad():
        output = model.module(recall.full.tokens, output_hidden_states=True)
    end, rows = recall.full.end, torch.arange(len(recall))
    norm = model.wiring.final_norm
    captured: list[torch.Tensor] = []
    handle = norm.register_forward_pre_hook(lambda _, args: captured.append(args[0]))
    with torch.no_grad():
        model.module(recall.full.tokens)
    handle.remove()
    x = captured[0][rows, end].double()
    biases = getattr(norm, "bias", None) is not None
    centred = x - x.mean(-1, keepdim=True) if biases else x
    eps = getattr(norm, "eps", None) or norm.variance_epsilon
    scale = (centred.pow(2).mean(-1, keepdim=True) + eps).sqrt()
    columns = (
        model.module.get_output_embeddings().weight.detach().double()[torch.as_tensor(recall.prompts.class_tokens)]
    )
    embedded = output.hidden_states[0][rows, end].double()
    cls = torch.as_tensor(recall.cls)
    for i in range(len(recall)):
        j = int(draw[i])
        change = (x[i] - embedded[i]) - (x[j] - embedded[j])
        change = change - change.mean() if biases else change
        u = columns[cls[i]] - columns[cls[j]]
        expected = float((change / scale[i] * norm.weight.detach().double()) @ u)
        found = effects.heads[i].sum() + effects.mlps[i].sum()
        summands = (
            np.abs(effects.heads[i]).sum() + np.abs(effects.mlps[i]).sum()
        )  # they cancel, their rounding does not
        assert abs(expected - found) < 1e-5 * max(1.0, summands)


def test_a_model_of_one_layer_has_no_window(world: World) -> None:
    recall = recall_of(tiny("gpt2", n_layers=1))
    circuit = search(recall)
    assert circuit.no_window
    assert circuit.lookup_start is None
    study = Study(prompts=recall.prompts, known=ask(recall.model, recall.prompts, TOLD), recall=recall, circuit=circuit)
    for experiment in OF_FACTS:
        record = measured(experiment, study)
        assert all(np.isfinite(row.value) for row in record.rows)
        if "lookup_window" in experiment.card.needs:
            assert not record.rows and {a.reason for a in record.absent} == {circuit.no_window}, experiment.name
