"""Which half of the known facts the rows of experiments on the model speak of."""

from __future__ import annotations

import pytest
from circuit_world import World, measured

from rote.experiments import EXPERIMENTS
from rote.experiments.base import Experiment

# all facts, pairs of names, the product, a text
OTHER_POPULATIONS = ("known_facts", "linear_structure", "known_norms", "local_processing")


@pytest.mark.parametrize(
    "experiment", [e for e in EXPERIMENTS if e.name not in OTHER_POPULATIONS], ids=lambda e: e.name
)
def test_nothing_but_what_says_so_is_reported_on_more_than_the_report_half(
    world: World, experiment: Experiment
) -> None:
    """Means over facts have n ≤ the report half unless the condition names another population."""
    for row in measured(experiment, world.study).rows:
        if row.ci_low is not None and row.condition != "selection" and row.n is not None:
            assert row.n <= len(world.report), row
