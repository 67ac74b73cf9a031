"""On a GPU, and spread over a GPU and the processor: the same figures, and every fast path equal to its slow twin."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from family_zoo import CONFIGS, N_LAYERS, hugging_face, served, shared
from test_family_suffix import ANSWER, END, IDS, POSITION, ROWS, noise
from torch import nn

from rote.model import Edit, Model, Site, ablate_neurons, load_model, path_shift, replay_after, self_check, slopes
from rote.model.ablate import answer_log_prob

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
CLOSE = {"rtol": 1e-4, "atol": 1e-4}  # the same sums in another order, on another kind of processor
WHERE = ("cuda", "spread")


@pytest.fixture(params=tuple(CONFIGS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def elsewhere(name: str, where: str) -> Model:
    """The shared model on the GPU, or with its last block on the processor."""
    module = copy.deepcopy(shared(name))
    if where == "cuda":
        return load_model(module.cuda(), tokenizer=object(), name=name, check=False)
    accelerate = pytest.importorskip("accelerate")
    last = load_model(module, tokenizer=object(), check=False).wiring.blocks[-1]
    path = next(path for path, part in module.named_modules() if part is last)
    spread = accelerate.dispatch_model(module, {**dict(_outside(module, path)), path: "cpu"})
    return load_model(spread, tokenizer=object(), name=name, check=False)


def _outside(module: nn.Module, path: str, above: str = "") -> Iterator[tuple[str, int]]:
    """Every module that does not hold the one at `path`, none of them within another."""
    for name, child in module.named_children():
        here = f"{above}{name}"
        if path.startswith(f"{here}."):
            yield from _outside(child, path, f"{here}.")
        elif here != path:
            yield here, 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_self_check_passes_on_a_gpu(name: str, dtype: torch.dtype) -> None:
    module = copy.deepcopy(shared(name)).to("cuda", dtype)
    failed = [check for check in self_check(load_model(module, tokenizer=object(), check=False)) if not check.passed]
    assert not failed


@pytest.mark.parametrize("where", WHERE)
def test_every_figure_is_the_processors(name: str, where: str) -> None:
    model, here = elsewhere(name, where), served(name)
    torch.testing.assert_close(model.run(IDS).logits.cpu(), hugging_face(shared(name), IDS), **CLOSE)
    recordings = model.record(IDS), here.record(IDS)
    for layer in range(N_LAYERS):
        for site in ("resid_pre", "attn_in", "z", "mlp_in", "mlp_out"):
            edit = Edit(site=Site(site, layer), change="add", value=_change(here, site, layer), position=POSITION)
            found, wanted = (
                m.replay(r, layer, first=int(POSITION.min()), edit=[edit]).logits.cpu()
                for m, r in zip((model, here), recordings, strict=True)
            )
            torch.testing.assert_close(found, wanted, **CLOSE)


def _change(model: Model, site: str, layer: int) -> torch.Tensor:
    shape = model.run(IDS, read=[Site(site, layer).at(POSITION)])[site, layer].shape
    return noise(*shape)


@pytest.mark.parametrize("where", WHERE)
def test_many_at_once_equal_one_pass_for_each(name: str, where: str) -> None:
    model, rows = elsewhere(name, where), torch.arange(ROWS)
    recording, change, value = model.record(IDS), noise(ROWS, model.d_model), noise(3, ROWS)
    for layer in range(N_LAYERS):
        reads = model.run(IDS, read=[Site("mlp_in", layer).at(POSITION)])["mlp_in", layer]
        shift = path_shift(model, layer, reads, change.to(model.device))
        last = [Site("logits").at(END)]
        found = replay_after(model, recording, layer, shift, position=POSITION, read=last).logits
        edit = Edit(site=Site("mlp_in", layer), change="add", value=change, position=POSITION)
        torch.testing.assert_close(found, model.run(IDS, edit=[edit]).logits[rows, END], **CLOSE)
        if model.family.experts:
            continue
        neurons, at = torch.tensor([0, 7, 19]), {"position": POSITION, "end": END, "answer": ANSWER}
        effects = ablate_neurons(model, recording, layer=layer, neurons=neurons, value=value.to(model.device), **at)
        for n, neuron in enumerate(neurons.tolist()):
            edit = Edit(site=Site("mlp_post", layer), neuron=neuron, value=value[n], position=POSITION)
            logits = model.run(IDS, edit=[edit]).logits[rows, END]
            torch.testing.assert_close(effects[n], answer_log_prob(logits, ANSWER), **CLOSE)


@pytest.mark.parametrize("where", WHERE)
def test_slopes_are_the_processors(name: str, where: str) -> None:
    model, here = elsewhere(name, where), served(name)
    sites = [Site(site, 1) for site in ("attn_in", "v", "z", "mlp_in", "mlp_out")]
    found, wanted = (
        slopes(m, m.record(IDS), sites, lambda logits: answer_log_prob(logits, ANSWER), position=POSITION, end=END)
        for m in (model, here)
    )
    for site in sites:
        torch.testing.assert_close(found[site].slope.cpu(), wanted[site].slope, rtol=1e-3, atol=1e-4)
