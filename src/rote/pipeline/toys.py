"""The one runner of all toys: stage after stage → tables and report, in a run folder like a study's.

What one shard does stands with the toy; an interrupted run goes on where it was and ends in the same tables.
"""

from __future__ import annotations

import platform
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from rote.execute import Executor, OnEvent
from rote.execute.abstract import ignore
from rote.model.threads import small_worker
from rote.pipeline.identity import source_hash
from rote.pipeline.run import Run
from rote.pipeline.stages import Stages, small_work
from rote.records import Record, Shard
from rote.toys import Toy, toy
from rote.toys.toy import ToyStage

# what every toy's numbers depend on; none of the code that only shows them, nor what another toy alone uses
_SOURCES = ("errors.py", "toys/*.py", "statistics/*.py", "records/*.py")
_SHOWN = ("card.py", "section.py", "lead.py")
_LIBRARIES = ("torch", "transformers", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow")


def run_toy(
    name: str | Toy,
    settings: Any = None,
    *,
    folder: str | Path,
    executor: Executor | None = None,
    fresh: bool = False,
    wait: bool = False,
    on_event: OnEvent = ignore,
) -> Run:
    """Train and measure what a toy's settings ask for, or what is left of it, and write tables and report.

    `settings`: of the toy's own class, by default all as it is. `executor`: where shards are done, each on one thread;
    by default in this process, one after another. Raises RunError where the folder holds another run, or another
    process writes it and `wait` is not asked for, StorageError where the disk fails, KeyError for a toy that there is
    none of.
    """
    chosen = name if isinstance(name, Toy) else toy(name)
    settings = chosen.chosen({}) if settings is None else settings
    todo = chosen.start(settings).stages
    described = partial(describe, chosen, asdict(settings))
    with small_work(described, folder, fresh=fresh, wait=wait, on_event=on_event) as stages:
        for i, stage in enumerate(todo):
            ahead = [shard for later in todo[i + 1 :] for shard in later.shards]
            if stage.over:
                stages.complete(stage.name, stage.shards, partial(_compared, stage, stages))
            else:
                where: dict[str, Any] = {"executor": executor, "setup": small_worker}
                stages.complete(stage.name, stage.shards, stage.do, **where, ahead=ahead)
        stages.close("tables and report")
        stages.run.assemble([shard for stage in todo for shard in stage.shards])
        run = Run(records=stages.run)
        run.report()  # no hypothesis about a language model is judged by a toy
        return run


def _compared(stage: ToyStage, stages: Stages, shard: Shard) -> Record:
    return stage.do(shard, stages.records(stage.over))


def describe(chosen: Toy, settings: dict[str, Any]) -> dict[str, Any]:
    """The content of study.json: a record is reused only if all of this is the same."""
    own = (f"toys/{chosen.name}/*.py", *(f"{room}/*.py" for room in chosen.rooms))
    return {
        "toy": chosen.name,
        "settings": settings,
        "batch_plan": {"threads": torch.get_num_threads(), "device": "cpu"},
        "versions": {
            "rote": version("rote-lm"),
            "rote_source_sha256": source_hash(*_SOURCES, *own, without=_SHOWN),
            "python": platform.python_version(),
            **{name: version(name) for name in _LIBRARIES},
        },
    }
