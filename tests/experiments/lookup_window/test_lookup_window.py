"""The look-up's rows are the circuit's."""

from __future__ import annotations

import pytest
from circuit_world import World, value
from test_circuit_window import literal_attention_kept

from rote.experiments.lookup_window.measure import LookupWindowExperiment


def test_window_rows_are_the_circuits_and_the_report_halfs(world: World) -> None:
    record = LookupWindowExperiment().record(world.study)
    assert value(record, "lookup_start") == world.circuit.lookup_start
    assert value(record, "lookup_stop") == world.circuit.lookup_stop
    for start in (0, 1):
        right = literal_attention_kept(world, start, None)[world.report]
        found = value(record, "attention_kept_accuracy", layer=start, condition="mean")
        assert found == pytest.approx(right.mean())
