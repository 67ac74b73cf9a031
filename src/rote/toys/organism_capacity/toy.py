"""The capacity study: train a grid of organisms, one shard each, and put what they hold into a run folder."""

from __future__ import annotations

import platform
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from rote.execute import Executor, OnEvent, ignore
from rote.toys.organism_capacity.tables import NAME, member_record, over_organisms
from rote.model.threads import small_worker
from rote.organisms.capacity import CapacityGrid, OrganismSize, train_on_facts
from rote.pipeline.identity import source_hash
from rote.records import Record, Shard
from rote.pipeline.run import Run
from rote.pipeline.stages import Stages, small_work

QUICK = CapacityGrid(widths=(8, 12, 16, 20), n_facts=(1024, 4096), n_seeds=1)


def study_capacity(
    grid: CapacityGrid | None = None,
    *,
    folder: str | Path,
    executor: Executor | None = None,
    fresh: bool = False,
    wait: bool = False,
    on_event: OnEvent = ignore,
) -> Run:
    """Train every organism of the grid, or those that are left, and write tables and report into `folder`.

    `executor`: where they are trained, each on one thread; by default in this process, one after another. An
    interrupted study goes on where it was and ends in the same tables. Raises RunError where the folder holds
    another study, or another process writes it and `wait` is not asked for.
    """
    grid = grid or CapacityGrid()
    described = partial(describe_capacity, grid)
    with small_work(described, folder, fresh=fresh, wait=wait, on_event=on_event) as stages:
        return _measured(grid, stages, executor)


def _measured(grid: CapacityGrid, stages: Stages, executor: Executor | None) -> Run:
    shards, whole = {_shard(size): size for size in grid.members}, Shard(NAME)

    def trained(shard: Shard) -> Record:
        return member_record(shards[shard], train_on_facts(grid, shards[shard]))

    stages.complete("training", list(shards), trained, executor=executor, setup=small_worker, ahead=[whole])
    stages.complete("comparing", [whole], lambda _: over_organisms(grid, stages.records(list(shards))))
    stages.close("tables and report")
    stages.run.assemble([*shards, whole])
    result = Run(records=stages.run)
    result.report()
    return result


def describe_capacity(grid: CapacityGrid) -> dict[str, Any]:
    """The content of study.json."""
    libraries = ("torch", "transformers", "numpy")
    return {
        "model": "organisms trained on random facts",
        "facts": None,
        "text": None,
        "experiments": {NAME: {}},
        "seed": grid.seed,
        "settings": grid.as_dict(),
        "batch_plan": {"threads": torch.get_num_threads()},
        "versions": {
            "rote": version("rote"),
            "rote_source_sha256": source_hash(),
            "python": platform.python_version(),
            **{name: version(name) for name in libraries},
        },
    }


def _shard(size: OrganismSize) -> Shard:
    return Shard(NAME, f"d{size.d_model}_n{size.n_facts}_e{size.exposures}_s{size.seed}")
