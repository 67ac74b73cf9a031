"""The one tuple of all controls, and their members built one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rote.lineup.additive import Additive
from rote.lineup.and_gates import AndGates
from rote.lineup.class_booster import ClassBooster
from rote.lineup.control import Control, Member
from rote.lineup.hash_lookup import HashLookup
from rote.lineup.parallel import Parallel
from rote.lineup.partial_hash import PartialHash
from rote.lineup.shuffled import Shuffled, ShuffledMatched
from rote.lineup.single_step import SingleStep
from rote.lineup.target import Target
from rote.lineup.trained import Trained
from rote.settings import Settings
from rote.stack import Stack

CONTROLS: tuple[Control, ...] = (
    Additive(),
    SingleStep(),
    AndGates(),
    Parallel(),
    HashLookup(),
    PartialHash(10),
    PartialHash(100),
    PartialHash(1000),
    ClassBooster(),
    Shuffled(),
    ShuffledMatched(),
    Trained(),
)


def build_controls(
    stack: Stack,
    *,
    controls: Sequence[Control] = CONTROLS,
    seeds: int | None = None,
    settings: Settings | None = None,
) -> Iterator[Member]:
    """Every member of every control of a stack, one after another: `for member in rote.build_controls(stack): …`.

    NotApplicable, at the first one, where the stack gives controls nothing to be matched to.
    """
    settings = settings or Settings()
    if seeds is not None:
        settings = replace(settings, n_members=seeds, n_trained_members=min(seeds, settings.n_trained_members))
    target = Target.of(stack, settings)
    for control in controls:
        for seed in range(control.n_members(settings)):
            yield control.build(target, seed, settings)
