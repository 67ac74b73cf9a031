"""S: every MLP reads the tokens alone; together they hold the facts."""

from __future__ import annotations

import numpy as np

from rote.lineup.control import Control
from rote.lineup.fit import Layers, fit_outputs, refine
from rote.lineup.target import Target
from rote.lineup.wiring import all_confined, token_layers
from rote.settings import Settings


class SingleStep(Control):
    """Input weights orthogonal to the earlier MLPs' outputs, so no MLP reads another one; output weights fitted.

    Where the neurons are too few for random features to hold the names, all weights are refined by gradient steps
    that keep the wiring. Source: Fact Finding, post 3 (single-step detokenisation).
    """

    name = "single_step"

    def layers(self, target: Target, generator: np.random.Generator, settings: Settings) -> Layers:
        layers = token_layers(target, generator)
        layers = fit_outputs(target, layers, range(len(layers)), target.wanted, basis=target.basis)
        return refine(
            target,
            layers,
            steps=settings.n_refine_steps,
            wired=lambda layers: all_confined(layers, target),
        )
