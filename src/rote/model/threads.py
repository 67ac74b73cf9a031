"""Threads of small work: products that small lose more by being shared than they gain, and cores change no digit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from rote.model.memory import keep_freed_memory


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch and for every other numerical library; then as it was."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def small_worker() -> None:
    """What a process that does nothing but small work does first."""
    keep_freed_memory()
    torch.set_num_threads(1)
    threadpool_limits(1)
