"""Known facts: counts, baselines and losses from literal loops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from circuit_world import CLASSES, SETTINGS, World, measured, model, value

from rote.asking import ask
from rote.experiments.base import Facts
from rote.experiments.known_facts.measure import KnownFactsExperiment
from rote.facts import Fact, FactTable, build_prompts
from rote.records import Record
from rote.records.rows import canonical_json

TOLD = replace(SETTINGS, known_probability=1e-30)
NEW = ("two_part", "all_over_tokens", "two_part_over_tokens", "by_words", "by_tokens")


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
        right = guessed(cls, [w[place] for w in words])
        assert value(record, statistic, condition="all") == pytest.approx(np.mean(right))
    assert not {row.condition for row in record.rows} & set(NEW)  # they would say the same again


def guessed(cls: Sequence[int], label: Sequence[object]) -> list[bool]:
    """Whether the commonest class of the others with one's label is right, entity by entity; None is no label."""
    right = []
    for i, own in enumerate(label):
        everyone = Counter(c for j, c in enumerate(cls) if j != i)
        mine = Counter(c for j, c in enumerate(cls) if j != i and label[j] == own and own is not None)
        right.append(max(range(3), key=lambda c: (mine[c], everyone[c], -c)) == cls[i])
    return right


def of_lengths(world: World, two: int, three: int, one: int) -> tuple[Record, Facts]:
    """So many names of each length; those of three words share parts of two and of one, and single words."""
    known = list(world.recall.prompts.facts[::3])
    words = [fact.entity.split() for fact in known]
    made = [f"{words[i % 3][0]} {words[i % 4][0]} {words[i // 3][1]}" for i in range(three)]
    made += [words[i][0] for i in range(one)]
    facts = known[:two] + [Fact(entity=n, relation="sport", attribute=CLASSES[i % 3]) for i, n in enumerate(made)]
    table = FactTable(name="mixed", relations=(world.prompts.relation,), facts=tuple(facts))
    prompts = build_prompts(table, "sport", model().tokenizer)
    given = Facts(model=model(), prompts=prompts, known=ask(model(), prompts, TOLD), settings=TOLD)
    return KnownFactsExperiment().record(given), given


def test_names_of_two_parts_stand_apart_with_guesses_over_parts_and_over_tokens(world: World) -> None:
    record, given = of_lengths(world, 20, 18, 6)
    words = [entity.split() for entity in given.prompts.entities]
    cls = given.prompts.cls.tolist()
    parts = [i for i, w in enumerate(words) if len(w) > 1]
    assert value(record, "n_facts", condition="two_part") == len(parts) == 38
    assert value(record, "n_facts", condition="two_token") == 20 and value(record, "n_facts", condition="all") == 44
    some = [cls[i] for i in parts]
    of_parts = guessed(some, [tuple(words[i][:-1]) for i in parts])
    of_tokens = guessed(some, [words[i][0] for i in parts])
    assert of_parts != of_tokens
    assert value(record, "baseline_first", condition="two_part") == pytest.approx(np.mean(of_parts))
    assert value(record, "baseline_first", condition="two_part_over_tokens") == pytest.approx(np.mean(of_tokens))
    first = guessed(cls, [w[0] if len(w) > 1 else None for w in words])
    assert value(record, "baseline_first", condition="all_over_tokens") == pytest.approx(np.mean(first))
    last = guessed(cls, [w[-1] for w in words])
    for condition in ("all", "all_over_tokens"):  # the last part is the last token of these
        assert value(record, "baseline_last", condition=condition) == pytest.approx(np.mean(last))


def test_lengths_apart_where_there_are_several_and_the_small_ones_counted(world: World) -> None:
    record, given = of_lengths(world, 20, 18, 6)
    right = given.known.correct
    for unit in ("words", "tokens"):
        for length in (2, 3):
            of = [i for i, entity in enumerate(given.prompts.entities) if len(entity.split()) == length]
            key = {"condition": f"by_{unit}", "parameters": canonical_json({unit: length})}
            assert value(record, "n_known", **key) == given.known.known[of].sum()
            assert value(record, "accuracy", **key) == pytest.approx(right[of].mean())
        reasons = [gone.reason for gone in record.absent if gone.condition == f"by_{unit}"]
        assert reasons == [f"6 names of 1 {unit}: fewer than {TOLD.stratum_facts} of each"]
    one_length, _ = of_lengths(world, 0, 18, 0)
    assert not [row for row in one_length.rows if (row.condition or "").startswith("by_")]


def test_no_two_rows_have_one_key(world: World) -> None:
    """So that whoever asks for a condition finds one value."""
    record, _ = of_lengths(world, 20, 18, 6)
    keys = [(row.statistic, row.condition, row.cls, str(row.parameters)) for row in record.rows]
    assert len(keys) == len(set(keys)) and {row.condition for row in record.rows} >= set(NEW)


def test_the_table_of_facts_shows_every_fact_and_its_name_tokens(world: World) -> None:
    table = measured(KnownFactsExperiment(), world.study).tables["facts"]
    assert table["entity"].tolist() == [f.entity for f in world.prompts.facts]
    assert [a.strip() for a in table["first"]] == [f.entity.split()[0] for f in world.prompts.facts]
    assert [a.strip() for a in table["last"]] == [f.entity.split()[-1] for f in world.prompts.facts]
    assert table["known"].tolist() == world.known.known.tolist()
    assert table["n_name_words"].tolist() == [2] * len(table)
    assert set(table["cut"]) == {"between words"}
