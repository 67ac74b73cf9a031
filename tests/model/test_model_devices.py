"""Modules that accelerate has dispatched: layers elsewhere than the embedding, and weights that are not in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from family_zoo import build, hugging_face, served, shared, tokens
from torch import nn

from rote.model import ablate_neurons, load_model
from rote.model.load import weights_hash

accelerate = pytest.importorskip("accelerate")

NAMES = ("llama", "gpt2", "phi", "phi3", "granite", "opt", "mixtral", "gemma3")


def offloaded(name: str, where: str, folder: Path) -> nn.Module:
    module = build(name)
    if where == "disk":
        accelerate.disk_offload(module, folder, execution_device="cpu")
    else:
        accelerate.cpu_offload(module, execution_device="cpu")
    assert any(p.is_meta for p in module.parameters())
    return module


@pytest.mark.parametrize("where", ["memory", "disk"])
@pytest.mark.parametrize("name", NAMES)
def test_weights_that_are_fetched_when_they_are_needed_are_the_same(name: str, where: str, tmp_path: Path) -> None:
    module = offloaded(name, where, tmp_path)
    model = load_model(module, tokenizer=object())  # with the self-check
    here = load_model(shared(name), tokenizer=object(), check=False)
    assert torch.equal(model.run(tokens()).logits, hugging_face(shared(name), tokens()))
    assert torch.equal(model.head(1, 2).w_o, here.head(1, 2).w_o)
    assert torch.equal(model.unembed_columns(torch.tensor([3, 5])), here.unembed_columns(torch.tensor([3, 5])))
    assert weights_hash(model) == weights_hash(here)
    assert any(p.is_meta for p in module.parameters())  # and stay where they were


@pytest.mark.parametrize("where", ["memory", "disk"])
@pytest.mark.parametrize("name", NAMES)
def test_neurons_whose_weights_are_fetched_are_ablated_alike(name: str, where: str, tmp_path: Path) -> None:
    here, ids, at = served(name), tokens(), torch.tensor([5, 2, 5])
    if here.family.experts:
        pytest.skip(here.family.experts)
    fetched = load_model(offloaded(name, where, tmp_path), tokenizer=object(), check=False)
    asked = {"layer": 1, "neurons": torch.arange(6), "value": 0.0, "position": at, "end": at + 1, "answer": at}
    effects, expected = (ablate_neurons(model, model.record(ids), **asked) for model in (fetched, here))
    torch.testing.assert_close(effects, expected)


def test_a_folder_loads_with_a_device_map(tmp_path: Path) -> None:
    shared("llama").save_pretrained(tmp_path)
    model = load_model(tmp_path, tokenizer=object(), device_map={"": "cpu"})
    assert model.device == torch.device("cpu")
    torch.testing.assert_close(model.run(tokens()).logits, hugging_face(shared("llama"), tokens()))
