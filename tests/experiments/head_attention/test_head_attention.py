"""Attention of the readout heads, summed by kind of position."""

from __future__ import annotations

import numpy as np
import pytest
from circuit_world import World, value

from rote.experiments.head_attention.measure import HeadAttentionExperiment


def test_attention_is_reported_on_the_report_half(world: World) -> None:
    record, (layer, head) = HeadAttentionExperiment().record(world.study), world.circuit.readout_heads[0]
    weights = [float(world.clean[i]["pattern", layer][head, -1, world.last[i]]) for i in world.report]
    found = value(record, "attention", layer=layer, head=head, position="subject_last")
    assert found == pytest.approx(np.mean(weights), abs=1e-5)
    kinds = [r for r in record.rows if (r.layer, r.head) == (layer, head)]
    assert sum(r.value for r in kinds) == pytest.approx(1, abs=1e-5)
    assert [a.reason for a in record.absent] == ["the table asks these entities no other relation"]
