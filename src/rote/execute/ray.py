"""Runs shards on a Ray cluster: one worker holds one state, and shards whose worker or node dies run again."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar

from rote.errors import InputError, WorkerLost
from rote.execute.abstract import (
    Executor,
    Failed,
    Finished,
    Interrupted,
    Lost,
    OnEvent,
    Result,
    ShardT,
    Started,
    State,
    ignore,
)
from rote.execute.ray_workers import Outcome, Workers, dumps, ray_module, value_of

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Ray(Executor):
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

    elsewhere: ClassVar[bool] = True

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

    def execute(
        self,
        setup: Callable[[], State],
        work: Callable[[State, ShardT], Result],
        shards: Sequence[ShardT],
        *,
        on_event: OnEvent = ignore,
    ) -> Iterator[tuple[ShardT, Result]]:
        if shards:
            with self.session() as running:
                yield from running.execute(setup, work, shards, on_event=on_event)

    def session(self) -> AbstractContextManager[Executor]:
        return _Session(config=self)

    @property
    def actor_options(self) -> dict[str, Any]:
        """What Ray is asked for per worker; the threads of a worker are its CPUs, whatever the node's environment."""
        threads = dict.fromkeys(_THREADS, str(self.cpus_per_worker))
        return {
            "num_cpus": self.cpus_per_worker,
            "num_gpus": self.gpus_per_worker,
            "runtime_env": {"env_vars": threads},
        }


@dataclass(kw_only=True, eq=False)
class _Session(Executor, AbstractContextManager["Executor"]):
    """A connection to the cluster, and the workers of the latest setup."""

    elsewhere: ClassVar[bool] = True

    config: Ray
    _connected_here: bool = False
    _setup: Any = None
    _workers: Workers | None = None

    def execute(
        self,
        setup: Callable[[], State],
        work: Callable[[State, ShardT], Result],
        shards: Sequence[ShardT],
        *,
        on_event: OnEvent = ignore,
    ) -> Iterator[tuple[ShardT, Result]]:
        if not shards:
            return
        workers: Workers | None = None
        try:
            workers = self._ready_for(setup)
            step = ray_module().put(dumps(work))
            yield from _Run(workers, step, deque(shards), self.config, on_event).results()
        except KeyboardInterrupt:
            on_event(Interrupted(shard=next(iter(workers.busy), None) if workers else None))
            raise
        finally:
            if workers is not None:
                workers.give_up()

    def _ready_for(self, setup: Any) -> Workers:
        if self._workers is not None and setup is self._setup:
            return self._workers
        self._connect()
        if self._workers is not None:
            self._workers.end()
        pickled = ray_module().put(dumps(setup))
        self._setup = setup
        self._workers = Workers(setup=pickled, options=self.config.actor_options, patience_s=self.config.patience_s)
        return self._workers

    def _connect(self) -> None:
        ray = ray_module()
        for module in self.config.modules:
            ray.cloudpickle.register_pickle_by_value(module)
        if ray.is_initialized():  # the caller's own connection stays
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # rote tells nobody that it is used
        address = self.config.address or os.environ.get("RAY_ADDRESS") or "local"
        here = {"num_cpus": self._n_cpus(), "include_dashboard": False} if address == "local" else {}
        here_before = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error", **here)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(f"no Ray cluster at {address}: {error}; start one with `ray start --head`") from error
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, here_before)  # a local cluster would make it an end without a word
        self._connected_here = True

    def _n_cpus(self) -> int:
        """What the workers that were asked for need, else all of the machine's."""
        config = self.config
        return config.cpus_per_worker * config.workers if config.workers else os.cpu_count() or 1

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *error: object) -> None:
        if self._workers is not None:
            self._workers.end()
            self._workers = None
        if self._connected_here:
            ray_module().shutdown()
            self._connected_here = False


@dataclass
class _Run:
    """One call of `execute`: what is left to do, and how often a shard has lost its worker."""

    workers: Workers
    step: Any
    left: deque[Any]
    config: Ray
    on_event: OnEvent
    lost: Counter[Hashable | None] = field(default_factory=Counter)

    def results(self) -> Iterator[tuple[Any, Any]]:
        self._hand_out()
        while self.left or self.workers.busy:
            for ended in self.workers.ends():
                if ended.outcome is None:
                    self._again(ended.shard, ended.lost or "")
                    continue
                result = self._taken(ended.shard, ended.outcome)
                self._hand_out()  # workers go on while the result is stored
                yield ended.shard, result
            self._hand_out()

    def _hand_out(self) -> None:
        while self.left and self.workers.n_idle:
            shard = self.left.popleft()
            self.on_event(Started(shard=shard))
            self.workers.give(self.step, shard)
        wanted = len(self.left) + len(self.workers.busy)
        self.workers.grow(min(wanted, self.config.workers or wanted))

    def _again(self, shard: Hashable | None, reason: str) -> None:
        self.lost[shard] += 1
        times, what = self.lost[shard], "the setup" if shard is None else str(shard)
        self.on_event(Lost(shard=shard, reason=reason, times=times))
        if times > self.config.retries:
            raise WorkerLost(
                f"{what} lost its worker {times} times, the last time with: {reason}. Where it needs more memory than "
                "a worker has, ask for more per worker; on nodes that are often taken away, allow more retries."
            )
        if shard is not None:
            self.left.appendleft(shard)

    def _taken(self, shard: Hashable | None, outcome: Outcome) -> Any:
        value = value_of(outcome)
        if isinstance(value, ModuleNotFoundError):
            value.add_note("Install it on every node, or hand it over by value with rote.Ray(modules=(...,)).")
        if outcome.raised:
            self.on_event(Failed(shard=shard, error=value, seconds=outcome.seconds))
            raise value
        self.lost.pop(None, None)  # setups do not fail in general
        self.on_event(Finished(shard=shard, seconds=outcome.seconds))
        return value
