"""Choices are made on the selection half: what the report half's classes are changes none of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from circuit_world import World

from rote.asking import Recall
from rote.circuit import Circuit, search
from rote.circuit.extraction import head_readouts


def with_report_classes(world: World, seed: int) -> Recall:
    """The same facts and halves, the report half's classes permuted among its entities."""
    cls = world.recall.cls.copy()
    cls[world.report] = np.random.default_rng(seed).permutation(cls[world.report])
    assert (cls != world.recall.cls).sum() > 10
    return replace(world.recall, prompts=replace(world.recall.prompts, cls=cls), readouts={})


@pytest.mark.parametrize("seed", [0, 1])
def test_the_report_halfs_classes_change_no_choice(world: World, seed: int) -> None:
    found, expected = search(with_report_classes(world, seed)), world.circuit
    assert clear(found) == clear(expected)


def clear(circuit: Circuit) -> Circuit:
    """Without the heads whose effects are rounding."""
    return replace(circuit, top_heads=circuit.top_heads[:4], candidates=circuit.candidates[:4])


def test_the_readout_is_the_same_whatever_the_report_halfs_classes(world: World) -> None:
    heads = world.circuit.readout_heads
    found, expected = (head_readouts(r, heads)[-1] for r in (with_report_classes(world, 0), world.recall))
    assert (found.weight == expected.weight).all()
    stack = world.circuit.effective_model(with_report_classes(world, 0))
    assert stack.readouts["sport"].temperature == world.study.stack.readouts["sport"].temperature
    assert (stack.readouts["sport"].centre == world.study.stack.readouts["sport"].centre).all()


def test_the_order_of_the_facts_changes_no_choice(world: World) -> None:
    order = np.random.default_rng(0).permutation(len(world.recall))
    found, expected = search(world.recall.take(order)), world.circuit
    assert found.top_heads[0] == expected.top_heads[0]
    assert set(found.top_heads[:4]) == set(expected.top_heads[:4])  # close ranks may swap: the draws are others
    assert found.readout_heads == expected.readout_heads
    ranked = {"top_heads": expected.top_heads, "candidates": expected.candidates, "flip_gains": expected.flip_gains}
    assert replace(found, **ranked) == expected


def test_a_circuit_survives_its_record(world: World) -> None:
    assert Circuit.from_json(world.circuit.to_json()) == world.circuit
