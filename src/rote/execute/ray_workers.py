"""The workers of a Ray cluster: each an actor that has made the state once and is given one shard at a time."""

from __future__ import annotations

import logging
import pickle
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rote.errors import WorkerLost
from rote.execute.abstract import Lost
from rote.execute.carried import answered
from rote.execute.pump import Crew, Ended
from rote.execute.ray_cluster import Cluster, ray_module

_log = logging.getLogger(__name__)
_LOOK_S = 5.0  # between two looks at whether anything can be placed at all
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # a worker's CPUs, whatever its node says


class _Actor:
    """Runs in a worker process. Pickles by itself, so that what cannot be pickled is told like any exception."""

    def __init__(self) -> None:
        self._state: Any = None
        self._step: tuple[bytes, Any] = (b"", None)

    def placed(self) -> None:
        """Answers as soon as the worker has a place on a node."""

    def set_up(self, setup: list[Any]) -> bytes:
        return _packed(lambda: self._make(setup))

    def _make(self, setup: list[Any]) -> None:
        self._state = pickle.loads(ray_module().get(setup[0]))()

    def work(self, step: list[Any], shard: Hashable) -> bytes:
        return _packed(lambda: self._run(step, shard))

    def _run(self, step: list[Any], shard: Hashable) -> Any:
        name = step[0].binary()
        if self._step[0] != name:  # unpickled once per stage, not once per shard
            self._step = (name, pickle.loads(ray_module().get(step[0])))
        return self._step[1](self._state, shard)


def _packed(call: Callable[[], Any]) -> bytes:
    """The answer's pickle; a result that cannot be pickled is answered like an exception."""
    answer = answered(call, _dumps)
    content = answered(lambda: _dumps(answer), _dumps)
    return bytes(content.result or _dumps(content))


def _dumps(value: object) -> bytes:
    """By value what `__main__` and `Ray.modules` define, by reference what is installed."""
    return bytes(ray_module().cloudpickle.dumps(value))


@dataclass(kw_only=True, eq=False)
class _Worker:
    """An actor and the one call that it is at: being placed, its setup, or a shard."""

    actor: Any
    call: Any
    doing: str = "placing"
    shard: Hashable | None = None
    since: float = field(default_factory=time.monotonic)


@dataclass(kw_only=True, eq=False)
class Workers(Crew):
    """Actors with the state of the latest setup; `most`, `retries` and `patience_s` as in `Ray`.

    `resources` are those of one worker.
    """

    cluster: Cluster
    resources: dict[str, float]
    most: int | None
    retries: int
    patience_s: float
    _all: list[_Worker] = field(default_factory=list)
    _setup: Any = None
    _made_by: Any = None  # references to the pickles of setup and work
    _step: Any = None
    _lost: Counter[Hashable | None] = field(default_factory=Counter)  # how often, in this call
    _sign: float = field(default_factory=time.monotonic)  # when anything was last placed or done

    def prepare(self, setup: Callable[[], Any], work: Callable[[Any, Any], Any]) -> None:
        if setup is not self._setup:
            self.cluster.connect()
            self._end(self._all)
            self._made_by, self._setup = ray_module().put(_dumps(setup)), setup
        self._step = ray_module().put(_dumps(work))
        self._lost.clear()

    @property
    def busy(self) -> list[Hashable]:
        return [w.shard for w in sorted(self._busy, key=lambda w: w.since)]

    @property
    def _busy(self) -> list[_Worker]:
        return [w for w in self._all if w.doing == "shard"]

    def give(self, shard: Hashable) -> bool:
        worker = next((w for w in self._all if w.doing == "nothing"), None)
        if worker is None:
            return False
        self._now(worker, "shard", worker.actor.work.remote([self._step], shard), shard)
        return True

    def _grow(self, wanted: int) -> None:
        """Start workers until there are as many as are wanted and the cluster has room for."""
        if len(self._all) >= wanted:
            return
        ray = ray_module()
        self._sign = time.monotonic() if not self._all else self._sign
        actor = ray.remote(_Actor).options(
            max_restarts=0,
            num_cpus=self.resources["CPU"],
            num_gpus=self.resources["GPU"],
            runtime_env={"env_vars": dict.fromkeys(_THREADS, f"{self.resources['CPU']:g}")},
        )
        for _ in range(min(wanted, self._room(ray.cluster_resources())) - len(self._all)):
            handle = actor.remote()
            self._all.append(_Worker(actor=handle, call=handle.placed.remote()))

    def _room(self, there: dict[str, float]) -> int:
        """How many workers the cluster could hold; at least one, since it may grow."""
        return max(1, min(int(there.get(name, 0) // each) for name, each in self.resources.items() if each))

    def ends(self, waiting: int) -> Iterator[Ended]:
        """Setups that went well are not told of. Raises WorkerLost as `Ray` says."""
        ray = ray_module()
        wanted = waiting + len(self._busy)
        self._grow(min(wanted, self.most or wanted))
        calls = {w.call: w for w in self._all if w.call is not None}
        done, _ = ray.wait(list(calls), num_returns=1, timeout=_LOOK_S)
        for call in done:
            self._sign = time.monotonic()
            try:
                content = ray.get(call)
            except ray.exceptions.RayTaskError:
                raise
            except ray.exceptions.RayError as error:
                yield from self._dead(calls[call], error)
            else:
                yield from self._ended(calls[call], content)
        self._refuse_to_wait_for_ever(ray)

    def _ended(self, worker: _Worker, content: bytes) -> Iterator[Ended]:
        shard, doing = worker.shard, worker.doing
        if doing == "placing":
            self._now(worker, "set up", worker.actor.set_up.remote([self._made_by]))
            return
        self._now(worker, "nothing", None)
        answer = pickle.loads(content)
        if isinstance(answer.error, ModuleNotFoundError):
            answer.error.add_note("Install it on every node, or hand it over by value with rote.Ray(modules=(...,)).")
        if doing == "shard" and answer.error is None:
            self._lost.pop(None, None)  # setups do not fail in general
        if doing == "set up" and answer.error is not None:
            self._end([worker])
        if doing == "shard" or answer.error is not None:
            yield shard, answer

    def _dead(self, worker: _Worker, error: Exception) -> Iterator[Ended]:
        """What is said to be unavailable may come back: it is ended all the same, so that no shard runs twice."""
        shard = worker.shard
        self._end([worker])
        text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        reason = f"{type(error).__name__}: {text}"
        self._lost[shard] += 1
        times, what = self._lost[shard], "the setup" if shard is None else str(shard)
        yield Lost(shard=shard, reason=reason, times=times)
        if times > self.retries:
            raise WorkerLost(
                f"{what} lost its worker {times} times, the last time with: {reason}. Where it needs more memory than "
                "a worker has, ask for more per worker; on nodes that are often taken away, allow more retries."
            ) from error

    def _refuse_to_wait_for_ever(self, ray: Any) -> None:
        placing = all(w.doing == "placing" for w in self._all)
        if placing and time.monotonic() - self._sign > self.patience_s:
            there = {name: ray.cluster_resources().get(name, 0) for name in self.resources}
            raise WorkerLost(
                f"no worker has found a place for {self.patience_s:g} s: each asks for {_listed(self.resources)}, the "
                f"cluster has {_listed(there)} in all; ask for less per worker, or add nodes"
            )

    @staticmethod
    def _now(worker: _Worker, doing: str, call: Any, shard: Hashable | None = None) -> None:
        worker.doing, worker.call, worker.shard, worker.since = doing, call, shard, time.monotonic()

    def give_up(self) -> None:
        self._end(self._busy)

    def __exit__(self, *error: object) -> None:
        self._end(self._all)
        self._setup = None
        self.cluster.disconnect()

    def _end(self, workers: list[_Worker]) -> None:
        for worker in list(workers):
            self._all.remove(worker)
            try:
                ray_module().kill(worker.actor)
            except Exception as error:  # the cluster may be gone already
                _log.debug("a worker could not be ended: %s", error)


def _listed(resources: dict[str, float]) -> str:
    return " and ".join(f"{number:g} {name}" for name, number in resources.items())
