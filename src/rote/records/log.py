"""log.txt: what happened in a run folder, appended to by every command that works there."""

from __future__ import annotations

import logging
import warnings
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
story = logging.getLogger("rote.run")  # stages and shards, at INFO; everything else logs under its module's name


class RunLog:
    """While it is entered, rote's log lines and all Python warnings also go to a run's log.txt.

    Nothing else changes for the user's own logging: the level of `rote` stays, and the story of the run reaches other
    handlers only where INFO was asked for. A log that cannot be written is given up: it never ends a study.
    """

    def __init__(self, path: Path) -> None:
        self._handler = _File(path, encoding="utf-8", delay=True)
        self._handler.setFormatter(logging.Formatter(_FORMAT))

    def __enter__(self) -> Self:
        self._before = story.level, story.propagate, warnings.showwarning
        logging.getLogger("rote").addHandler(self._handler)
        if not story.isEnabledFor(logging.INFO):
            story.setLevel(logging.INFO)
            story.propagate = False
            story.addHandler(self._handler)
        warnings.showwarning = self._show
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        level, story.propagate, shown = self._before
        story.setLevel(level)
        if warnings.showwarning == self._show:
            warnings.showwarning = shown
        story.removeHandler(self._handler)
        logging.getLogger("rote").removeHandler(self._handler)
        with suppress(OSError):  # a full disk
            self._handler.close()

    def _show(self, message: Any, category: Any, filename: str, lineno: int, *rest: Any, **more: Any) -> None:
        story.warning("%s: %s (%s:%d)", category.__name__, message, filename, lineno)
        self._before[2](message, category, filename, lineno, *rest, **more)


class _File(logging.FileHandler):
    """Appends; gives up at the first line that cannot be written, and leaves warnings to Python's last resort."""

    given_up = False

    def emit(self, record: logging.LogRecord) -> None:
        alone = not logging.getLogger().handlers and len(logging.getLogger("rote").handlers) == 1
        if alone and logging.lastResort is not None and record.levelno >= logging.WARNING and record.name != story.name:
            logging.lastResort.handle(record)  # as without a log: our presence must not hide warnings
        if not self.given_up:
            try:
                super().emit(record)
            except OSError:  # the file cannot even be opened
                self.given_up = True

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        self.given_up = True
