"""A: no MLP computes anything from both parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from rote.lineup.control import Control
from rote.lineup.fit import Layers, fit_outputs, scaled_to_rms
from rote.lineup.target import Target
from rote.settings import Settings
from rote.stack import permuted


def identity(x: Tensor) -> Tensor:
    return x


class Additive(Control):
    """Identity activation, no norm: the interaction of the two names is exactly 0.

    Output weights are fitted to the target as far as a sum over tokens can go, then scaled to the target's RMS.
    """

    name = "additive"
    exempt = True

    def layers(self, target: Target, generator: np.random.Generator, settings: Settings) -> Layers:
        plain = []
        for layer in target.stack.layers:
            own = permuted(layer, generator)
            mlp = replace(own.mlp, w_gate=None, b_gate=None, activation=identity)
            plain.append(replace(own, norm=None, out_norm=None, mlp=mlp))
        layers = tuple(plain)
        for i in range(len(layers)):
            layers = fit_outputs(target, layers, [i], target.wanted / len(layers))
        return scaled_to_rms(target, layers)
