from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "circuit"))  # the world and its twin are the circuit's,
sys.path.insert(0, str(Path(__file__).parents[1] / "model"))  # the tiny models are the model layer's,
sys.path.insert(0, str(Path(__file__).parents[1] / "stack"))  # and random stacks are the stack's

import circuit_world
from plain_stack import PlainStack

from rote.experiments.populations import reported
from rote.stack import Stack


@pytest.fixture(scope="session")
def world() -> circuit_world.World:
    return circuit_world.world()


@pytest.fixture(scope="session")
def sample(world: circuit_world.World) -> Stack:
    """The effective model with the entities that stack experiments report on."""
    return reported(world.study.stack, circuit_world.SETTINGS)


@pytest.fixture(scope="session")
def by_hand(world: circuit_world.World, sample: Stack) -> PlainStack:
    return PlainStack(world, sample)
