"""`Kept`: clean passes that stay in memory for replay, within one budget for all the prompts of a process."""

from __future__ import annotations

from collections.abc import Hashable
from weakref import WeakKeyDictionary

from rote.model import Recording

RECORDING_BUDGET_BYTES = 2 * 1024**3  # of one set of prompts; twice of all: a relation's prompts, and its names alone


class Kept:
    """Recordings by owner (a set of prompts, with which they go) and key (its rows).

    Where they need more than the budget, the owner that was asked longest ago loses all of its recordings, never the
    one that is asked now.
    """

    def __init__(self, budget_bytes: int = 2 * RECORDING_BUDGET_BYTES) -> None:
        self.budget_bytes = budget_bytes
        self._owners: WeakKeyDictionary[Hashable, dict[Hashable, tuple[Recording, int]]] = WeakKeyDictionary()

    @property
    def n_bytes(self) -> int:
        return sum(size for owned in self._owners.values() for _, size in owned.values())

    def get(self, owner: Hashable, key: Hashable) -> Recording | None:
        """What was put, or None where it never was or had to go."""
        recording, _ = self._asked_now(owner).get(key, (None, 0))
        return recording

    def put(self, owner: Hashable, key: Hashable, recording: Recording, n_bytes: int) -> None:
        self._asked_now(owner)[key] = recording, n_bytes
        while self.n_bytes > self.budget_bytes and len(self._owners) > 1:
            del self._owners[next(iter(self._owners))]

    def _asked_now(self, owner: Hashable) -> dict[Hashable, tuple[Recording, int]]:
        """What an owner has; it stands last from now on."""
        owned = self._owners.pop(owner, {})
        self._owners[owner] = owned
        return owned
