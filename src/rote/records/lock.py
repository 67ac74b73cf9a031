"""One writer per run folder: a lock that the system drops with its process, and the holder's name beside it.

The lock itself is the system's (`flock` on `run.lock`): it ends with the process that holds it, however that ends, so
that nothing is left to clean up after a crash and no clock decides whether a lock is stale. The text of the file only
names the holder. Why it is made so: docs/decisions/0012-one-writer-per-run.md.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
import weakref
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from rote.errors import RunError
from rote.records.files import write_all

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_NAME, EXCLUSIVE_NAME = "run.lock", "run.exclusive-lock"
PATIENCE_S = 1.0  # judging and reporting lock a run for as long as one file takes: nobody is refused for that
_POLL_S = 0.05
_FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lock. `started`: seconds from the machine's boot to the process's start, where that is known."""

    pid: int
    host: str
    since: str
    started: float | None = None

    @classmethod
    def me(cls) -> Holder:
        pid, since = os.getpid(), datetime.now().astimezone().isoformat(timespec="seconds")
        return cls(pid=pid, host=socket.gethostname(), since=since, started=_started(pid))

    @property
    def gone(self) -> bool:
        """Whether the process certainly runs no more; an unknown machine's process may always run."""
        if fcntl is None or self.host != socket.gethostname():  # on Windows, asking would be a signal
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return self.started is not None and _started(self.pid) != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


class RunLock:
    """The right to write one run folder, held until `release` or the end of the process.

    Another lock of the same folder is refused, also within one process. A child made by `os.fork` does not hold it.
    """

    def __init__(self, path: Path, descriptor: int, *, left_by: str | None = None) -> None:
        self.path = path
        self.left_by = left_by  # who ended without releasing it
        self._descriptor = descriptor
        self._let_go = weakref.finalize(self, _release, path, descriptor)
        _HELD.add(self)

    @classmethod
    def take(cls, folder: Path, *, wait: bool = False, on_wait: Callable[[str], None] | None = None) -> RunLock:
        """Lock a folder that exists. RunError with the holder's name where another holds it, unless `wait`.

        on_wait: called once with what is waited for.
        """
        begin, told = time.monotonic(), False
        while True:
            lock = _by_the_system(folder / LOCK_NAME) if fcntl is not None else _by_the_file(folder / EXCLUSIVE_NAME)
            if lock is not None:
                return lock
            patient = time.monotonic() - begin < PATIENCE_S
            if not wait and not patient:
                raise RunError(f"{folder} is in use by {_named(folder)}. {_advice(folder)}")
            if wait and not patient and not told:
                told = True
                if on_wait is not None:
                    on_wait(f"{folder} is in use by {_named(folder)}: waiting until it is free")
            time.sleep(_POLL_S)

    @property
    def held(self) -> bool:
        return self._let_go.alive

    def release(self) -> None:
        """Delete the file, then drop the lock. Calling it twice does nothing."""
        self._let_go()

    def _forget(self) -> None:
        """In a forked child: close its copy, so that the lock ends with the process that took it."""
        if self._let_go.detach() is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)


_HELD: weakref.WeakSet[RunLock] = weakref.WeakSet()


def _forget_all() -> None:
    for lock in tuple(_HELD):
        lock._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def held_here(folder: Path) -> bool:
    """Whether this process holds the folder's lock."""
    return any(lock.held and lock.path.parent.samefile(folder) for lock in tuple(_HELD))


def holder_of(folder: Path) -> str | None:
    """Who is writing a run folder now, in words; None where nobody is. Leaves the folder as it is."""
    if (folder / EXCLUSIVE_NAME).exists():
        return _named(folder)
    try:
        descriptor = os.open(folder / LOCK_NAME, _FLAGS)
    except OSError:
        return None
    try:
        return None if _locked(descriptor) else _named(folder)
    except _Unsupported:
        return None
    finally:
        os.close(descriptor)


def _by_the_system(path: Path) -> RunLock | None:
    """The lock, its file with our name in it; None where another holds it, RunError where it is another file's name."""
    try:
        descriptor = os.open(path, _FLAGS | os.O_CREAT, 0o666)
    except OSError as error:
        if path.is_symlink():
            raise _another_name(path) from error
        raise
    try:
        if os.fstat(descriptor).st_nlink > 1:
            raise _another_name(path)
        ours = _locked(descriptor) and _is_file_of(path, descriptor)  # else its holder has deleted it in between
    except _Unsupported:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        return _by_the_file(path.with_name(EXCLUSIVE_NAME))
    except BaseException:
        os.close(descriptor)
        raise
    if not ours:
        os.close(descriptor)
        return None
    try:
        before = os.pread(descriptor, 4096, 0)
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        write_all(descriptor, _text())
    except BaseException:
        _release(path, descriptor)
        raise
    left_by = str(_parse(before) or "a process that was killed as it began") if before else None
    return RunLock(path, descriptor, left_by=left_by)


def _another_name(path: Path) -> RunError:
    return RunError(
        f"{path} is a link: to lock the run would overwrite the file behind it. Delete {path} and run the same command "
        "again."
    )


def _by_the_file(path: Path) -> RunLock | None:
    """Where the system has no locks the file itself is the lock, and a crash leaves it for the user to delete."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return None
    try:
        write_all(descriptor, _text())
    except BaseException:
        _release(path, descriptor)
        raise
    return RunLock(path, descriptor)


class _Unsupported(Exception):
    """The file system has no locks."""


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        if error.errno in _UNSUPPORTED:
            raise _Unsupported from error
        raise
    return True


def _is_file_of(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _release(path: Path, descriptor: int) -> None:
    with contextlib.suppress(OSError):
        if _is_file_of(path, descriptor):
            path.unlink()
    with contextlib.suppress(OSError):
        os.close(descriptor)


def _text() -> bytes:
    return (json.dumps(asdict(Holder.me())) + "\n").encode("utf-8")


def _parse(text: bytes) -> Holder | None:
    try:
        return Holder(**json.loads(text))
    except (ValueError, TypeError):
        return None


def _holder(folder: Path) -> Holder | None:
    for name in (EXCLUSIVE_NAME, LOCK_NAME):
        with contextlib.suppress(OSError):
            return _parse((folder / name).read_bytes())
    return None


def _named(folder: Path) -> str:
    return str(_holder(folder) or "another process, which has just begun")


def _advice(folder: Path) -> str:
    holder, left = _holder(folder), folder / EXCLUSIVE_NAME
    if holder is not None and holder.gone and left.exists():
        return (
            "That process runs no more; its lock is left because this file system has no locks of its own: "
            f"delete {left} and run the same command again."
        )
    return "Wait for it (rote study --wait does), end it, or choose another folder."


def _started(pid: int) -> float | None:
    """Seconds from boot to the start of a process, from /proc; None where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
