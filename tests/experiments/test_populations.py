"""The entities that stack experiments look at."""

from __future__ import annotations

import numpy as np
from circuit_world import SETTINGS, World

from rote.experiments.populations import sampled
from rote.stack import Stack


def test_the_sample_is_of_the_report_half_and_keeps_class_shares(world: World, sample: Stack) -> None:
    chosen = [world.entities.index(name) for name in sample.entities.names]
    assert len(chosen) == SETTINGS.max_entities < len(world.report)
    assert set(chosen) <= set(world.report)
    shares = np.bincount(np.array(world.cls)[chosen], minlength=3) / len(chosen)
    assert np.abs(shares - np.bincount(np.array(world.cls)[world.report]) / len(world.report)).max() < 0.04
    again = sampled(np.array(world.cls)[world.report], SETTINGS, "sport")
    assert [world.report[i] for i in again] == chosen
