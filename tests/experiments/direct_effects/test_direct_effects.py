"""Direct effects are means over each half."""

from __future__ import annotations

import numpy as np
import pytest
from circuit_world import World, value
from test_circuit_heads import literal_direct_effect

from rote.experiments.direct_effects.measure import DirectEffectsExperiment


def test_direct_effects_are_means_over_each_half(world: World) -> None:
    record = DirectEffectsExperiment().record(world.study)
    layer, head = world.circuit.top_heads[0]
    for condition, half in (("selection", world.selection), ("report", world.report)):
        effects = [literal_direct_effect(world, ("head", layer, head), i) for i in half]
        found = value(record, "direct_effect", layer=layer, head=head, condition=condition)
        assert found == pytest.approx(np.mean(effects), rel=1e-5)
        effects = [literal_direct_effect(world, ("mlp", 4, None), i) for i in half]
        found = value(record, "direct_effect", layer=4, head=None, condition=condition)
        assert found == pytest.approx(np.mean(effects), abs=1e-5)
    ranks = {r.value: (r.layer, r.head) for r in record.rows if r.statistic == "top_head"}
    assert [ranks[n] for n in range(1, 7)] == list(world.circuit.top_heads)
