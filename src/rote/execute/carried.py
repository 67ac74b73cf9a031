"""Exceptions on their way from a worker to its parent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rote.errors import WorkerLost


def carried(error: Exception, dumps: Callable[[Any], Any], loads: Callable[[Any], Any]) -> Exception:
    """An exception that comes out of a pickle as it went in, or one that says what it was."""
    try:
        loads(dumps(error))
    except Exception:
        return WorkerLost(f"{type(error).__name__} on a worker, which cannot be pickled: {error}")
    return error
