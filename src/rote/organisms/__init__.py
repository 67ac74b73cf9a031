"""Organisms: small models in ordinary Hugging Face files whose facts, and their place of look-up, are known.

The bundled one lies in `BUNDLED`; `train` makes it again, or others. `World` and `build_world` need no torch.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rote.organisms.settings import TrainSettings
    from rote.organisms.training import Progress, TrainedOrganism, train
    from rote.organisms.world import World, build_world

BUNDLED = Path(__file__).parent / "bundled"

_HOMES = {
    "Progress": "training",
    "TrainedOrganism": "training",
    "TrainSettings": "settings",
    "train": "training",
    "World": "world",
    "build_world": "world",
}

__all__ = ["BUNDLED", "Progress", "TrainSettings", "TrainedOrganism", "World", "build_world", "train"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
