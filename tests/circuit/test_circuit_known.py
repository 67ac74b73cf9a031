"""Which facts are known, against one plain forward pass per fact."""

from __future__ import annotations

import numpy as np
import torch
from circuit_world import CLASSES, N_FALSE, SETTINGS, World, model

from rote.asking import Recall


def test_log_probability_rank_and_predictions_are_those_of_a_plain_pass(world: World) -> None:
    for i, fact in enumerate(world.prompts.facts):
        logits = world.plain.run(world.ids(fact.entity))["logits"][-1]
        answer = world.class_tokens[CLASSES.index(fact.attribute)]
        log_probs = torch.log_softmax(logits, -1)
        assert abs(float(log_probs[answer]) - world.known.log_prob[i]) < 1e-5
        assert abs(float(log_probs[answer].exp()) - np.exp(world.known.log_prob[i])) < 1e-5
        rank = 1 + sum(float(x) > float(logits[answer]) for x in logits)
        assert rank == world.known.rank[i]
        assert (int(logits.argmax()) == answer) == world.known.correct[i]
        assert int(logits[world.class_tokens].argmax()) == world.known.predicted_cls[i]
        assert (float(log_probs[answer].exp()) > 0.5) == world.known.known[i]


def test_what_the_model_does_not_know_is_left_out_of_everything_else(world: World) -> None:
    assert int((~world.known.known).sum()) == N_FALSE
    false = {f.entity for f in world.prompts.facts[-N_FALSE:]}
    assert not false & set(world.recall.prompts.entities)
    assert len(world.recall) == len(world.prompts) - N_FALSE
    assert len(world.recall.table_names) == len({f.entity for f in world.prompts.facts})


def test_the_halves_are_disjoint_and_keep_the_class_shares(world: World) -> None:
    assert sorted(world.selection + world.report) == list(range(len(world.recall)))
    counts = [np.bincount(np.array(world.cls)[half], minlength=3) for half in (world.selection, world.report)]
    assert np.abs(counts[0] - counts[1]).max() <= 1


def test_the_split_does_not_depend_on_the_order_of_the_table(world: World) -> None:
    order = np.random.default_rng(0).permutation(len(world.prompts))
    shuffled = world.prompts.take(order)
    again = Recall.of(model(), shuffled, world.known.known[order], SETTINGS)
    chosen = {name for name, use in zip(again.names, again.selection, strict=True) if use}
    assert chosen == {world.recall.names[i] for i in world.selection}


def test_resampled_values_come_from_another_class(world: World) -> None:
    for draw in world.others:
        assert all(world.cls[i] != world.cls[j] for i, j in enumerate(draw))
