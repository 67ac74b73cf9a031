"""A trained checkpoint (stories260K, a Llama with grouped queries) where it lies beside the repository."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rote.model import Model, load_model, self_check

FOLDER = Path(__file__).parents[2].parent / "shared/data/checkpoints/stories260K"
OPENING = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the stories260K checkpoint is not here")


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(FOLDER)


def test_it_passes_the_self_check(model: Model) -> None:
    assert all(check.passed for check in self_check(model))
    assert (model.n_layers, model.n_heads, model.n_kv_heads, model.parallel) == (5, 8, 4, False)


def test_its_greedy_text_is_a_story(model: Model) -> None:
    ids = torch.tensor([[model.tokenizer.convert_tokens_to_ids("<s>")]])
    while ids.shape[1] < 60:
        ids = torch.cat([ids, model.run(ids).logits[:, -1:].argmax(-1)], dim=1)
    assert model.tokenizer.decode(ids[0], skip_special_tokens=True).strip().startswith(OPENING)
