"""The workers of a Ray cluster: each an actor that has made the state once and is given one shard at a time."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rote.errors import InputError, WorkerLost
from rote.execute.carried import carried

_log = logging.getLogger(__name__)
_LOOK_S = 5.0  # between two looks at whether anything can be placed at all


class Outcome(NamedTuple):
    """What a call to a worker came to: pickled result or exception, and the seconds of the work alone."""

    raised: bool
    content: bytes
    seconds: float


class Ended(NamedTuple):
    """A worker is done with something: a shard, or its setup (`shard` None). `lost` says why the worker is no more."""

    shard: Hashable | None
    outcome: Outcome | None
    lost: str | None


def ray_module() -> Any:
    """The ray package, which is an optional extra."""
    try:
        import ray
    except ImportError as error:
        raise InputError("Ray is not installed; expected `pip install 'rote-lm[ray]'`, also on every node") from error
    return ray


class _Actor:
    """Runs in a worker process. Pickles by itself, so that what cannot be pickled is told like any exception."""

    def __init__(self) -> None:
        self._state: Any = None
        self._step: tuple[bytes, Any] = (b"", None)

    def placed(self) -> None:
        """Answers as soon as the worker has a place on a node."""

    def set_up(self, setup: list[Any]) -> Outcome:
        return _told(lambda: self._make(setup))

    def _make(self, setup: list[Any]) -> None:
        self._state = _loads(ray_module().get(setup[0]))()

    def work(self, step: list[Any], shard: Hashable) -> Outcome:
        return _told(lambda: self._run(step, shard))

    def _run(self, step: list[Any], shard: Hashable) -> Any:
        name = step[0].binary()
        if self._step[0] != name:  # unpickled once per stage, not once per shard
            self._step = (name, _loads(ray_module().get(step[0])))
        return self._step[1](self._state, shard)


def _told(call: Callable[[], Any]) -> Outcome:
    begin = time.perf_counter()
    try:
        result = call()
        seconds = time.perf_counter() - begin
        return Outcome(False, dumps(result), seconds)
    except Exception as error:
        seconds = time.perf_counter() - begin
        error.add_note("On the worker:\n" + "".join(traceback.format_exception(error)).rstrip())
        return Outcome(True, dumps(carried(error, dumps, _loads)), seconds)


def dumps(value: object) -> bytes:
    """By value what `__main__` and `Ray.modules` define, by reference what is installed."""
    from ray import cloudpickle

    return bytes(cloudpickle.dumps(value))


def _loads(content: bytes) -> Any:
    from ray import cloudpickle

    return cloudpickle.loads(content)


def value_of(outcome: Outcome) -> Any:
    """The result, or the exception as an object."""
    return _loads(outcome.content)


@dataclass(kw_only=True, eq=False)
class _Worker:
    """An actor and the one call that it is at: being placed, its setup, or a shard."""

    actor: Any
    call: Any
    doing: str = "placing"
    shard: Hashable | None = None
    since: float = field(default_factory=time.monotonic)


@dataclass(kw_only=True, eq=False)
class Workers:
    """Up to `most` workers with the state of one `setup`; each is given at most one shard at a time.

    `setup` is an object reference to its pickle; `options` are Ray's for an actor.
    """

    setup: Any
    options: dict[str, Any]
    patience_s: float
    _all: list[_Worker] = field(default_factory=list)
    _sign: float = field(default_factory=time.monotonic)  # when anything was last placed or done

    @property
    def busy(self) -> list[Hashable]:
        """The shards in flight, the oldest first."""
        return [w.shard for w in sorted(self._busy, key=lambda w: w.since)]

    @property
    def _busy(self) -> list[_Worker]:
        return [w for w in self._all if w.doing == "shard"]

    @property
    def n_idle(self) -> int:
        return sum(w.doing == "nothing" for w in self._all)

    def grow(self, wanted: int) -> None:
        """Start workers until there are as many as are wanted and the cluster has room for."""
        if len(self._all) >= wanted:
            return
        ray = ray_module()
        self._sign = time.monotonic() if not self._all else self._sign
        actor = ray.remote(_Actor).options(max_restarts=0, **self.options)
        for _ in range(min(wanted, self._room(ray.cluster_resources())) - len(self._all)):
            handle = actor.remote()
            self._all.append(_Worker(actor=handle, call=handle.placed.remote()))

    def _room(self, resources: dict[str, float]) -> int:
        """How many workers the cluster could hold; at least one, since it may grow."""
        asked = {"CPU": self.options["num_cpus"], "GPU": self.options["num_gpus"]}
        return max(1, min(int(resources.get(name, 0) // each) for name, each in asked.items() if each))

    def give(self, step: Any, shard: Hashable) -> None:
        """Hand a shard to an idle worker."""
        worker = next(w for w in self._all if w.doing == "nothing")
        self._now(worker, "shard", worker.actor.work.remote([step], shard), shard)

    def ends(self) -> Iterator[Ended]:
        """Wait until something ends; what has ended. Setups that went well are not told of."""
        ray = ray_module()
        calls = {w.call: w for w in self._all if w.call is not None}
        done, _ = ray.wait(list(calls), num_returns=1, timeout=_LOOK_S)
        for call in done:
            worker = calls[call]
            self._sign = time.monotonic()
            try:
                outcome = ray.get(call)
            except ray.exceptions.RayTaskError:
                raise
            except ray.exceptions.RayError as error:
                yield self._dead(worker, error)
                continue
            yield from self._ended(worker, outcome)
        self._refuse_to_wait_for_ever(ray)

    def _ended(self, worker: _Worker, outcome: Outcome) -> Iterator[Ended]:
        shard, doing = worker.shard, worker.doing
        if doing == "placing":
            self._now(worker, "set up", worker.actor.set_up.remote([self.setup]))
            return
        self._now(worker, "nothing", None)
        if doing == "set up" and outcome.raised:
            self._end(worker)
        if doing == "shard" or outcome.raised:
            yield Ended(shard, outcome, None)

    def _dead(self, worker: _Worker, error: Exception) -> Ended:
        """What is said to be unavailable may come back: it is ended all the same, so that no shard runs twice."""
        shard = worker.shard
        self._end(worker)
        text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return Ended(shard, None, f"{type(error).__name__}: {text}")

    def _refuse_to_wait_for_ever(self, ray: Any) -> None:
        placing = all(w.doing == "placing" for w in self._all)
        if placing and time.monotonic() - self._sign > self.patience_s:
            asked = {"CPU": self.options["num_cpus"], "GPU": self.options["num_gpus"]}
            there = {name: ray.cluster_resources().get(name, 0) for name in asked}
            raise WorkerLost(
                f"no worker has found a place for {self.patience_s:g} s: each asks for {_listed(asked)}, the cluster "
                f"has {_listed(there)} in all; ask for less per worker, or add nodes"
            )

    @staticmethod
    def _now(worker: _Worker, doing: str, call: Any, shard: Hashable | None = None) -> None:
        worker.doing, worker.call, worker.shard, worker.since = doing, call, shard, time.monotonic()

    def give_up(self) -> None:
        """End the workers that are at a shard; the others stay."""
        for worker in self._busy:
            self._end(worker)

    def end(self) -> None:
        """End them all."""
        for worker in list(self._all):
            self._end(worker)

    def _end(self, worker: _Worker) -> None:
        self._all.remove(worker)
        try:
            ray_module().kill(worker.actor)
        except Exception as error:  # the cluster may be gone already
            _log.debug("a worker could not be ended: %s", error)


def _listed(resources: dict[str, float]) -> str:
    return " and ".join(f"{number:g} {name}" for name, number in resources.items())
