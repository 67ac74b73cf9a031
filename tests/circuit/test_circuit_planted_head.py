"""A late head that boosts what already stands at the end, without a look at the name, planted in the organism."""

from __future__ import annotations

import pytest
import torch
from circuit_world import SETTINGS, World, plain
from transformers import AutoModelForCausalLM

import rote
from rote.asking import Recall, ask
from rote.circuit import search
from rote.circuit.direct_effects import direct_effects
from rote.circuit.source_effects import source_effects
from rote.circuit.top_heads import head_attention
from rote.facts.prompts import POSITIONS
from rote.model import Model
from rote.organisms import BUNDLED

PLANTED = (5, 0)
GAIN, SHARP = 5.0, 20.0


def planted(world: World) -> Model:
    """L5H0 looks at its own position, reads the class directions there and writes them again, GAIN times."""
    module = AutoModelForCausalLM.from_pretrained(BUNDLED, dtype=torch.float64).eval()
    block, (_, head) = module.gpt_neox.layers[PLANTED[0]], PLANTED
    size = plain().d_head
    qkv, dense = block.attention.query_key_value, block.attention.dense
    columns = plain().weights["gpt_neox.final_layer_norm.weight"][:, None] * plain().unembed(world.class_tokens)
    columns = columns - columns.mean(0)
    directions = torch.linalg.qr((columns - columns.mean(1, keepdim=True))[:, :2])[0]
    with torch.no_grad():
        query, key, value = (slice((3 * head + n) * size, (3 * head + n + 1) * size) for n in range(3))
        for part in (query, key, value):
            qkv.weight[part], qkv.bias[part] = 0.0, 0.0
        # one and the same query and key everywhere: after the rotary embedding they are alike at distance 0 alone
        qkv.bias[query], qkv.bias[key] = SHARP, SHARP
        qkv.weight[value][:2] = (directions / block.input_layernorm.weight[:, None]).T
        dense.weight[:, head * size : (head + 1) * size] = 0.0
        dense.weight[:, head * size : head * size + 2] = GAIN * directions
    return rote.load_model(module, tokenizer=plain().tokenizer, name="organism with a planted head")


@pytest.fixture(scope="module")
def recall(world: World) -> Recall:
    told = ask(planted(world), world.prompts, SETTINGS)
    assert (told.known == world.known.known).mean() > 0.95  # it still answers as it did
    return Recall.of(planted(world), world.prompts, told.known, SETTINGS)


def test_it_leads_by_whole_effect_and_does_not_look_at_the_name(recall: Recall) -> None:
    effects, sources = direct_effects(recall), source_effects(recall)
    assert effects.top_heads(recall.selection, 1) == (PLANTED,)
    looks = head_attention(recall.full, recall.prompts, [PLANTED])[PLANTED]
    assert looks["end"].min() > 0.99 and looks["subject_last"].max() < 0.01
    parts = dict(zip(POSITIONS, sources.parts[recall.selection][:, PLANTED[0], PLANTED[1]].mean(0), strict=True))
    whole = effects.heads[recall.selection][:, PLANTED[0], PLANTED[1]].mean()
    assert parts["end"] == pytest.approx(whole, rel=0.01) and abs(parts["subject_last"]) < 0.01 * whole


def test_it_is_not_read_through(world: World, recall: Recall) -> None:
    found = search(recall)
    assert found.top_heads[0] == PLANTED
    assert PLANTED not in found.readout_heads
    assert found.readout_heads[0] == world.circuit.readout_heads[0]  # the control: as without the planted head
    assert (found.lookup_start, found.lookup_stop) == (world.circuit.lookup_start, world.circuit.lookup_stop)


def test_the_head_that_stood_there_before_hardly_wrote_anything(world: World) -> None:
    before = direct_effects(world.recall).heads[world.recall.selection].mean(0)
    assert abs(before[PLANTED]) < 0.1 * before.max()
