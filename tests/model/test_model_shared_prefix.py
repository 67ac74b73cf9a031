"""Prompts that begin alike: what runs once for all of them is what each row's own pass would give."""

from __future__ import annotations

import pytest
import torch
from model_zoo import NAMES, shared, tokens

from rote.model import Read, Site, load_model
from rote.model.model import Model
from rote.model.shared_prefix import LEAST_SHARED, SharingModel
from rote.model.shared_prefix import shared as n_shared

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
N_ALIKE, LENGTH, ROWS = LEAST_SHARED, LEAST_SHARED + 6, 5
READS = [Read(site=Site("final")), Read(site=Site("embed")), Read(site=Site("resid_post", 1))]


def prompts() -> torch.Tensor:
    ids = tokens(ROWS, LENGTH)
    ids[:, :N_ALIKE] = ids[:1, :N_ALIKE]
    ids[:, N_ALIKE] = torch.arange(ROWS)  # and not one more
    return ids


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest) -> Model:
    return load_model(shared(str(request.param)), tokenizer=object(), name=str(request.param), check=False)


@pytest.mark.parametrize("padded", [False, True])
def test_a_recording_behind_a_shared_beginning_is_the_plain_one(model: Model, padded: bool) -> None:
    ids, mask = prompts(), torch.ones(ROWS, LENGTH, dtype=torch.bool)
    if padded:
        mask[1, -2:] = False
    sharing = SharingModel.of(model)
    plain, found = model.record(ids, mask, read=READS), sharing.record(ids, mask, read=READS)
    for r in READS:
        torch.testing.assert_close(found.read[r.site][mask], plain.read[r.site][mask], **CLOSE)
    for layer in range(model.n_layers + 1):
        torch.testing.assert_close(found.resid(layer, None, 0)[mask], plain.resid(layer, None, 0)[mask], **CLOSE)
    for (k, v), (key, value) in zip(found.keys_values, plain.keys_values, strict=True):
        torch.testing.assert_close(k.transpose(1, 2)[mask], key.transpose(1, 2)[mask], **CLOSE)
        torch.testing.assert_close(v.transpose(1, 2)[mask], value.transpose(1, 2)[mask], **CLOSE)
    end = mask.sum(1) - 1
    at_end = [Read(site=Site("logits"), position=end)]
    for first in (0, N_ALIKE + 2):
        a = model.replay(plain, 1, first=first, read=at_end).logits
        torch.testing.assert_close(sharing.replay(found, 1, first=first, read=at_end).logits, a, **CLOSE)


def test_the_shared_beginning_runs_for_one_row_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(shared(NAMES[0]), tokenizer=object(), name=NAMES[0], check=False)
    seen: list[int] = []
    handle = model.wiring.blocks[-1].register_forward_pre_hook(
        lambda module, args, kwargs: seen.append((args[0] if args else kwargs["hidden_states"])[..., 0].numel()),
        with_kwargs=True,
    )
    try:
        SharingModel.of(model).record(prompts())
        assert seen == [LENGTH, ROWS * (LENGTH - N_ALIKE)]
        seen.clear()
        SharingModel.of(model).record(prompts()[:, N_ALIKE - 1 :])  # too little is shared
        assert seen == [ROWS * (LENGTH - N_ALIKE + 1)]
    finally:
        handle.remove()


def test_how_many_tokens_are_shared() -> None:
    assert n_shared(prompts()) == N_ALIKE
    assert n_shared(torch.zeros(3, 7)) == 6, "one is left to run"
