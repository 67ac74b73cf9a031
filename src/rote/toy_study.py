"""The toys in order: networks → what holds over all of them → tables and report, in a run folder like a study's.

What one shard does stands in `toys`; an interrupted run goes on where it was and ends in the same tables.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from rote import errors
from rote.execute import Inline, OnEvent
from rote.execute.abstract import Event, Finished, ignore
from rote.model.memory import keep_freed_memory
from rote.records import Record, RunFolder, Shard
from rote.results import Run
from rote.toys.capacity_run import CapacitySettings, CapacityWork
from rote.toys.memorisation_run import MemorisationSettings, MemorisationWork

# what a toy's numbers depend on: none of the code that only shows them, nor what the other toy alone uses
_SOURCES = ("errors.py", "toys", "statistics", "records")
_OF_ONE_TOY = {
    "memorisation": (
        "bagging.py",
        "memorisation.py",
        "memorisation_run.py",
        "pictures.py",
        "sparsity.py",
        "structure.py",
    ),
    "capacity": ("by_hand.py", "capacity.py", "capacity_run.py", "exponents.py"),
}
_LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow")


def memorise(
    settings: MemorisationSettings | None = None,
    *,
    folder: str | Path,
    fresh: bool = False,
    on_event: OnEvent = ignore,
) -> Run:
    """Memorisation in the pure, and bagging on the same networks: `rote toy memorisation`."""
    work = MemorisationWork(settings or MemorisationSettings())
    with _one_thread(), _opened("memorisation", work.settings.as_dict(), folder, fresh) as run:
        stages = _Stages(run, on_event)
        stages.finish(work.networks, work.measure)
        stages.finish(work.pictures, work.draw)
        stages.finish(work.over_all, lambda _: work.pooled([run.read(shard) for shard in work.networks]))
        return stages.reported([*work.networks, *work.pictures, *work.over_all])


def measure_capacity(
    settings: CapacitySettings | None = None,
    *,
    folder: str | Path,
    fresh: bool = False,
    on_event: OnEvent = ignore,
) -> Run:
    """The most facts that networks of a grid store: `rote toy capacity`."""
    work = CapacityWork(settings or CapacitySettings())
    with _one_thread(), _opened("capacity", work.settings.as_dict(), folder, fresh) as run:
        stages = _Stages(run, on_event)
        stages.finish(work.networks, work.measure)
        stages.finish(work.by_hand, work.build_by_hand)
        stages.finish(work.over_all, lambda _: work.exponents([run.read(shard) for shard in work.networks]))
        return stages.reported([*work.networks, *work.by_hand, *work.over_all])


def describe(toy: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The content of study.json: a record is reused only if all of this is the same."""
    return {
        "toy": toy,
        "settings": settings,
        "batch_plan": {"threads": torch.get_num_threads(), "device": "cpu"},
        "versions": {
            "rote": version("rote"),
            "rote_source_sha256": _source_hash(toy),
            "python": platform.python_version(),
            **{name: version(name) for name in _LIBRARIES},
        },
    }


def _source_hash(toy: str) -> str:
    root, digest = Path(errors.__file__).parent, hashlib.sha256()
    others = {root / "toys" / name for other, names in _OF_ONE_TOY.items() if other != toy for name in names}
    for source in _SOURCES:
        for path in sorted((root / source).rglob("*.py")) or [root / source]:
            if path not in others:
                digest.update(path.relative_to(root).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Products this small lose more by being shared among threads than they gain, and cores then change no digit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _opened(toy: str, settings: dict[str, Any], folder: str | Path, fresh: bool) -> RunFolder:
    """The run folder, locked until its `with` ends."""
    keep_freed_memory()
    return RunFolder.open(folder, describe(toy, settings), fresh=fresh)


class _Stages:
    """Runs shards that are not done yet, records each as soon as it is there."""

    def __init__(self, run: RunFolder, on_event: OnEvent) -> None:
        self.run, self.on_event = run, on_event

    def finish(self, shards: Sequence[Shard], work: Callable[[Shard], Record]) -> None:
        left = [shard for shard in shards if not self.run.done(shard)]
        for shard, record in Inline().execute(lambda: None, lambda _, s: work(s), left, on_event=self._told):
            self.run.write(shard, record)

    def reported(self, order: Sequence[Shard]) -> Run:
        """Make the tables and the report; no hypothesis about a language model is judged by a toy."""
        self.run.assemble(order)
        run = Run(records=self.run)
        run.report()
        return run

    def _told(self, event: Event) -> None:
        if isinstance(event, Finished) and isinstance(event.shard, Shard):
            self.run.add_timing(event.shard, event.seconds)
        self.on_event(event)
