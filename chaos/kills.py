"""A study killed at every boundary, each time resumed and compared with the one that nobody disturbed."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from chaos import world
from chaos.boundaries import Ended, forked, whole


@dataclass(kw_only=True)
class Tally:
    """What came of the kills."""

    kills: int = 0
    n_again: Counter[int] = field(default_factory=Counter)  # shards computed twice → kills
    calls: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.kills += other.kills
        self.n_again += other.n_again
        self.calls += other.calls
        self.problems += other.problems


def undisturbed(folder: Path) -> tuple[Ended, dict[str, bytes]]:
    """The study as it is without a kill: its boundaries, and its tables."""
    ended = forked(lambda on_event: world.study(folder, on_event))
    assert ended.code == 0, ended.error
    assert not world.leftovers(folder)
    return ended, world.tables(folder)


def kill_at(boundaries: Iterable[int], folder: Path, expected: dict[str, bytes], until: float = float("inf")) -> Tally:
    """Kill a new study at each of the boundaries, resume it, and compare; stops where the clock passes `until`."""
    tally = Tally()
    for boundary in boundaries:
        if time.monotonic() > until:
            break
        where = folder / f"killed-{boundary}"
        died = forked(lambda on_event, where=where: world.study(where, on_event), kill_at=boundary)
        tally.kills += died.killed
        if not died.killed:
            tally.problems.append(f"boundary {boundary}: not killed, exit {died.code} {died.error}")
            continue
        tally.calls[died.calls[-1]] += 1
        if not whole(where):
            tally.problems.append(f"boundary {boundary}: a record is damaged after the kill")
        resumed = forked(lambda on_event, where=where: world.study(where, on_event))
        tally.n_again[len(set(died.started) & set(resumed.started))] += 1
        tally.problems += [f"boundary {boundary} ({died.calls[-1]}): {p}" for p in problems(resumed, where, expected)]
        shutil.rmtree(where)
    return tally


def problems(resumed: Ended, folder: Path, expected: dict[str, bytes]) -> list[str]:
    """What is wrong with a resumed study."""
    if resumed.code != 0:
        return [f"did not resume, exit {resumed.code}: {resumed.error}"]
    found = world.tables(folder)
    differ = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    wrong = [f"differs in {', '.join(differ)}"] if differ else []
    left = world.leftovers(folder)
    return wrong + ([f"left behind: {', '.join(left)}"] if left else [])
