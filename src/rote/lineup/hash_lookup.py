"""H: the first MLPs only hash the tokens; the last one looks the hash up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rote.lineup.control import Control
from rote.lineup.fit import Layers, fit_outputs, refine, with_weights
from rote.lineup.target import Target
from rote.settings import Settings
from rote.stack import StackLayer, matched

COVER = 4  # neurons of the last layer that each entity is a member of
WHITENING = 1e-2  # of the mean eigenvalue, added to the hashes' covariance


class HashLookup(Control):
    """All layers but the last are permuted weights; the last one's neurons detect random same-class subsets.

    A neuron's input weights are the sum of its subset's hashes (what the MLP reads, whitened over the entities); its
    pre-activation has the model's mean and SD; output weights are fitted by ridge. Where that does not hold the
    names, the last layer alone is refined. Nothing of the class is there before it. Source: Fact Finding, post 3.
    """

    name = "hash_lookup"

    def layers(self, target: Target, generator: np.random.Generator, settings: Settings) -> Layers:
        return looked_up(target, target.stack.shuffled_matched(generator).layers, generator, settings)


def looked_up(target: Target, layers: Layers, generator: np.random.Generator, settings: Settings) -> Layers:
    """The layers with the last one rebuilt as a look-up of what the others leave in the residual stream.

    Output weights in closed form, then at most `n_refine_steps` steps on that layer alone.
    """
    run = target.stack.with_layers(layers, "fit").run(target.x, target.stratum)
    last = len(layers) - 1
    # what the others have added is still in the stream, so the last layer takes it away again beside the answer
    layers = (*layers[:-1], _looking_up(target, layers[-1], run.mlp_in[-1], generator))
    layers = fit_outputs(target, layers, [last], target.wanted - _added(run.mlp_out[:-1], run.output))
    return refine(target, layers, steps=settings.n_refine_steps, trained=lambda layer, _: layer == last)


def _added(outputs: tuple[Tensor, ...], like: Tensor) -> Float[Tensor, "entity d_model"]:
    return sum(outputs, torch.zeros_like(like))


def _looking_up(
    target: Target, layer: StackLayer, read: Float[Tensor, "entity d_model"], generator: np.random.Generator
) -> StackLayer:
    hashes = (read if layer.norm is None else layer.norm(read)).double()
    hashes = hashes - hashes.mean(0)
    covariance = hashes.T @ hashes / len(hashes)
    identity = torch.eye(len(covariance), dtype=hashes.dtype, device=read.device)
    ridge = WHITENING * covariance.diagonal().mean() * identity
    # the sum of a subset's whitened hashes is the regression of its membership on the hashes, but for a factor, and
    # `matched` sets the scale anyway
    subsets = torch.as_tensor(_subsets(target, layer.mlp.w_out.shape[0], generator), device=read.device)
    weight = torch.linalg.solve(covariance + ridge, hashes.T @ subsets.to(hashes)).to(read.dtype)
    mlp = layer.mlp
    name = "w_in" if mlp.w_gate is None else "w_gate"
    return matched(
        replace(with_weights(layer, **{name: weight}), out_norm=None),
        read,
        target.stack.layers[-1].pre(target.run.mlp_in[-1]),
    )


def _subsets(target: Target, n_neurons: int, generator: np.random.Generator) -> Float[np.ndarray, "entity neuron"]:
    """Each neuron's random subset of one class of one relation (drawn by its known facts), as indicators."""
    entities = target.stack.entities
    size = max(1, round(COVER * len(entities) / n_neurons))
    wanted = np.zeros((len(entities), n_neurons))
    relations = list(target.stack.readouts)
    facts = np.array([(entities.cls[relation] >= 0).sum() for relation in relations])
    for neuron in range(n_neurons):
        cls = entities.cls[relations[int(generator.choice(len(relations), p=facts / facts.sum()))]]
        # a class as often as it has entities, so that every entity is a member equally often
        members = np.flatnonzero(cls == generator.choice(cls[cls >= 0]))
        wanted[generator.choice(members, min(size, len(members)), replace=False), neuron] = 1.0
    return wanted
