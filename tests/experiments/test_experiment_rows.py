"""The rows of experiments on the model: which half they speak of, and their values from literal loops."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from circuit_world import CLASSES, World, measured, value

from rote.experiments import EXPERIMENTS
from rote.records import Record


def measure(name: str, world: World) -> Record:
    (experiment,) = (e for e in EXPERIMENTS if e.name == name)
    return measured(experiment, world.study)


def test_known_facts_counts_baselines_and_losses(world: World) -> None:
    record, facts = measure("known_facts", world), world.prompts.facts
    cls = [CLASSES.index(f.attribute) for f in facts]
    words = [f.entity.split() for f in facts]
    assert value(record, "n_facts", condition="all") == len(facts)
    assert value(record, "n_known", condition="all") == sum(np.exp(world.known.log_prob) > 0.5)
    right = [i for i, f in enumerate(facts) if world.known.predicted_cls[i] == cls[i]]
    assert value(record, "accuracy_cls", condition="all") == pytest.approx(len(right) / len(facts))
    assert value(record, "loss_nats", condition="all", cls=None) == pytest.approx(-np.mean(world.known.log_prob))
    for index, name in enumerate(CLASSES):
        losses = [-p for p, c in zip(world.known.log_prob, cls, strict=True) if c == index]
        assert value(record, "loss_nats", condition="all", cls=name) == pytest.approx(np.mean(losses))
    for place, statistic in ((0, "shared_first"), (1, "shared_last")):
        counts = Counter(w[place] for w in words)
        shares = np.mean([counts[w[place]] > 1 for w in words])
        assert value(record, statistic, condition="all") == pytest.approx(shares)
    for place, statistic in ((0, "baseline_first"), (1, "baseline_last")):
        guesses = []
        for i, w in enumerate(words):
            everyone = Counter(c for j, c in enumerate(cls) if j != i)
            mine = Counter(c for j, c in enumerate(cls) if j != i and words[j][place] == w[place])
            guesses.append(max(range(3), key=lambda c: (mine[c], everyone[c], -c)) == cls[i])
        assert value(record, statistic, condition="all") == pytest.approx(np.mean(guesses))


def test_the_table_of_facts_shows_every_fact_and_its_name_tokens(world: World) -> None:
    table = measure("known_facts", world).tables["facts"]
    assert table["entity"].tolist() == [f.entity for f in world.prompts.facts]
    assert [a.strip() for a in table["first"]] == [f.entity.split()[0] for f in world.prompts.facts]
    assert [a.strip() for a in table["last"]] == [f.entity.split()[-1] for f in world.prompts.facts]
    assert table["known"].tolist() == world.known.known.tolist()


def test_direct_effects_are_means_over_each_half(world: World) -> None:
    from test_circuit_heads import literal_direct_effect

    record = measure("direct_effects", world)
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


def test_attention_is_reported_on_the_report_half(world: World) -> None:
    record, (layer, head) = measure("head_attention", world), world.circuit.top_heads[0]
    weights = [float(world.clean[i]["pattern", layer][head, -1, world.last[i]]) for i in world.report]
    found = value(record, "attention", layer=layer, head=head, position="subject_last")
    assert found == pytest.approx(np.mean(weights), abs=1e-5)
    kinds = [r for r in record.rows if (r.layer, r.head) == (layer, head)]
    assert sum(r.value for r in kinds) == pytest.approx(1, abs=1e-5)
    assert [a.reason for a in record.absent] == ["the table asks these entities no other relation"]


def test_the_effective_model_is_reported_on_the_report_half(world: World) -> None:
    from test_circuit_readout import literal_weight
    from test_circuit_window import literal_effective

    record, stack = measure("effective_model", world), world.study.stack
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


def test_window_rows_are_the_circuits_and_the_report_halfs(world: World) -> None:
    from test_circuit_window import literal_attention_kept

    record = measure("lookup_window", world)
    assert value(record, "lookup_start") == world.circuit.lookup_start
    assert value(record, "lookup_stop") == world.circuit.lookup_stop
    for start in (0, 1):
        right = literal_attention_kept(world, start, None)[world.report]
        found = value(record, "attention_kept_accuracy", layer=start, condition="mean")
        assert found == pytest.approx(right.mean())


# all facts, pairs of names, the product, a text
OTHER_POPULATIONS = ("known_facts", "linear_structure", "known_norms", "local_processing")


@pytest.mark.parametrize("name", [e.name for e in EXPERIMENTS if e.name not in OTHER_POPULATIONS])
def test_nothing_but_what_says_so_is_reported_on_more_than_the_report_half(world: World, name: str) -> None:
    """Means over facts have n ≤ the report half unless the condition names another population."""
    for row in measure(name, world).rows:
        if row.ci_low is not None and row.condition != "selection" and row.n is not None:
            assert row.n <= len(world.report), row
