"""What training finds by itself, from permuted weights: for reference only."""

from __future__ import annotations

import numpy as np

from rote.lineup.control import Control
from rote.lineup.fit import Layers, refine
from rote.lineup.target import Target
from rote.settings import Settings


class Trained(Control):
    """All weights of all layers by gradient steps from permuted ones."""

    name = "trained"
    trained_by_steps = True

    def layers(self, target: Target, generator: np.random.Generator, settings: Settings) -> Layers:
        start = target.stack.shuffled_matched(generator).layers
        return refine(target, start, steps=settings.n_refine_steps)
