"""The toys in order: networks → what holds over all of them → tables and report, in a run folder like a study's.

What one shard does stands in `toys`; an interrupted run goes on where it was and ends in the same tables.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from rote import errors
from rote.execute import Executor, OnEvent
from rote.execute.abstract import ignore
from rote.model.threads import small_worker
from rote.records import Shard
from rote.pipeline.run import Run
from rote.pipeline.stages import Stages, small_work
from rote.toys.capacity.toy import CapacitySettings, CapacityWork
from rote.toys.memorisation.toy import MemorisationSettings, MemorisationWork

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
    executor: Executor | None = None,
    fresh: bool = False,
    wait: bool = False,
    on_event: OnEvent = ignore,
) -> Run:
    """Memorisation in the pure, and bagging on the same networks: `rote toy memorisation`.

    `executor`: where networks are trained, each on one thread; by default in this process, one after another.
    Raises RunError where the folder holds another run, or another process writes it and `wait` is not asked for.
    """
    work = MemorisationWork(settings or MemorisationSettings())
    described = partial(describe, "memorisation", work.settings.as_dict())
    with small_work(described, folder, fresh=fresh, wait=wait, on_event=on_event) as stages:
        there: dict[str, Any] = {"executor": executor, "setup": small_worker}
        stages.complete("training", work.networks, work.measure, **there, ahead=[*work.pictures, *work.over_all])
        stages.complete("drawing", work.pictures, work.draw, **there, ahead=work.over_all)
        stages.complete("comparing", work.over_all, lambda _: work.pooled(stages.records(work.networks)))
        return _reported(stages, [*work.networks, *work.pictures, *work.over_all])


def measure_capacity(
    settings: CapacitySettings | None = None,
    *,
    folder: str | Path,
    executor: Executor | None = None,
    fresh: bool = False,
    wait: bool = False,
    on_event: OnEvent = ignore,
) -> Run:
    """The most facts that networks of a grid store: `rote toy capacity`; arguments and errors as in `memorise`."""
    work = CapacityWork(settings or CapacitySettings())
    described = partial(describe, "capacity", work.settings.as_dict())
    with small_work(described, folder, fresh=fresh, wait=wait, on_event=on_event) as stages:
        there: dict[str, Any] = {"executor": executor, "setup": small_worker}
        stages.complete("training", work.networks, work.measure, **there, ahead=[*work.by_hand, *work.over_all])
        stages.complete("building by hand", work.by_hand, work.build_by_hand, ahead=work.over_all)
        stages.complete("comparing", work.over_all, lambda _: work.exponents(stages.records(work.networks)))
        return _reported(stages, [*work.networks, *work.by_hand, *work.over_all])


def _reported(stages: Stages, order: Sequence[Shard]) -> Run:
    """Make the tables and the report; no hypothesis about a language model is judged by a toy."""
    stages.close("tables and report")
    stages.run.assemble(order)
    run = Run(records=stages.run)
    run.report()
    return run


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
