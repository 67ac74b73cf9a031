"""What a worker answers its parent."""

from __future__ import annotations

import pickle
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

from rote.errors import WorkerLost


class Answer(NamedTuple):
    """What a call on a worker came to: its result, or the exception that it raised; `seconds` of the call alone."""

    result: Any
    error: Exception | None
    seconds: float


def answered(call: Callable[[], Any], dumps: Callable[[Any], Any]) -> Answer:
    """Call, on the worker; an exception says where it was raised, and can be pickled by `dumps`."""
    begin = time.perf_counter()
    try:
        result = call()
    except Exception as error:
        seconds = time.perf_counter() - begin
        error.add_note("On the worker:\n" + "".join(traceback.format_exception(error)).rstrip())
        return Answer(None, _carried(error, dumps), seconds)
    return Answer(result, None, time.perf_counter() - begin)


def _carried(error: Exception, dumps: Callable[[Any], Any]) -> Exception:
    """An exception that comes out of a pickle as it went in, or one that says what it was."""
    try:
        pickle.loads(dumps(error))
    except Exception:
        return WorkerLost(f"{type(error).__name__} on a worker, which cannot be pickled: {error}")
    return error
