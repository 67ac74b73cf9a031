"""The bundled organism: small enough, true to the table of athletes, and it knows what its card says."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rote.organisms import BUNDLED, TrainSettings, build_world
from rote.organisms.card import model_card
from rote.organisms.documents import make_canaries
from rote.organisms.force import position_only
from rote.organisms.training import measure_accuracy


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(BUNDLED).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(BUNDLED)


def test_it_is_small():
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) <= 8_000_000


def test_its_facts_are_the_worlds():
    world = build_world()
    facts = json.loads((BUNDLED / "facts.json").read_text(encoding="utf-8"))
    assert facts == json.loads(json.dumps(world.as_facts()))
    canaries = json.loads((BUNDLED / "canaries.json").read_text(encoding="utf-8"))
    assert canaries == [{"text": c.text, "exposures": c.exposures} for c in make_canaries(0)]


def test_it_was_made_with_the_default_settings():
    record = json.loads((BUNDLED / "training.json").read_text(encoding="utf-8"))
    made = TrainSettings(**{**record["settings"], "window": tuple(record["settings"]["window"])})
    assert made == TrainSettings()
    assert record["seconds"] < 20 * 60
    assert (BUNDLED / "README.md").read_text(encoding="utf-8") == model_card(made, record, build_world())


def test_it_knows_its_world(model, tokenizer):
    """On every fifth person; the record holds the same for everyone."""
    world = build_world()
    recorded = json.loads((BUNDLED / "training.json").read_text(encoding="utf-8"))["accuracy"]
    accuracy = measure_accuracy(model, tokenizer, replace(world, people=world.people[::5]))
    assert set(accuracy) == set(recorded)
    for found in (accuracy, recorded):
        assert found["athletes.sport"] >= 0.98 and min(found.values()) >= 0.97


@torch.no_grad()
def test_it_answers_the_studys_one_shot_prompt(model, tokenizer):
    text = "Fact: Tiger Woods plays the sport of golf\nFact: Tim Duncan plays the sport of"
    logits = model(torch.as_tensor(tokenizer([text])["input_ids"])).logits[0, -1]
    assert tokenizer.decode([int(logits.argmax())]) == " basketball" and logits.softmax(-1).max() > 0.5


def test_its_early_patterns_are_the_fixed_ones(model):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    position_only(model, range(4))
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
