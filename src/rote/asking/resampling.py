"""Resamples over the parts of names, by whatever generator: what every interval over facts is made of."""

from __future__ import annotations

import numpy as np

from rote.facts import RelationPrompts
from rote.settings import Settings
from rote.statistics import PigeonholeBootstrap


def names_bootstrap(
    prompts: RelationPrompts, settings: Settings, generator: np.random.Generator
) -> PigeonholeBootstrap:
    """The pigeonhole bootstrap of the prompts' names; a name of one token has a last part alone.

    ValueError for no names at all.
    """
    return PigeonholeBootstrap(
        prompts.first,
        prompts.last,
        has_first=prompts.has_first,
        n_resamples=settings.n_bootstrap,
        generator=generator,
    )
