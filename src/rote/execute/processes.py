"""Runs shards in processes of this machine, each of one thread."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import uuid4

import loky
from loky.backend.reduction import dumps
from loky.process_executor import TerminatedWorkerError

from rote.errors import InputError, WorkerLost
from rote.execute.carried import Answer, answered
from rote.execute.pump import Crew, Elsewhere, Ended

_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "LOKY_MAX_MEMORY_LEAK_SIZE": "1e18",  # a worker that keeps a model, and freed memory, does not leak
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # the bars of several workers would overwrite each other
}
_LOOK_S = 2.0  # between two looks of a worker at whether its parent still lives


@dataclass(frozen=True, kw_only=True)
class Processes(Elsewhere):
    """Workers that loky starts on this machine; for many small shards, which lose by sharing one process's threads.

    Attributes:
        workers: how many; by default as many as there are cores that this process may use.

    Raises InputError for fewer than one worker; from `execute` WorkerLost where a worker is killed, by the system's
    want of memory for instance.
    """

    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError(f"workers is {self.workers}; expected at least 1")

    def _crew(self, n_shards: int | None) -> Crew:
        count = self.workers or loky.cpu_count()
        return _Pool(count if n_shards is None else min(count, n_shards))


class _Call(NamedTuple):
    """What a worker needs beside a shard; `key` says whether it has made the state already."""

    key: str
    setup: Any
    work: Any


class _Pool(Crew):
    """A pool of loky's, from the first call on; where it cannot go on it is ended, and the next call starts another."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: Any = None
        self._call = _Call("", None, None)
        self._busy: dict[Future[tuple[bool, Answer]], Hashable] = {}  # the oldest first

    def prepare(self, setup: Callable[[], Any], work: Callable[[Any, Any], Any]) -> None:
        key = self._call.key if setup is self._call.setup else uuid4().hex
        self._call = _Call(key, setup, work)
        if self._pool is None:
            self._pool = loky.ProcessPoolExecutor(
                self._count, env=_ENVIRONMENT, initializer=_begin, initargs=(os.getpid(),)
            )

    @property
    def busy(self) -> Collection[Hashable]:
        return self._busy.values()

    def give(self, shard: Hashable) -> bool:
        if self._pool is None or len(self._busy) >= self._count:
            return False
        try:
            self._busy[self._pool.submit(_do, self._call, shard)] = shard
        except loky.BrokenProcessPool:
            self._end(kill=True)  # what is in hand is handed on first
            return False
        return True

    def ends(self, waiting: int) -> Iterator[Ended]:
        if not self._busy:
            raise _lost("a worker that had nothing to do")
        done, _ = wait(self._busy, return_when=FIRST_COMPLETED)
        for future in done:
            ended = _read(future, self._busy[future])
            del self._busy[future]  # a worker that was lost stays, so that the pool is ended with it
            yield ended

    def give_up(self) -> None:
        if self._busy:
            self._end(kill=True)
            self._busy.clear()

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._end(kill=kind is not None)

    def _end(self, *, kill: bool) -> None:
        if self._pool is not None:
            self._pool.shutdown(kill_workers=kill)
            self._pool = None


def _read(future: Future[tuple[bool, Answer]], shard: Hashable) -> Ended:
    try:
        in_setup, answer = future.result()
        return None if in_setup else shard, answer
    except TerminatedWorkerError as error:
        raise _lost(f"a worker of {shard}") from error
    except loky.BrokenProcessPool as error:
        raise WorkerLost(f"the workers ended while one was at {shard}: {error}") from error
    except Exception as error:  # shard or result cannot be pickled
        return shard, Answer(None, error, 0.0)


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


def _do(call: _Call, shard: Any) -> tuple[bool, Answer]:
    """The answer, and whether it is the setup's, which failed."""
    made = answered(lambda: _state(call), dumps)
    if made.error is not None:
        return True, made
    return False, answered(lambda: call.work(made.result, shard), dumps)


def _state(call: _Call) -> Any:
    if call.key not in _states:
        _states.clear()
        _states[call.key] = call.setup()
    return _states[call.key]
