"""Whole checkpoints with a planted mechanism: the bundled organism with other MLPs in its window, studied from outside.

The window's MLPs are replaced by random weights trained on labels and on the outputs of those they replace (so that
everything downstream still works), under a wiring that admits one mechanism. The study sees a checkpoint like any
other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from calibration.worlds import _split, _with
from rote.model import load_model
from rote.organisms import BUNDLED
from rote.organisms.demo import demo_facts
from rote.pipeline import find_circuit, study
from rote.settings import Settings
from rote.stack import Stack, StackLayer, matched
from rote.statistics import rng

TRUTHS = ("hash", "single_step")
STEPS, RATE = 1500, 3e-3
SETTINGS = Settings(n_members=8, n_trained_members=3, n_bootstrap=500)

Layers = Sequence[StackLayer]


def plant(truth: str, seed: int, folder: Path) -> None:
    """Write a checkpoint whose window works as `truth` says; prints how much of the facts its stack holds."""
    model = load_model(str(BUNDLED))
    circuit, recall = find_circuit(model, demo_facts(), relation="sport")
    stack = circuit.effective_model(recall)
    layers = _planted(stack, truth, rng(seed, f"checkpoint/{truth}"))
    whole = AutoModelForCausalLM.from_pretrained(BUNDLED)
    for layer in layers:
        mlp = whole.gpt_neox.layers[layer.number].mlp
        with torch.no_grad():
            mlp.dense_h_to_4h.weight.copy_(layer.mlp.w_in.T)
            mlp.dense_h_to_4h.bias.copy_(layer.mlp.b_in)
            mlp.dense_4h_to_h.weight.copy_(layer.mlp.w_out.T)
            mlp.dense_4h_to_h.bias.copy_(layer.mlp.b_out)
    whole.save_pretrained(folder)
    AutoTokenizer.from_pretrained(BUNDLED).save_pretrained(folder)


def _planted(stack: Stack, truth: str, generator: np.random.Generator) -> tuple[StackLayer, ...]:
    target, layers = stack.run_entities(), []
    x = target.resid[0]
    for i, layer in enumerate(stack.layers):
        noise = {
            name: torch.as_tensor(generator.standard_normal(tuple(w.shape)), dtype=w.dtype) * w.std()
            for name in ("w_in", "w_out")
            if (w := getattr(layer.mlp, name)) is not None
        }
        own = matched(_with(layer, **noise), x, layer.pre(target.mlp_in[i]))
        layers.append(own)
        x = x + layer.attention + own.mlp_out(x if layer.parallel else x + layer.attention)
    if truth == "hash":
        return _trained(stack, layers, [len(layers) - 1], tuple)
    reads, writes = _split(stack.first.shape[1], (0.6, 0.4), generator)

    def wired(current: Layers) -> tuple[StackLayer, ...]:
        changed = []
        for i, layer in enumerate(current):
            assert layer.norm is not None and layer.mlp.b_out is not None
            gain = layer.norm.weight[:, None]
            w_in = (reads @ (gain * layer.mlp.w_in)) / gain
            out = writes if i < len(current) - 1 else torch.eye(len(writes))
            changed.append(_with(layer, w_in=w_in, w_out=layer.mlp.w_out @ out, b_out=layer.mlp.b_out @ out))
        return tuple(changed)

    return _trained(stack, layers, range(len(layers)), wired)


def _trained(
    stack: Stack, layers: Layers, chosen: Sequence[int], wired: Callable[[Layers], tuple[StackLayer, ...]]
) -> tuple[StackLayer, ...]:
    target = stack.run_entities()
    wanted, x = target.output, target.resid[0]
    parts: list[dict[str, Tensor]] = [
        {n: getattr(layer.mlp, n).clone().requires_grad_() for n in ("w_in", "b_in", "w_out", "b_out")}
        if i in chosen
        else {}
        for i, layer in enumerate(layers)
    ]
    cls = torch.as_tensor(stack.entities.cls["sport"])
    spread = (wanted - wanted.mean(0)).pow(2).mean()
    optimiser = torch.optim.Adam([w for part in parts for w in part.values()], lr=RATE)

    def now() -> Stack:
        moved = [_with(layer, **part) for layer, part in zip(layers, parts, strict=True)]
        return stack.with_layers(wired(moved), "effective")

    for _ in range(STEPS):
        output = now().run(x).output
        loss = cross_entropy(stack.readouts["sport"].scores(output), cls) + (output - wanted).pow(2).mean() / spread
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        final = now()
        right = float((stack.readouts["sport"].predict(final.run(x).output) == stack.entities.cls["sport"]).mean())
    print(f"the planted stack reads {right:.3f} of the names rightly", flush=True)
    names = ("w_in", "b_in", "w_out", "b_out")
    return tuple(_with(layer, **{n: getattr(layer.mlp, n).detach() for n in names}) for layer in final.layers)


def observe_checkpoints(folder: Path, seeds: Sequence[int] = (0,)) -> list[dict[str, object]]:
    """Plant, study and judge; the outcomes of each checkpoint, also written to `checkpoints.json`."""
    found: list[dict[str, object]] = []
    for truth in TRUTHS:
        for seed in seeds:
            place = folder / f"{truth}_{seed}"
            if not (place / "config.json").is_file():
                plant(truth, seed, place)
            run = study(
                load_model(str(place)),
                demo_facts(),
                folder=folder / f"{truth}_{seed}_run",
                relation="sport",
                settings=replace(SETTINGS, seed=seed),
            )
            known = run.summary.query("experiment == 'known_facts' and statistic == 'n_known'")["value"].iloc[0]
            outcomes = run.outcomes[["hypothesis", "statistic", "verdict", "t", "value"]]
            found.append({"truth": truth, "seed": seed, "known": known, "outcomes": outcomes.to_dict("records")})
    (folder / "checkpoints.json").write_text(json.dumps(found, default=float, indent=1), encoding="utf-8")
    return found
