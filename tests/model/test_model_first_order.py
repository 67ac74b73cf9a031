"""Slopes are the limit of small changes, and nothing of the user's module is touched by taking them."""

from __future__ import annotations

import pytest
import torch
from model_zoo import N_LAYERS, NAMES, build, noise, tokens

from rote.errors import InputError
from rote.model import Edit, Model, Site, ablate_neurons, load_model, slopes
from rote.model.ablate import answer_log_prob

ROWS, LENGTH = 4, 9
POSITION, END = torch.tensor([5, 6, 5, 7]), torch.tensor([8, 6, 7, 8])
ANSWER = torch.tensor([3, 9, 0, 60])


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest) -> Model:
    name = str(request.param)
    return load_model(build(name, dtype=torch.float64), tokenizer=object(), name=name, check=False)


def objective(logits: torch.Tensor) -> torch.Tensor:
    return answer_log_prob(logits, ANSWER)


def test_slopes_are_the_limit_of_small_changes(model: Model) -> None:
    ids, recording, rows = tokens(ROWS, LENGTH), model.record(tokens(ROWS, LENGTH)), torch.arange(ROWS)
    names = ("attn_in", "q", "k", "v", "z", "attn_out", "mlp_in", "mlp_pre", "mlp_post", "mlp_out", "resid_post")
    sites = [Site(name, layer) for layer in range(N_LAYERS) for name in names]
    found = slopes(model, recording, sites, objective, position=POSITION, end=END)
    for site in sites:
        step = 1e-3 * noise(*found[site].value.shape).double()
        sides = []
        for sign in (1, -1):
            edit = Edit(site=site, change="add", value=sign * step, position=POSITION)
            sides.append(objective(model.run(ids, edit=[edit]).logits[rows, END]))
        exact = (sides[0] - sides[1]) / 2
        first = found[site].effect(found[site].value + step).flatten(1).sum(1)
        # the softmax of every family is float32, so much smaller steps would drown in its rounding
        torch.testing.assert_close(first, exact, rtol=2e-3, atol=1e-6)
        assert exact.abs().max() > 1e-6 or site.name in ("q", "k"), site


def test_small_ablations_of_all_neurons_agree_with_exact_ones(model: Model) -> None:
    recording, site = model.record(tokens(ROWS, LENGTH)), Site("mlp_post", 1)
    slope = slopes(model, recording, [site], objective, position=POSITION, end=END)[site]
    value = slope.value + 1e-3
    exact = ablate_neurons(
        model,
        recording,
        layer=1,
        neurons=torch.arange(20),
        value=value.T,
        position=POSITION,
        end=END,
        answer=ANSWER,
    )
    clean = objective(model.run(tokens(ROWS, LENGTH)).logits[torch.arange(ROWS), END])
    torch.testing.assert_close(slope.effect(value).T, exact - clean, rtol=2e-2, atol=1e-6)


@pytest.mark.parametrize("wanted", [True, False])
def test_the_users_parameters_are_left_as_they_are(wanted: bool) -> None:
    module = build("gpt_neox").requires_grad_(wanted)
    before = {name: p.clone() for name, p in module.named_parameters()}
    model = load_model(module, tokenizer=object(), check=False)
    recording, site = model.record(tokens(ROWS, LENGTH)), Site("mlp_post", 0)
    taken = slopes(model, recording, [site], objective, position=POSITION, end=END)[site]
    assert taken.slope.abs().max() > 0 and not taken.value.requires_grad
    for name, parameter in module.named_parameters():
        assert parameter.grad is None and parameter.requires_grad is wanted
        assert torch.equal(parameter, before[name])
    assert torch.is_grad_enabled()


def test_slopes_need_sites_within_blocks() -> None:
    model = load_model(build("gpt_neox"), tokenizer=object(), check=False)
    recording = model.record(tokens(ROWS, LENGTH))
    for sites in ([], [Site("final")]):
        with pytest.raises(InputError, match="within blocks"):
            slopes(model, recording, sites, objective, position=POSITION, end=END)
    with pytest.raises(InputError, match="mlp_in is what the MLP reads"):
        slopes(model, recording, [Site("resid_mid", 1)], objective, position=POSITION, end=END)
