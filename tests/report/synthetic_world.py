"""What a synthetic run is about, and the helpers that make its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rote.records import Row


@dataclass(frozen=True, kw_only=True)
class World:
    """What a synthetic run is about; the defaults are the size of the bundled organism."""

    model: str = "organisms/bundled"
    relation: str | None = "sport"
    asked: tuple[str, ...] = ("sport", "league", "city")
    classes: tuple[str, ...] = ("basketball", "football", "baseball")
    first_names: tuple[str, ...] = ("Tim", "Larry", "Joe", "Babe", "Tom", "Kobe", "Walter", "Hank")
    n_layers: int = 6
    n_heads: int = 4
    window: tuple[int, int] = (2, 4)
    n_facts: int = 240
    known_share: float = 0.97
    seed: int = 0
    extra_study: dict[str, Any] = field(default_factory=dict)

    @property
    def top_heads(self) -> tuple[tuple[int, int], ...]:
        late = range(self.window[1] + 1, self.n_layers)
        heads = [(layer, head) for layer in late for head in range(self.n_heads)]
        return tuple(heads[:: max(len(heads) // 6, 1)][:6])


def random_of(world: World, experiment: str) -> np.random.Generator:
    return np.random.default_rng([world.seed, *experiment.encode()])


def row(experiment: str, statistic: str, value: float, *, width: float = 0.03, **key: Any) -> Row:
    key = {"stack": "model", "n": 120, "unit": "fraction"} | key
    low, high = value - width, value + width
    if key["unit"] == "fraction" and not statistic.startswith("path_delta"):
        low, high = max(low, 0.0), min(high, 1.0)
    return Row(experiment=experiment, statistic=statistic, value=value, ci_low=low, ci_high=high, **key)


def rising(world: World, layer: int, low: float, high: float) -> float:
    """A value that rises from low to high over the window."""
    start, stop = world.window
    return low + (high - low) * min(max((layer - start + 1) / (stop - start + 1), 0), 1)
