from __future__ import annotations

import circuit_world
import pytest


@pytest.fixture(scope="session")
def world() -> circuit_world.World:
    return circuit_world.world()
