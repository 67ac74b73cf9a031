"""Runs shards on a Ray cluster: one worker holds one state, and shards whose worker or node dies run again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import ModuleType

from rote.errors import InputError
from rote.execute.pump import Crew, Elsewhere
from rote.execute.ray_cluster import Cluster
from rote.execute.ray_workers import Workers


@dataclass(frozen=True, kw_only=True)
class Ray(Elsewhere):
    """A Ray cluster, or this machine as one; setup, work, shards and results are pickled (by cloudpickle).

    Attributes:
        address: `host:port` or `auto`; without one $RAY_ADDRESS, else this machine alone, as a cluster for the time.
        workers: at most so many; by default as many as the cluster has room for.
        cpus_per_worker: CPUs, and so threads of every numerical library, of one worker.
        gpus_per_worker: GPUs of one worker, which sees no others.
        retries: how often a shard may lose its worker, beyond the first time, before the study stops.
        patience_s: how long not a single worker may be without a place on a node.
        modules: modules of yours that are not installed on the nodes, to be pickled by value.

    At most one shard per worker is in flight, and no more results than workers wait to be taken, so object stores
    never hold more than that.

    Raises (from `execute`): WorkerLost where a shard, or the setup, loses its worker more than `retries` times, or
    nothing finds a place; InputError where ray is not installed.
    """

    address: str | None = None
    workers: int | None = None
    cpus_per_worker: int = 1
    gpus_per_worker: float = 0
    retries: int = 3
    patience_s: float = 600.0
    modules: tuple[ModuleType, ...] = ()

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)}; expected at least {least}"
            for name, least in {"cpus_per_worker": 1, "gpus_per_worker": 0, "retries": 0, "workers": 1}.items()
            if getattr(self, name) is not None and getattr(self, name) < least
        ]
        if problems:
            raise InputError(problems)

    def _crew(self, n_shards: int | None) -> Crew:
        n_cpus = self.cpus_per_worker * self.workers if self.workers else os.cpu_count() or 1
        return Workers(
            cluster=Cluster(address=self.address, n_cpus=n_cpus, modules=self.modules),
            resources={"CPU": self.cpus_per_worker, "GPU": self.gpus_per_worker},
            most=self.workers,
            retries=self.retries,
            patience_s=self.patience_s,
        )
