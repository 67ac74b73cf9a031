"""Small stacks that know their facts, as targets for controls: classes are what the stack itself answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from stack_maker import D_MODEL, of_kind

from rote.lineup import Control, Member, Target
from rote.settings import Settings
from rote.stack import Readout, Stack, StackLayer

FEW, MANY = 12, 40  # names: fewer than the 16 neurons of a layer, and more
QUICK = Settings(n_members=2, n_trained_members=1, n_refine_steps=200, n_bootstrap=50, n_member_bootstrap=50)


def knowing(kind: str, n_entities: int = MANY, *, seed: int = 0, n_relations: int = 1, double: bool = True) -> Stack:
    """A random stack whose outputs mostly lie where its readout looks, with its own answers as the classes.

    Of relations beside the first, two facts in five are unknown (−1).
    """
    stack = of_kind(kind, seed)
    entities = stack.entities.take(np.arange(n_entities))
    stack = doubled(stack.with_entities(entities)) if double else stack.with_entities(entities)
    first = next(iter(stack.readouts.values()))
    span = torch.linalg.qr(first.weight)[0]
    stack = stack.with_layers(tuple(_leaning(layer, span) for layer in stack.layers), "effective")
    output = stack.run_entities().output
    readouts, cls = {}, {}
    generator = np.random.default_rng(seed)
    for i, relation in enumerate(("sport", "league", "decade")[:n_relations]):
        weight = first.weight if i == 0 else torch.as_tensor(generator.normal(size=(D_MODEL, 4))).to(output.dtype)
        classes = tuple("abcd"[: weight.shape[1]])
        readout = Readout(relation=relation, classes=classes, weight=weight, centre=output.mean(0), temperature=0.7)
        readouts[relation], cls[relation] = readout, readout.predict(output)
        if i:
            cls[relation] = np.where(generator.random(n_entities) < 0.4, -1, cls[relation])
    return replace(stack, readouts=readouts, entities=replace(stack.entities, cls=cls))


def _leaning(layer: StackLayer, span: torch.Tensor) -> StackLayer:
    w_out = 2 * layer.mlp.w_out @ span @ span.T + 0.3 * layer.mlp.w_out
    return replace(layer, mlp=replace(layer.mlp, w_out=w_out))


def doubled(value: Any) -> Any:
    """The same in float64, all the way down."""
    if isinstance(value, torch.Tensor):
        return value.double()
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: doubled(getattr(value, f.name)) for f in fields(value)})
    if isinstance(value, tuple):
        return tuple(doubled(part) for part in value)
    if isinstance(value, Mapping):
        return {name: doubled(part) for name, part in value.items()}
    return value


def member(control: Control, stack: Stack, seed: int = 0, settings: Settings = QUICK) -> Member:
    return control.build(Target.of(stack, settings), seed, settings)


def weights(stack: Stack) -> list[torch.Tensor]:
    """Every weight of every layer, in order."""
    names = ("w_in", "b_in", "w_gate", "b_gate", "w_out", "b_out")
    found = [getattr(layer.mlp, name) for layer in stack.layers for name in names]
    return [weight for weight in found if weight is not None]
