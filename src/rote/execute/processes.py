"""Runs shards in processes of this machine, each of one thread."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple
from uuid import uuid4

import loky
from loky.backend.reduction import dumps
from loky.process_executor import TerminatedWorkerError

from rote.errors import InputError, WorkerLost
from rote.execute.abstract import (
    Executor,
    Failed,
    Finished,
    Interrupted,
    OnEvent,
    Result,
    ShardT,
    Started,
    State,
    ignore,
)
from rote.execute.carried import carried

_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "LOKY_MAX_MEMORY_LEAK_SIZE": "1e18",  # a worker that keeps a model, and freed memory, does not leak
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # the bars of several workers would overwrite each other
}
_LOOK_S = 2.0  # between two looks of a worker at whether its parent still lives


@dataclass(frozen=True, kw_only=True)
class Processes(Executor):
    """Workers that loky starts on this machine; for many small shards, which lose by sharing one process's threads.

    Attributes:
        workers: how many; by default as many as there are cores that this process may use.

    Raises (from `execute`): WorkerLost where a worker is killed, by the system's want of memory for instance.
    """

    elsewhere: ClassVar[bool] = True

    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError(f"workers is {self.workers}; expected at least 1")

    def execute(
        self,
        setup: Callable[[], State],
        work: Callable[[State, ShardT], Result],
        shards: Sequence[ShardT],
        *,
        on_event: OnEvent = ignore,
    ) -> Iterator[tuple[ShardT, Result]]:
        if shards:
            with _Session(min(self.count, len(shards))) as running:
                yield from running.execute(setup, work, shards, on_event=on_event)

    def session(self) -> AbstractContextManager[Executor]:
        return _Session(self.count)

    @property
    def count(self) -> int:
        """How many workers there are at most."""
        return self.workers or loky.cpu_count()


class _Session(Executor, AbstractContextManager["Executor"]):
    """Workers that go on from call to call; those of a call that was given up are ended with it."""

    elsewhere: ClassVar[bool] = True

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: Any = None
        self._key = ""
        self._setup: Any = None

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
        if setup is not self._setup:
            self._key, self._setup = uuid4().hex, setup
        if self._pool is None:
            self._pool = loky.ProcessPoolExecutor(
                self._count, env=_ENVIRONMENT, initializer=_begin, initargs=(os.getpid(),)
            )
        run = _Run(self._pool, _Call(self._key, setup, work), deque(shards), self._count, on_event)
        try:
            yield from run.results()
        except KeyboardInterrupt:
            on_event(Interrupted(shard=next(iter(run.busy.values()), None)))
            raise
        finally:
            if run.busy or run.broken:
                self._end(kill=True)

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._end(kill=kind is not None)  # after an error nobody waits for what other workers are at

    def _end(self, *, kill: bool) -> None:
        if self._pool is not None:
            self._pool.shutdown(kill_workers=kill)
            self._pool = None


class _Call(NamedTuple):
    """What a worker needs beside a shard; `key` says whether it has made the state already."""

    key: str
    setup: Callable[[], Any]
    work: Callable[[Any, Any], Any]


class _Outcome(NamedTuple):
    value: Any
    error: Exception | None
    in_setup: bool
    seconds: float


@dataclass
class _Run:
    """One call of `execute`: what is left, and who is at what."""

    pool: Any
    call: _Call
    left: deque[Any]
    count: int
    on_event: OnEvent
    busy: dict[Future[_Outcome], Hashable] = field(default_factory=dict)  # the oldest first
    broken: bool = False  # a worker was killed, and the pool with it

    def results(self) -> Iterator[tuple[Any, Any]]:
        self._hand_out()
        while self.busy:
            done, _ = wait(self.busy, return_when=FIRST_COMPLETED)
            for future in done:
                shard = self.busy.pop(future)
                result = self._taken(future, shard)
                self._hand_out()  # workers go on while the result is stored
                yield shard, result
        if self.broken:
            raise _lost("a worker that had nothing to do")

    def _hand_out(self) -> None:
        while self.left and len(self.busy) < self.count and not self.broken:
            try:
                future = self.pool.submit(_do, self.call, self.left[0])
            except loky.BrokenProcessPool:
                self.broken = True  # what is in hand is handed on first
                return
            shard = self.left.popleft()
            self.on_event(Started(shard=shard))
            self.busy[future] = shard

    def _taken(self, future: Future[_Outcome], shard: Hashable) -> Any:
        try:
            outcome = future.result()
        except TerminatedWorkerError as error:
            self.broken = True
            raise _lost(f"a worker of {shard}") from error
        except loky.BrokenProcessPool as error:
            self.broken = True
            raise WorkerLost(f"the workers ended while one was at {shard}: {error}") from error
        except Exception as error:  # shard or result cannot be pickled
            outcome = _Outcome(None, error, False, 0.0)
        if outcome.error is not None:
            whose = None if outcome.in_setup else shard
            self.on_event(Failed(shard=whose, error=outcome.error, seconds=outcome.seconds))
            raise outcome.error
        self.on_event(Finished(shard=shard, seconds=outcome.seconds))
        return outcome.value


def _lost(who: str) -> WorkerLost:
    return WorkerLost(
        f"{who} was killed from outside, perhaps because memory ran out; expected room for one worker per core, so ask "
        "for fewer, and the same command goes on"
    )


# ------------------------------------------------------------------ on a worker
_states: dict[str, Any] = {}


def _begin(parent: int) -> None:
    """A Ctrl-C is the parent's to answer; a worker whose parent was killed ends too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _do(call: _Call, shard: Any) -> _Outcome:
    begin, in_setup = time.perf_counter(), True
    try:
        if call.key not in _states:
            _states.clear()
            _states[call.key] = call.setup()
        begin, in_setup = time.perf_counter(), False
        value = call.work(_states[call.key], shard)
        return _Outcome(value, None, False, time.perf_counter() - begin)
    except Exception as error:
        return _Outcome(None, carried(error, dumps, pickle.loads), in_setup, time.perf_counter() - begin)
