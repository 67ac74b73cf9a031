"""Effects of single neurons of a stack on the log-probability of every fact of an entity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.stack import Stack, StackRun
from rote.stack.one_neuron import output_with, posts

Effects = Float[np.ndarray, "entity relation neuron"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Ablation:
    """What takes the place of each activation: per layer [entity, draw, neuron]; effects are means over draws."""

    values: Sequence[Float[Tensor, "entity draw neuron"]]


def mean_ablation(pool: Sequence[Float[Tensor, "other neuron"]], n: int) -> Ablation:
    """The mean over a pool of entities, for each of n entities."""
    return Ablation(values=[post.mean(0).expand(n, 1, -1) for post in pool])


def resample_ablation(pool: Sequence[Float[Tensor, "other neuron"]], draws: Int[np.ndarray, "entity draw"]) -> Ablation:
    """The activations of drawn entities of the pool."""
    return Ablation(values=[post[torch.as_tensor(draws, device=post.device)] for post in pool])


def exact_effects(stack: Stack, ablation: Ablation, only: Int[np.ndarray, " neuron"] | None = None) -> Effects:
    """log p(answer | neuron replaced) − log p(answer), in nats, for every entity, relation and neuron of all layers.

    One row for each entity, draw and neuron; only the layers after the neuron's run again. `only` picks neurons by
    their number through all layers. NaN where an entity's class in a relation is not known.
    """
    run = stack.run_entities()
    clean = _answers(stack, run.output, np.arange(len(stack.entities)))
    found, start = [], 0
    for layer, post in enumerate(posts(stack, run)):
        wanted = np.arange(post.shape[1])
        if only is not None:
            wanted = only[(only >= start) & (only < start + len(wanted))] - start
        found.append(_layer_effects(stack, run, post, layer, ablation.values[layer], wanted) - clean[:, :, None])
        start += post.shape[1]
    return np.concatenate(found, axis=2)


def _layer_effects(
    stack: Stack, run: StackRun, post: Tensor, layer: int, values: Tensor, wanted: Int[np.ndarray, " neuron"]
) -> Effects:
    n, draws = len(post), values.shape[1]
    shape = (n, draws, len(wanted))
    total = int(np.prod(shape))
    answers = np.empty((total, len(stack.readouts)))
    for rows in stack.batches(total):  # entity, draw and neuron in one index, so that a batch may end anywhere
        name, draw, k = np.unravel_index(np.arange(rows.start, rows.stop), shape)
        neuron = torch.as_tensor(wanted[k], device=post.device)
        names = torch.as_tensor(name, device=post.device)
        value = values[names, torch.as_tensor(draw, device=post.device), neuron]
        x = output_with(stack, run, post, layer=layer, name=names, neuron=neuron, value=value)
        answers[rows] = _answers(stack, x, name)
    means: Effects = answers.reshape(*shape, -1).mean(axis=1).transpose(0, 2, 1)
    return means


def _answers(stack: Stack, x: Float[Tensor, "row d_model"], name: Int[np.ndarray, " row"]) -> np.ndarray:
    """log p of each relation's answer per row, [row, relation]; in float64, since p is often near 1."""
    columns = []
    for relation, readout in stack.readouts.items():
        cls = stack.entities.cls[relation][name]
        scores = (x.double() - readout.centre.double()) @ readout.weight.double() / readout.temperature
        log_probs = torch.log_softmax(scores, -1)
        chosen = log_probs.gather(1, torch.as_tensor(np.maximum(cls, 0), device=x.device)[:, None])[:, 0]
        columns.append(np.where(cls >= 0, chosen.detach().cpu().numpy(), np.nan))
    return np.stack(columns, axis=1)


def first_order_effects(stack: Stack, ablation: Ablation) -> Effects:
    """∂ log p(answer) / ∂ activation × (replacement − activation), the mean over draws, for every neuron; in nats."""
    run = stack.run_entities()
    x = run.resid[0]
    # a neuron acts through w_out alone, so slopes are taken of what the MLP writes, d_model numbers instead of d_mlp
    shifts = [torch.zeros_like(x, requires_grad=True) for _ in stack.layers]
    changes = [v.mean(1) - p for v, p in zip(ablation.values, posts(stack, run), strict=True)]
    effects = []
    with torch.enable_grad():
        output = _shifted(stack, x, run.stratum, shifts)
        for relation, readout in stack.readouts.items():
            cls = torch.as_tensor(np.maximum(stack.entities.cls[relation], 0), device=x.device)
            answer = readout.log_probs(output).gather(1, cls[:, None]).sum()  # entities do not see each other
            slopes = torch.autograd.grad(answer, shifts, retain_graph=True)
            each = [
                (slope @ layer.mlp.w_out.T) * change
                for slope, layer, change in zip(slopes, stack.layers, changes, strict=True)
            ]
            effect = torch.cat(each, dim=1).detach().double().cpu().numpy()
            effects.append(np.where(stack.entities.cls[relation][:, None] >= 0, effect, np.nan))
    return np.stack(effects, axis=1)


def _shifted(stack: Stack, x: Tensor, stratum: np.ndarray | None, shifts: Sequence[Tensor]) -> Tensor:
    """The stack's output with something added to what each MLP's neurons write, before a norm behind it."""
    for layer, shift in zip(stack.layers, shifts, strict=True):
        attention = layer.attends(stratum)
        read = x if layer.parallel else x + attention
        out = layer.mlp(read if layer.norm is None else layer.norm(read)) + shift
        x = x + attention + (out if layer.out_norm is None else layer.out_norm(out))
    return x
