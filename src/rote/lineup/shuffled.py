"""The study's null: the model's own weights, permuted."""

from __future__ import annotations

import numpy as np

from rote.lineup.control import Control
from rote.lineup.fit import Layers
from rote.lineup.target import Target
from rote.settings import Settings


class Shuffled(Control):
    """Every weight matrix and bias permuted entrywise. Source: Fact Finding, post 3."""

    name = "shuffled"
    exempt = True

    def layers(self, target: Target, generator: np.random.Generator, settings: Settings) -> Layers:
        return target.stack.shuffled(generator).layers


class ShuffledMatched(Control):
    """The same, every neuron's pre-activation scaled and shifted to the model's mean and SD."""

    name = "shuffled_matched"
    exempt = True

    def layers(self, target: Target, generator: np.random.Generator, settings: Settings) -> Layers:
        return target.stack.shuffled_matched(generator).layers
