"""G: neurons that detect whole names, the same ones for all facts of an entity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rote.lineup.control import Control
from rote.lineup.fit import Layers, fit_outputs, refine
from rote.lineup.target import Target
from rote.lineup.wiring import all_confined, token_layers
from rote.settings import Settings
from rote.stack import StackLayer

SIZES = (1, 2, 4, 8, 16, 32)  # entities per neuron
BACKGROUND = 4  # random names of the product for each entity, on which gates must stay shut
OUTPUT_STEPS = 200  # output weights alone are a convex problem, and settle early
PENALTY = 1e-3  # of the mean eigenvalue, in the regression that makes the gates


class AndGates(Control):
    """Neurons ReLU(first + last − 1) for 1 to 32 random entities each; output weights fitted.

    first + last is the regression, on what the MLP reads, of the number of the name's tokens that are among the
    neuron's; it is scaled such that names with both average 2 and names with one average 1, since where tokens
    outnumber dimensions no linear map tells them apart. Only output weights are refined. Source: Fact Finding, post 3.
    """

    name = "and_gates"

    def layers(self, target: Target, generator: np.random.Generator, settings: Settings) -> Layers:
        layers = []
        seen, names = target.x, _background(target, generator)
        background, strata = target.stack.inputs(*names), target.stack.strata_of(names[0])
        every = None if strata is None else np.concatenate([target.stratum, strata])
        for layer, plain in zip(token_layers(target, generator), target.stack.layers, strict=True):
            read = torch.cat([seen, background])
            if not layer.parallel:
                read = read + layer.attends(every)
            layers.append(_gates(target, layer, plain, read, names, generator))
            # no layer sees what the MLPs before it add, so only attention has to be followed
            seen, background = seen + layer.attends(target.stratum), background + layer.attends(strata)
        fitted = fit_outputs(target, tuple(layers), range(len(layers)), target.wanted, basis=target.basis)
        return refine(
            target,
            fitted,
            steps=min(settings.n_refine_steps, OUTPUT_STEPS),
            trained=lambda _, weight: weight in ("w_out", "b_out"),
            wired=lambda layers: all_confined(layers, target),
        )


def _background(target: Target, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    firsts, lasts = [], []
    for _, part in target.stack.by_stratum():
        entities = part.entities
        firsts.append(generator.choice(entities.first, BACKGROUND * len(entities)))
        lasts.append(generator.choice(entities.last, BACKGROUND * len(entities)))
    return np.concatenate(firsts), np.concatenate(lasts)


def _gates(
    target: Target,
    layer: StackLayer,
    plain: StackLayer,
    read: Float[Tensor, "name d_model"],
    names: tuple[Int[np.ndarray, " background"], Int[np.ndarray, " background"]],
    generator: np.random.Generator,
) -> StackLayer:
    entities, n_neurons = target.stack.entities, layer.mlp.w_out.shape[0]
    first, last = (
        np.concatenate([own, other]) for own, other in zip((entities.first, entities.last), names, strict=True)
    )
    wanted = np.empty((len(read), n_neurons))
    for neuron in range(n_neurons):
        size = min(int(generator.choice(SIZES)), len(entities))
        members = generator.choice(len(entities), size, replace=False)
        # the sum of two indicators, as a gate reads it: one member's first name with another's last counts 2 as well
        wanted[:, neuron] = np.isin(first, entities.first[members]).astype(float) + np.isin(
            last, entities.last[members]
        )
    normed = (read if layer.norm is None else layer.norm(read)).double()
    mean, goal = normed.mean(0), torch.as_tensor(wanted, device=read.device)
    gram = (normed - mean).T @ (normed - mean)
    ridge = PENALTY * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    weight = torch.linalg.solve(gram + ridge, (normed - mean).T @ (goal - goal.mean(0)))
    both, one = _average(normed @ weight, goal == 2), _average(normed @ weight, goal == 1)
    gain = 1 / (both - one).clamp_min(1e-6)
    weight, bias = weight * gain, -one * gain  # ReLU(first + last − 1): 1 on the neuron's names, 0 on those half its
    spread = torch.relu(normed @ weight + bias)[: len(entities)].std(0).clamp_min(1e-6)
    loudness = plain.post(read[: len(entities)]).double().std(0) / spread  # as loud as the model's neurons
    weight, bias = weight * loudness, bias * loudness
    mlp = replace(
        layer.mlp,
        w_in=weight.to(read.dtype),
        b_in=bias.to(read.dtype),
        w_gate=None,
        b_gate=None,
        activation=torch.relu,
    )
    return replace(layer, mlp=mlp)


def _average(values: Float[Tensor, "name neuron"], where: Bool[Tensor, "name neuron"]) -> Float[Tensor, " neuron"]:
    return (values * where).sum(0) / where.sum(0).clamp_min(1)
