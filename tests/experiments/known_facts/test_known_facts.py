"""Known facts: counts, baselines and losses from literal loops."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from circuit_world import CLASSES, World, measured, value

from rote.experiments.known_facts.measure import KnownFactsExperiment


def test_known_facts_counts_baselines_and_losses(world: World) -> None:
    record, facts = measured(KnownFactsExperiment(), world.study), world.prompts.facts
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
    table = measured(KnownFactsExperiment(), world.study).tables["facts"]
    assert table["entity"].tolist() == [f.entity for f in world.prompts.facts]
    assert [a.strip() for a in table["first"]] == [f.entity.split()[0] for f in world.prompts.facts]
    assert [a.strip() for a in table["last"]] == [f.entity.split()[-1] for f in world.prompts.facts]
    assert table["known"].tolist() == world.known.known.tolist()
