"""Every served family: positions after an edit, many neurons at once, single paths and slopes equal whole passes."""

from __future__ import annotations

import pytest
import torch
from family_zoo import CONFIGS, N_LAYERS, VOCAB, served

from rote.model import Edit, Model, Site, ablate_neurons, path_shift, replay_after, slopes
from rote.model.ablate import answer_log_prob

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
ROWS, LENGTH, FIRST = 4, 9, 5
POSITION, END = torch.tensor([5, 6, 5, 7]), torch.tensor([8, 6, 7, 8])
ANSWER = torch.tensor([3, 9, 0, 60])
IDS = torch.randint(1, VOCAB, (ROWS, LENGTH), generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=tuple(CONFIGS))
def model(request: pytest.FixtureRequest) -> Model:
    return served(str(request.param))


def masks() -> tuple[torch.Tensor | None, ...]:
    right, left = torch.ones(2, ROWS, LENGTH, dtype=torch.bool)
    right[1, 7:] = False
    left[2, :3], left[0, :1] = False, False
    return None, right, left


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def test_only_the_positions_after_an_edit_run(model: Model) -> None:
    for mask in masks():
        recording = model.record(IDS, mask)
        for layer in range(N_LAYERS):
            for name in ("resid_pre", "attn_in", "attn_out", "mlp_in", "mlp_out", model.mlp_contribution):
                edit = Edit(site=Site(name, layer), change="add", value=noise(ROWS, model.d_model), position=POSITION)
                whole = model.run(IDS, mask, edit=[edit]).logits[:, FIRST:]
                torch.testing.assert_close(
                    model.replay(recording, layer, first=FIRST, edit=[edit]).logits, whole, **CLOSE
                )


def test_one_path_into_an_mlp_needs_nothing_of_its_block(model: Model) -> None:
    recording, change = model.record(IDS), noise(ROWS, model.d_model)
    for layer in range(N_LAYERS):
        reads = model.run(IDS, read=[Site("mlp_in", layer).at(POSITION)])["mlp_in", layer]
        shift = path_shift(model, layer, reads, change)
        found = replay_after(model, recording, layer, shift, position=POSITION, read=[Site("logits").at(END)]).logits
        edit = Edit(site=Site("mlp_in", layer), change="add", value=change, position=POSITION)
        torch.testing.assert_close(found, model.run(IDS, edit=[edit]).logits[torch.arange(ROWS), END], **CLOSE)


def test_many_neurons_at_once_equal_one_pass_for_each(model: Model) -> None:
    if model.family.experts:
        pytest.skip(model.family.experts)
    neurons = torch.tensor([0, 7, 19])
    value, rows = noise(3, ROWS), torch.arange(ROWS)
    for mask in masks():
        recording = model.record(IDS, mask)
        for layer in range(N_LAYERS):
            found = ablate_neurons(
                model, recording, layer=layer, neurons=neurons, value=value, position=POSITION, end=END, answer=ANSWER
            )
            for n, neuron in enumerate(neurons.tolist()):
                edit = Edit(site=Site("mlp_post", layer), neuron=neuron, value=value[n], position=POSITION)
                logits = model.run(IDS, mask, edit=[edit]).logits[rows, END]
                torch.testing.assert_close(found[n], torch.log_softmax(logits, -1)[rows, ANSWER], **CLOSE)


def test_slopes_are_the_limit_of_small_changes(model: Model) -> None:
    recording, rows = model.record(IDS), torch.arange(ROWS)
    sites = [Site(name, 1) for name in ("attn_in", "v", "z", "mlp_in", "mlp_out")]

    def objective(logits: torch.Tensor) -> torch.Tensor:
        return answer_log_prob(logits, ANSWER)

    found = slopes(model, recording, sites, objective, position=POSITION, end=END)
    size = 3e-4 if model.family.clip else 3e-3  # values that are clipped have a kink, which few small steps come over
    for site in sites:
        step = size * noise(*found[site].value.shape)
        sides = []
        for sign in (1, -1):
            edit = Edit(site=site, change="add", value=sign * step, position=POSITION)
            sides.append(objective(model.run(IDS, edit=[edit]).logits[rows, END]))
        first = found[site].effect(found[site].value + step).flatten(1).sum(1)
        torch.testing.assert_close(first, (sides[0] - sides[1]) / 2, rtol=2e-2, atol=3e-5)
