"""Every call that changes the disk, counted; and a process that is killed at one of them."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_write, _kill = os.write, os.kill
CALLS = ("open", "write", "fsync", "replace", "mkdir", "unlink", "rmdir")


@contextmanager
def watched(at: Callable[[str, bool], None]) -> Iterator[None]:
    """Call `at(name, torn)` before every call that changes a file, a folder or a lock.

    A write counts twice: before it, and (torn) with half of its bytes on the disk. Opening counts where it creates.
    """
    before: list[tuple[Any, str, Any]] = []

    def wrap(module: Any, name: str) -> None:
        original = getattr(module, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if name != "open" or (len(args) > 1 and args[1] & os.O_CREAT):
                at(name, False)
            if name == "write" and len(args[1]) > 1:
                half = original(args[0], args[1][: len(args[1]) // 2])
                at(name, True)
                return half + original(args[0], args[1][half:])
            return original(*args, **kwargs)

        before.append((module, name, original))
        setattr(module, name, call)

    for name in CALLS:
        wrap(os, name)
    wrap(fcntl, "flock")
    try:
        yield
    finally:
        for module, name, original in before:
            setattr(module, name, original)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a forked process ended: killed or not, its calls in order, the shards it began and finished."""

    killed: bool
    code: int
    calls: tuple[str, ...]
    started: tuple[str, ...]
    finished: tuple[str, ...]
    error: str


def forked(work: Callable[[Callable[[object], None]], object], *, kill_at: int | None = None) -> Ended:
    """Run `work(on_event)` in a forked process that SIGKILLs itself at the `kill_at`-th boundary (from 0)."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(out)
        _child(work, into, kill_at)
    os.close(into)
    with os.fdopen(out, encoding="utf-8") as told:
        lines = [json.loads(line) for line in told]
    status = os.waitpid(pid, 0)[1]
    return Ended(
        killed=os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
        code=os.waitstatus_to_exitcode(status),
        **{name: tuple(text for kind, text in lines if kind == name) for name in ("calls", "started", "finished")},
        error="\n".join(text for kind, text in lines if kind == "error"),
    )


def _child(work: Callable[[Callable[[object], None]], object], into: int, kill_at: int | None) -> None:
    n_calls = 0

    def tell(kind: str, text: str) -> None:
        _write(into, (json.dumps([kind, text]) + "\n").encode("utf-8"))

    def at(name: str, torn: bool) -> None:
        nonlocal n_calls
        tell("calls", f"{name}, half done" if torn else name)
        if n_calls == kill_at:
            _kill(os.getpid(), signal.SIGKILL)
        n_calls += 1

    def on_event(event: object) -> None:
        kind = {"Started": "started", "Finished": "finished"}.get(type(event).__name__)
        if kind:
            tell(kind, str(event.shard))  # type: ignore[attr-defined]

    code = 1
    try:
        with watched(at):
            work(on_event)
        code = 0
    except BaseException:
        tell("error", traceback.format_exc())
    finally:
        sys.stdout.flush()
        os._exit(code)


def whole(folder: Path) -> bool:
    """Whether every record that has its name is whole: no half-written file ever gets a name of its own."""
    from rote.records.shards import fingerprint_of

    return all(fingerprint_of(path.read_bytes()) for path in folder.rglob("*.shard"))
