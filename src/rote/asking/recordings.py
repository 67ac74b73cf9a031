"""`Kept`: clean passes that stay in memory for replay, within one budget for all the prompts of a process."""

from __future__ import annotations

from collections.abc import Hashable
from weakref import WeakKeyDictionary

import torch

from rote.model import Recording
from rote.model.memory import free_bytes

BUDGET_BYTES = 4 * 1024**3
CARD_SHARE = 0.5  # of the memory that is free on a card once the model is there


def budget(device: torch.device) -> int:
    """What a process's recordings may take, in bytes: 4 GiB, on a card half of its free memory where that is more."""
    free = free_bytes(device) if device.type != "cpu" else None
    return max(BUDGET_BYTES, int(CARD_SHARE * (free or 0)))


class Kept:
    """Recordings by owner (a set of prompts, with which they go) and key (its rows).

    Where they need more than the budget, the owner that was asked longest ago loses all of its recordings, never the
    one that is asked now. A set gets at most half of it: a relation's prompts go with its names alone.
    """

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self.budget_bytes = budget_bytes
        self._owners: WeakKeyDictionary[Hashable, dict[Hashable, tuple[Recording, int]]] = WeakKeyDictionary()

    def fits(self, n_bytes: int) -> bool:
        """Whether one set of prompts that needs so much is kept at all."""
        return n_bytes <= self.budget_bytes // 2

    @property
    def n_bytes(self) -> int:
        """What is kept now, in bytes."""
        return sum(size for owned in self._owners.values() for _, size in owned.values())

    def get(self, owner: Hashable, key: Hashable) -> Recording | None:
        """What was put, or None where it never was or had to go."""
        recording, _ = self._asked_now(owner).get(key, (None, 0))
        return recording

    def put(self, owner: Hashable, key: Hashable, recording: Recording, n_bytes: int) -> None:
        """Keep a recording of so many bytes; whoever was asked longest ago makes room."""
        self._asked_now(owner)[key] = recording, n_bytes
        while self.n_bytes > self.budget_bytes and len(self._owners) > 1:
            del self._owners[next(iter(self._owners))]

    def _asked_now(self, owner: Hashable) -> dict[Hashable, tuple[Recording, int]]:
        """What an owner has; it stands last from now on."""
        owned = self._owners.pop(owner, {})
        self._owners[owner] = owned
        return owned
