"""What every control is matched to: the effective model's window output for each known name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.errors import NotApplicable
from rote.settings import Settings
from rote.stack import Stack, StackRun
from rote.statistics import rng, stratified_sample

ACCURACY_TOLERANCE = 0.02  # a control is matched within two points of the effective accuracy …
RMS_TOLERANCE = 0.10  # … and ten per cent of the RMS of the window's output
AIM = 0.5  # fits aim at this share of both tolerances, so that rounding does not decide
BASIS_SHARE = 0.25  # of d_model: where the layers of a single-step control may write, except the last


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How close a control is to its target: its accuracy (a fraction), and its output's RMS over the target's."""

    accuracy: float
    target_accuracy: float
    rms_ratio: float

    def within(self, share: float = 1.0) -> bool:
        """Whether accuracy and RMS lie within `share` of the tolerances."""
        return self.accurate(share) and abs(self.rms_ratio - 1) <= share * RMS_TOLERANCE

    def accurate(self, share: float = 1.0) -> bool:
        """Whether the accuracy lies within `share` of its tolerance."""
        # 2 of 100 names are within it, whatever rounding makes of 1 − 0.98
        return abs(self.accuracy - self.target_accuracy) <= share * ACCURACY_TOLERANCE + 1e-9

    @property
    def distance(self) -> float:
        """The larger of the two deviations, in tolerances."""
        accuracy = abs(self.accuracy - self.target_accuracy) / ACCURACY_TOLERANCE
        return max(accuracy, abs(self.rms_ratio - 1) / RMS_TOLERANCE)

    @property
    def shortfall(self) -> str:
        """What is out of tolerance, in words with the figures."""
        return (
            f"accuracy {self.accuracy:.3f} against {self.target_accuracy:.3f} (within {ACCURACY_TOLERANCE:g} wanted), "
            f"output RMS {self.rms_ratio:.2f} times the model's (within {RMS_TOLERANCE:g} wanted)"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """The effective model on the names that the controls have to hold.

    wanted = what all MLPs of the window add for a name, [entity, d_model]; base = input + frozen attention, so that
    the stack's output is base + wanted; answers = the effective model's own log-probabilities per relation.
    """

    stack: Stack
    run: StackRun
    base: Float[Tensor, "entity d_model"]
    wanted: Float[Tensor, "entity d_model"]
    answers: Mapping[str, Float[Tensor, "entity cls"]]

    @classmethod
    def of(cls, stack: Stack, settings: Settings) -> Target:
        """The target for at most max_entities names of each half, sampled within classes.

        NotApplicable where there are fewer than two names, or nothing that differs between them.
        """
        stack = _limited(stack, settings)
        run = stack.run_entities()
        attention = (layer.attends(run.stratum) for layer in stack.layers)
        base = run.resid[0] + sum(attention, torch.zeros_like(run.resid[0][0]))
        wanted = run.output - base
        if not bool((wanted != wanted[0]).any()):
            raise NotApplicable("the window adds the same for every known name, so there is nothing to be matched to")
        return cls(
            stack=stack,
            run=run,
            base=base,
            wanted=wanted,
            answers={name: readout.log_probs(run.output) for name, readout in stack.readouts.items()},
        )

    @property
    def x(self) -> Float[Tensor, "entity d_model"]:
        return self.run.resid[0]

    @property
    def stratum(self) -> Int[np.ndarray, " entity"] | None:
        return self.run.stratum

    @cached_property
    def spread(self) -> float:
        """Mean square of the wanted outputs about their mean, per entity and dimension."""
        return float((self.wanted - self.wanted.mean(0)).pow(2).mean())

    @cached_property
    def basis(self) -> Float[Tensor, "d_model basis"]:
        """Orthonormal: the leading principal components of the wanted outputs, their mean included."""
        d_model = self.wanted.shape[1]
        size = max(1, round(BASIS_SHARE * d_model))
        directions: Float[Tensor, "direction d_model"] = torch.linalg.svd(self.wanted.double(), full_matrices=False)[2]
        return directions[:size].T.to(self.wanted.dtype)

    @cached_property
    def known(self) -> Mapping[str, Int[Tensor, " known"]]:
        """Per relation, the entities of which that fact is known."""
        classes = self.stack.entities.cls
        return {
            name: torch.as_tensor(np.flatnonzero(classes[name] >= 0), device=self.wanted.device)
            for name in self.stack.readouts
        }

    @cached_property
    def accuracy(self) -> float:
        """The effective model's own accuracy on the studied relation, a fraction."""
        return self._accuracy(self.run.output)

    def fit(self, output: Float[Tensor, "entity d_model"]) -> Fit:
        """How close an output of the stack is to the wanted one."""
        rms, wanted = (output - self.base).double().pow(2).mean().sqrt(), self.wanted.double().pow(2).mean().sqrt()
        return Fit(accuracy=self._accuracy(output), target_accuracy=self.accuracy, rms_ratio=float(rms / wanted))

    def loss(self, output: Float[Tensor, "entity d_model"]) -> Tensor:
        """‖output − wanted output‖² over the wanted variance, plus KL(effective ‖ control) of every relation.

        Each relation's KL, in nats, is a mean over the entities of which it is known.
        """
        # in units of the wanted variance, so that it counts beside divergences in nats whatever the model's scale
        total = (output - self.base - self.wanted).pow(2).mean() / self.spread
        for name, readout in self.stack.readouts.items():
            known = self.known[name]
            answer = self.answers[name][known]
            total = total + (answer.exp() * (answer - readout.log_probs(output[known]))).sum(-1).mean()
        return total

    def _accuracy(self, output: Float[Tensor, "entity d_model"]) -> float:
        readout = next(iter(self.stack.readouts.values()))
        return float((readout.predict(output) == self.stack.entities.cls[readout.relation]).mean())


def _limited(stack: Stack, settings: Settings) -> Stack:
    entities, relation = stack.entities, next(iter(stack.readouts))
    kept = []
    for half in (~entities.selection, entities.selection):
        members = np.flatnonzero(half)
        if len(members):
            generator = rng(settings.seed, "entities", relation)  # as the experiments draw theirs
            cls = entities.cls[relation][members]
            kept.append(members[stratified_sample(cls, size=settings.max_entities, generator=generator)])
    if len(entities) < 2:
        names = "no known names" if not kept else "one known name"
        raise NotApplicable(f"the stack has {names}; a control is matched on two or more")
    return stack.with_entities(entities.take(np.sort(np.concatenate(kept))))
