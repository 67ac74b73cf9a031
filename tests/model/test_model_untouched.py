"""Whatever rote does, the user's module is afterwards what it was before: also when a run ends in an exception."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from model_zoo import NAMES, build, noise, slow_logits, tokens
from torch import Tensor, nn

from rote.errors import InputError, MeasurementError, NotApplicable
from rote.model import Edit, Model, Site, load_model, self_check

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")


def fingerprint(module: nn.Module) -> dict[str, Any]:
    """Everything about a module that a user could notice."""
    digest = hashlib.sha256()
    for key, value in module.state_dict().items():
        digest.update(key.encode() + value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return {
        "state": digest.hexdigest(),
        "config": json.dumps(module.config.to_dict(), default=str, sort_keys=True),
        "attention": module.config._attn_implementation,
        "training": [m.training for m in module.modules()],
        "hooks": [[list(getattr(m, kind)) for kind in HOOKS] for m in module.modules()],
        "forward": [m.__dict__.get("forward") for m in module.modules()],
        "types": [type(m) for m in module.modules()],
        "parameters": [(id(p), p.requires_grad, p.grad) for p in module.parameters()],
        "random": hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest(),
        "numpy's random": hashlib.sha256(np.random.get_state()[1].tobytes()).hexdigest(),  # type: ignore[union-attr]
        "Python's random": random.getstate(),
        "grad mode": torch.is_grad_enabled(),
    }


def everything(model: Model) -> None:
    edit = [
        Edit(site=Site("v", 1), value=noise(model.d_head), head=1),
        Edit(site=Site("resid_post", 0), change="add", value=noise(model.d_model)),
    ]
    model.run(tokens(), read=["logits", ("pattern", 1), ("z", 0)], edit=edit)
    model.run(tokens(), read=[("mlp_out", 0)])
    model.replay(model.record(tokens()), 1, read=["final"])
    with suppress(NotApplicable):  # of a mixture of experts
        model.mlp(0)(noise(2, model.d_model))
    model.head(1, 2)
    model.unembed_columns(torch.tensor([1]))


def at_work(name: str) -> nn.Module:
    return put_to_work(build(name), eager=name == "gemma2")  # whose soft-capped scores sdpa cannot compute


def put_to_work(module: nn.Module, *, eager: bool) -> nn.Module:
    """A module in the middle of someone's work: partly training, one parameter frozen, a hook of its own."""
    module.train()
    blocks = max((m for m in module.modules() if isinstance(m, nn.ModuleList)), key=len)
    blocks[1].eval()
    next(module.parameters()).requires_grad_(False)
    blocks[0].register_forward_hook(lambda *_: None)
    if not eager:
        module.config._attn_implementation = "sdpa"
    return module


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_module_changes(name: str) -> None:
    module = at_work(name)
    before = fingerprint(module)
    model = load_model(module, tokenizer=object())
    self_check(model)
    everything(model)
    assert fingerprint(module) == before
    assert model.module is module


def raising(error: type[BaseException]) -> Callable[[Tensor], Tensor]:
    def function(x: Tensor) -> Tensor:
        raise error("in the middle")

    return function


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("site", ["embed", ("resid_post", 1), ("pattern", 1), ("z", 2), "final"])
@pytest.mark.parametrize("name", ["gpt2", "gemma2"])
def test_an_exception_in_the_middle_of_a_run_leaves_nothing_behind(
    name: str, site: str | tuple[str, int], error: type[BaseException]
) -> None:
    module = at_work(name)
    model = load_model(module, tokenizer=object(), check=False)
    recording = model.record(tokens())
    before, clean = fingerprint(module), model.run(tokens()).logits
    with pytest.raises(error, match="in the middle"):
        model.run(tokens(), read=["logits", ("q", 2)], edit=[(site, raising(error))])
    with pytest.raises(error, match="in the middle"):
        model.replay(recording, 0, edit=[(site, raising(error))])
    assert fingerprint(module) == before
    assert torch.equal(model.run(tokens()).logits, clean)


def test_a_recording_that_fails_leaves_nothing_behind() -> None:
    module = at_work("llama")
    model = load_model(module, tokenizer=object(), check=False)
    handle = module.model.layers[1].register_forward_pre_hook(lambda *_: raising(RuntimeError)(noise(1)))
    before = fingerprint(module)
    with pytest.raises(RuntimeError, match="in the middle"):
        model.record(tokens())
    assert fingerprint(module) == before
    handle.remove()


def test_a_refused_request_leaves_nothing_behind() -> None:
    module = at_work("llama")
    model = load_model(module, tokenizer=object(), check=False)
    before = fingerprint(module)
    for site in (("resid_post", 7), ("pattern", 7)):
        with pytest.raises(InputError):
            model.run(tokens(), read=["logits", ("mlp_out", 0), site])
    assert fingerprint(module) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_training_module_is_measured_as_in_evaluation(name: str) -> None:
    module = at_work(name)
    ours = load_model(module, tokenizer=object(), check=False).run(tokens()).logits
    assert torch.equal(ours, slow_logits(build(name), tokens()))
    assert not ours.requires_grad


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_activations_that_are_not_finite_stop_the_run_by_the_sites_name(name: str, value: float) -> None:
    model = load_model(build(name), tokenizer=object(), check=False)
    broken = Edit(site=Site("mlp_out", 1), value=torch.full((model.d_model,), value))
    with pytest.raises(MeasurementError, match=r"resid_post\[1\]"):
        model.run(tokens(), read=[("resid_post", 0), ("resid_post", 1), ("resid_post", 2)], edit=[broken])
    with pytest.raises(MeasurementError, match="logits"):
        model.run(tokens(), edit=[broken])
    assert model.run(tokens(), read=[("resid_post", 0)], edit=[broken])["resid_post", 0].isfinite().all()
    assert model.run(tokens()).logits.isfinite().all()
