"""Memory of the process: keep what has been freed, so that every forward pass need not fault its pages in again."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # glibc's names for mallopt's parameters


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
