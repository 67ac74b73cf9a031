"""What a control is, and what one member of it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rote.lineup.fit import Layers
from rote.lineup.target import Fit, Target
from rote.settings import Settings
from rote.stack import Stack
from rote.statistics import rng


@dataclass(frozen=True, kw_only=True, eq=False)
class Member:
    """One seed of a control: its stack, how well it fits the target, and whether it counts as matched.

    `reason` says what is out of tolerance where it is not.
    """

    control: str
    seed: int
    stack: Stack
    fit: Fit
    matched: bool
    reason: str | None


class Control(ABC):
    """A mechanism, planted: `layers` builds one member; the rest of the stack is the target's.

    `exempt` controls need not be matched (a mechanism that cannot hold the facts is no less known); `trained_by_steps`
    ones are built with settings.n_trained_members seeds instead of n_members.
    """

    name: str
    exempt: ClassVar[bool] = False
    trained_by_steps: ClassVar[bool] = False

    @abstractmethod
    def layers(self, target: Target, generator: np.random.Generator, settings: Settings) -> Layers:
        """The layers of one member."""

    def n_members(self, settings: Settings) -> int:
        return settings.n_trained_members if self.trained_by_steps else settings.n_members

    def build(self, target: Target, seed: int, settings: Settings) -> Member:
        """One member; the same for the same target, seed and settings."""
        generator = rng(settings.seed, f"lineup/{self.name}", seed)
        stack = target.stack.with_layers(self.layers(target, generator, settings), self.name)
        fit = target.fit(stack.run(target.x, target.stratum).output)
        reason = None if self.exempt or fit.within() else fit.shortfall
        reason = reason or self.flaw(target, stack)
        return Member(control=self.name, seed=seed, stack=stack, fit=fit, matched=reason is None, reason=reason)

    def flaw(self, target: Target, stack: Stack) -> str | None:
        """Why a member lacks the mechanism although it fits, where the construction does not ensure it; else None."""
        return None
