"""Tokens told where they stand: the residual stream is what transformers itself makes of those positions."""

from __future__ import annotations

import pytest
import torch
from model_zoo import N_LAYERS, NAMES, place, shared, slow_read, tokens
from torch import nn
from transformers import AutoConfig

from rote.errors import NotApplicable
from rote.model import Model
from rote.model.families import family_of
from rote.model.placing import placed, require_positions
from rote.model.sites import Site

JUMP = torch.tensor([[0, 11, 12, 13, 14, 15, 16, 17]]).expand(3, -1)


def model_of(name: str) -> Model:
    module = shared(name)
    return Model(module=module, tokenizer=None, family=family_of(module.config), name=name)


def by_hand(name: str, positions: torch.Tensor) -> torch.Tensor:
    """The last residual stream from transformers alone, with an explicit causal mask, so that nothing is guessed."""
    module, ids = shared(name), tokens()
    seen: list[torch.Tensor] = []
    where, _ = place(name, "resid_post", N_LAYERS - 1)
    block = module.get_submodule(where)
    handle = block.register_forward_hook(lambda m, a, out: seen.append(out[0] if isinstance(out, tuple) else out))
    try:
        with torch.no_grad():
            module(ids, attention_mask=torch.ones_like(ids), position_ids=positions, use_cache=False)
    finally:
        handle.remove()
    return seen[0]


@pytest.mark.parametrize("name", NAMES)
def test_positions_reach_the_model_and_no_edge_is_lost(name: str) -> None:
    model = model_of(name)
    site = Site("resid_post", N_LAYERS - 1)
    found = model.run(tokens(), positions=JUMP, read=[site])[site]
    assert torch.allclose(found, by_hand(name, JUMP), atol=1e-5)
    plain = model.run(tokens(), read=[site])[site]
    assert torch.equal(model.run(tokens(), positions=torch.arange(8).expand(3, -1), read=[site])[site], plain)
    assert not torch.allclose(found, plain, atol=1e-3)  # a jump between two tokens is seen
    patterns = model.run(tokens(), positions=JUMP, read=[("pattern", 0)])["pattern", 0]
    if name != "gemma2":  # a sliding window forgets the first token
        assert (patterns[:, :, -1, 0] > 0).all()  # transformers alone would take the jump for another text


@pytest.mark.parametrize("name", [n for n in NAMES if n != "gpt2"])
def test_rotary_models_see_distances_only(name: str) -> None:
    site, model = Site("resid_post", N_LAYERS - 1), model_of(name)
    moved = model.run(tokens(), positions=torch.arange(5, 13).expand(3, -1), read=[site])[site]
    assert torch.allclose(moved, model.run(tokens(), read=[site])[site], atol=1e-4)


def test_learned_positions_are_places_in_a_table() -> None:
    """The control of the theorem above: GPT-2 sees where it is."""
    site, model = Site("resid_post", N_LAYERS - 1), model_of("gpt2")
    moved = model.run(tokens(), positions=torch.arange(5, 13).expand(3, -1), read=[site])[site]
    assert not torch.allclose(moved, model.run(tokens(), read=[site])[site], atol=1e-2)


def test_a_recording_keeps_positions_for_replay() -> None:
    model, site = model_of("llama"), Site("resid_post", N_LAYERS - 1)
    recording = model.record(tokens(), positions=JUMP)
    assert torch.equal(
        model.replay(recording, 1, read=[site])[site], model.run(tokens(), positions=JUMP, read=[site])[site]
    )


def test_several_positions_of_a_row_are_read_at_once() -> None:
    model, site = model_of("llama"), Site("resid_post", 1)
    at = torch.tensor([[1, 4], [0, 7], [3, 3]])
    where, side = place("llama", "resid_post", 1)
    whole = slow_read(shared("llama"), tokens(), where, side)
    found = model.run(tokens(), read=[site.at(at)])[site]
    assert found.shape == (3, 2, whole.shape[-1])
    for row in range(3):
        for column in range(2):
            assert torch.allclose(found[row, column], whole[row, at[row, column]], atol=1e-5)


class Placeless(nn.Module):
    """What a model looks like whose forward pass takes no positions."""

    config = AutoConfig.for_model("opt")

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> None: ...


def test_a_family_without_positions_says_so() -> None:
    with pytest.raises(NotApplicable, match="family 'opt'"):
        require_positions(Placeless())
    with pytest.raises(NotApplicable, match="family 'opt'"):
        placed(Placeless(), tokens(), None, JUMP)
    assert placed(Placeless(), tokens(), None, None) == {"attention_mask": None}
    require_positions(shared("gpt2").base_model)
