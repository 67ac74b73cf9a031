"""Training: every layout runs, learns, leaves what was fixed as it was, and writes ordinary Hugging Face files."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rote.errors import SettingsError
from rote.organisms import TrainSettings, build_world, train
from rote.organisms.force import position_only
from rote.organisms.layouts import LAYOUTS

TINY = {"d_model": 32, "n_layers": 4, "window": (1, 2), "n_athletes": 12, "batch": 16, "steps": 4}


def tiny(**changes) -> TrainSettings:
    return TrainSettings(**{**TINY, **changes})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_are_ordinary_and_complete(tmp_path, layout):
    trained = train(tiny(layout=layout), tmp_path / layout)
    model = AutoModelForCausalLM.from_pretrained(trained.folder)
    tokenizer = AutoTokenizer.from_pretrained(trained.folder)
    assert model.config.model_type == layout and model.dtype == torch.float32
    logits = model(torch.as_tensor(tokenizer(["Fact: Tiger Woods plays the sport of"])["input_ids"])).logits
    assert logits.isfinite().all() and logits.shape[-1] == len(tokenizer)
    facts = json.loads((trained.folder / "facts.json").read_text())
    assert facts == json.loads(json.dumps(build_world(n_athletes=12).as_facts()))
    record = json.loads((trained.folder / "training.json").read_text())
    assert record["settings"]["layout"] == layout and record["accuracy"] == dict(trained.accuracy)
    assert len(json.loads((trained.folder / "canaries.json").read_text())) == 20
    card = (trained.folder / "README.md").read_text()
    assert "planted by force" in card and "thrown away" in card and "Fiction" in card
    assert not any("read" in name for name in model.state_dict())  # the auxiliary readers are gone


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_fixed_stays_fixed_and_the_rest_moves(tmp_path, layout):
    model = AutoModelForCausalLM.from_pretrained(train(tiny(layout=layout), tmp_path).folder)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    fixed = position_only(model, range(3))  # puts the fixed values in: nothing may change
    assert fixed and all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    free = AutoModelForCausalLM.from_pretrained(train(tiny(layout=layout, force="none"), tmp_path).folder)
    held = {id(f.parameter): f for f in fixed}
    for name, p in model.named_parameters():
        if id(p) in held:
            f = held[id(p)]
            assert not torch.equal(free.get_parameter(name)[f.mask], f.values[f.mask])


def test_same_settings_same_model_and_global_generator_untouched(tmp_path):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    one, two = (train(tiny(), tmp_path / str(i)).folder for i in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert (one / "facts.json").read_bytes() == (two / "facts.json").read_bytes()
    weights = [AutoModelForCausalLM.from_pretrained(f).state_dict() for f in (one, two)]
    assert all(torch.allclose(weights[0][k], weights[1][k], atol=1e-6) for k in weights[0])


def test_progress_tells_every_step_of_a_short_run(tmp_path):
    seen = []
    train(tiny(force="none"), tmp_path, seen.append)
    assert [p.step for p in seen] == [1, 2, 3, 4]
    assert all(p.auxiliary_nats is None and p.loss_nats > 0 for p in seen)


def test_settings_refuse_everything_at_once():
    with pytest.raises(SettingsError) as refused:
        TrainSettings(layout="mamba", d_model=30, steps=0, force="some", window=(0, 9))  # type: ignore[arg-type]
    assert len(refused.value.problems) == 5


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_tiny_organism_learns_its_world(tmp_path, layout):
    """Two minutes at most even on a busy machine: what other tests train when they need a model that knows facts."""
    settings = tiny(layout=layout, d_model=64, d_mlp=128, window=(1, 1), n_athletes=20, steps=450, learning_rate=6e-3)
    accuracy = train(settings, tmp_path).accuracy
    assert accuracy["athletes.sport"] >= 0.95 and accuracy["sport"] >= 0.95
