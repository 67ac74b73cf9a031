"""B: neurons that only amplify what the readout would already see in the input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from rote.lineup.control import Control
from rote.lineup.fit import Layers, scaled_to_rms
from rote.lineup.target import Target
from rote.settings import Settings
from rote.stack import StackLayer, matched


class ClassBooster(Control):
    """Each neuron reads and writes one class's readout direction (of a random relation), and nothing else.

    Amplitudes and biases are random, pre-activations have the model's mean and SD, outputs the target's RMS. No fact is
    looked up, so accuracy is what the input already gives.
    """

    name = "class_booster"
    exempt = True

    def layers(self, target: Target, generator: np.random.Generator, settings: Settings) -> Layers:
        layers, run = [], target.run
        for i, layer in enumerate(target.stack.layers):
            layers.append(matched(_boosting(target, layer, generator), run.mlp_in[i], layer.pre(run.mlp_in[i])))
        return scaled_to_rms(target, tuple(layers))


def _boosting(target: Target, layer: StackLayer, generator: np.random.Generator) -> StackLayer:
    readouts = list(target.stack.readouts.values())
    n_neurons, norm = layer.mlp.w_out.shape[0], layer.norm
    directions = []
    for _ in range(n_neurons):
        weight = readouts[int(generator.integers(len(readouts)))].weight
        own = weight[:, int(generator.integers(weight.shape[1]))] - weight.mean(1)
        directions.append(own / own.norm())
    reads = torch.stack(directions, 1)
    # behind a norm, w/weight reads the direction itself
    w_in = (
        reads
        if norm is None
        else reads / torch.where(norm.weight.abs() < 1e-3, torch.ones_like(norm.weight), norm.weight)[:, None]
    )
    amplitude = torch.as_tensor(generator.exponential(size=n_neurons), dtype=reads.dtype, device=reads.device)
    mlp = replace(
        layer.mlp,
        w_in=w_in,
        b_in=torch.zeros(n_neurons, dtype=reads.dtype, device=reads.device),
        w_gate=None,
        b_gate=None,
        w_out=(reads * amplitude).T.contiguous(),
        b_out=None,
    )
    return replace(layer, mlp=mlp, out_norm=None)
