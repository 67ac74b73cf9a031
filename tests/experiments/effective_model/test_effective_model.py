"""What the effective model recalls, from its tables by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from circuit_world import World, value
from test_circuit_readout import literal_weight
from test_circuit_window import literal_effective

from rote.experiments.effective_model.measure import EffectiveModelExperiment


def test_the_effective_model_is_reported_on_the_report_half(world: World) -> None:
    record, stack = EffectiveModelExperiment().record(world.study), world.study.stack
    tables = tuple(x.double().numpy() for x in (stack.first, stack.last, stack.constant))
    output = literal_effective(world, tables)
    scores = (output - output[world.selection].mean(0)) @ literal_weight(world, world.circuit.readout_heads).numpy()
    right, model = scores.argmax(1) == world.cls, [world.right(t, i) for i, t in enumerate(world.clean)]
    assert all(model)
    words = [name.split() for name in world.entities]
    counts = [Counter(w[k] for w in words) for k in (0, 1)]
    shared = [i for i in world.report if counts[0][words[i][0]] > 1 or counts[1][words[i][1]] > 1]
    for condition, half in (("report", world.report), ("selection", world.selection), ("shared", shared)):
        assert value(record, "effective_accuracy", condition=condition) == pytest.approx(right[half].mean())
        assert value(record, "effective_agreement", condition=condition) == pytest.approx(right[half].mean())
        temperature = stack.readouts["sport"].temperature
        logits = scores[half] / temperature
        logits -= logits.max(1, keepdims=True)
        losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(half)), np.array(world.cls)[half]]
        found = value(record, "effective_loss_nats", condition=condition)
        assert found == pytest.approx(losses.mean(), rel=1e-5, abs=1e-5)
