"""Memory: keep what has been freed, run as many rows at once as fit, halve when it runs out."""

from __future__ import annotations

import ctypes
import gc
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from rote.errors import MeasurementError

T = TypeVar("T")
logger = logging.getLogger(__name__)
_CPU_ALLOCATOR = ("DefaultCPUAllocator", "not enough memory")  # how torch's RuntimeError says it on a CPU
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # glibc's names for mallopt's parameters
_HEARD: ContextVar[tuple[list[Halving], ...]] = ContextVar("rote_halvings_heard", default=())


def keep_freed_memory() -> bool:
    """Ask glibc to keep freed memory in the process; True where that was possible (Linux with glibc).

    By default glibc returns large blocks to the kernel and gets zeroed pages back, which makes small models on a
    CPU several times slower. This changes no number, only how long it takes, and holds for the whole process.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_MMAP_THRESHOLD, 1 << 30), (_TRIM_THRESHOLD, (1 << 31) - 1), (_TOP_PAD, 64 << 20))
    return all(mallopt(name, value) == 1 for name, value in settings)


@dataclass(frozen=True, kw_only=True)
class Halving:
    """Memory ran out, or would have: in what, and from how many rows at once to how many."""

    what: str
    rows: int
    halved_to: int

    def __str__(self) -> str:
        return f"too little memory for {self.what}: {self.rows} rows at once halved to {self.halved_to}"


@dataclass(eq=False)
class RowsAtOnce:
    """How many rows run in one pass: at most `size`, fewer once memory has run out."""

    size: int
    what: str = "a forward pass"

    def over(self, n: int, work: Callable[[slice], T]) -> Iterator[T]:
        """`work` on slices that cover n rows; a slice for which there is no memory is halved and done again.

        The smaller size stays for later calls. MeasurementError where even one row does not fit.
        """
        start = 0
        while start < n:
            rows = slice(start, min(start + self.size, n))
            try:
                done = work(rows)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                problem = str(error)  # the exception itself holds the frames, and with them what filled the memory
            else:
                yield done
                start = rows.stop
                continue
            self._halve(rows.stop - rows.start, problem)

    def _halve(self, rows: int, problem: str) -> None:
        if rows <= 1:
            raise MeasurementError(
                f"not even one row of {self.what} fits into memory ({problem.splitlines()[0]}); a narrower dtype "
                "(bfloat16), shorter prompts or another device would need less"
            )
        self.size = max(rows // 2, 1)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        _tell(Halving(what=self.what, rows=rows, halved_to=self.size))

    @classmethod
    def fitting(cls, size: int, bytes_per_row: float, device: torch.device, what: str) -> RowsAtOnce:
        """At most `size` rows, halved until they need no more than half of the memory that is free now."""
        found, free = size, free_bytes(device)
        while free is not None and found > 1 and found * bytes_per_row > free / 2:
            found //= 2
        if found < size:
            _tell(Halving(what=what, rows=size, halved_to=found))
        return cls(found, what)


def _tell(halving: Halving) -> None:
    logger.warning("%s", halving)
    for heard in _HEARD.get():
        heard.append(halving)


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out: of a GPU, of torch's CPU allocator, or of Python itself."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _CPU_ALLOCATOR)


@contextmanager
def heard_halvings() -> Iterator[list[Halving]]:
    """Every halving that happens within this context, so that a run's record can say so."""
    found: list[Halving] = []
    token = _HEARD.set((*_HEARD.get(), found))
    try:
        yield found
    finally:
        _HEARD.reset(token)


def free_bytes(device: torch.device) -> int | None:
    """Memory, in bytes, that can still be had on a device; None where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
