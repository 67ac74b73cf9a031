"""P: every MLP reads the tokens alone and holds every fact by itself."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rote.lineup.control import Control
from rote.lineup.fit import Layers, fit_outputs, refine, scaled_to_rms
from rote.lineup.target import AIM, Target
from rote.lineup.wiring import all_confined, token_layers
from rote.settings import Settings
from rote.stack import Stack, StackRun


class Parallel(Control):
    """As single_step, each layer fitted to the whole answer on its own: layer i gives 1/n of the wanted output."""

    name = "parallel"

    def layers(self, target: Target, generator: np.random.Generator, settings: Settings) -> Layers:
        layers = token_layers(target, generator)
        n = len(layers)
        for i in range(n):
            basis = target.basis if i < n - 1 else None
            inside = target.wanted if basis is None else target.wanted @ basis @ basis.T
            layers = fit_outputs(target, layers, [i], inside / n)
        layers = all_confined(layers, target)

        def loss(run: StackRun) -> Tensor:
            alone = torch.stack([target.loss(target.base + n * out) for out in run.mlp_out])
            return alone.mean()

        def enough(run: StackRun) -> bool:
            gain = 1 / target.fit(run.output).rms_ratio  # what scaled_to_rms will find, as no layer reads another
            each = [target.fit(target.base + gain * n * out) for out in run.mlp_out]
            whole = target.fit(target.base + gain * (run.output - target.base))
            return all(fit.accurate() for fit in each) and whole.accurate(AIM)

        layers = refine(
            target,
            layers,
            steps=settings.n_refine_steps,
            wired=lambda layers: all_confined(layers, target),
            loss=loss,
            enough=enough,
        )
        return scaled_to_rms(target, layers)

    def flaw(self, target: Target, stack: Stack) -> str | None:
        """A layer that does not have the answer by itself."""
        n = len(stack.layers)
        fits = [target.fit(target.base + n * out) for out in stack.run(target.x, target.stratum).mlp_out]
        worst = min(fits, key=lambda fit: fit.accuracy)
        if worst.accurate():
            return None
        return (
            f"MLP {stack.numbers[fits.index(worst)]} alone reads {worst.accuracy:.3f} of the names rightly, "
            f"{worst.target_accuracy:.3f} wanted"
        )
