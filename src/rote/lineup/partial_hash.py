"""PH: a hash that gradient steps on all layers have let the class into, and a look-up of the rest: a dose."""

from __future__ import annotations

import numpy as np

from rote.lineup.control import Control
from rote.lineup.fit import Layers, refine
from rote.lineup.hash_lookup import looked_up
from rote.lineup.target import Target
from rote.settings import Settings


class PartialHash(Control):
    """hash_lookup whose layers took `steps` steps of Adam, all weights, before the last one was made the look-up.

    0 steps are hash_lookup, very many are `trained`. The steps come first because a matched hash_lookup has hardly any
    loss left that could move it.
    """

    trained_by_steps = True

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.name = f"partial_hash_{steps}"

    def layers(self, target: Target, generator: np.random.Generator, settings: Settings) -> Layers:
        start = target.stack.shuffled_matched(generator).layers
        moved = refine(target, start, steps=self.steps, enough=lambda run: False)
        return looked_up(target, moved, generator, settings)
