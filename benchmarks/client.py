"""The driver's side of a worker: start it, ask it, stop it."""

from __future__ import annotations

import contextlib
import json
import selectors
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.environments import ROOT, environment, python_of
from benchmarks.tools import Entry


class ToolFailed(Exception):
    """A tool answered with an error, took too long or died; the message is the reason."""


class Client:
    """One worker process; `ask` sends one request and waits for its answer."""

    def __init__(self, entry: Entry, log: Path, threads: int) -> None:
        self.entry, self.log = entry, log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [str(python_of(entry)), "-m", "benchmarks.worker", entry.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env=environment(threads),
            )

    def ask(self, request: dict[str, Any], seconds: float = 900.0) -> dict[str, Any]:
        """The worker's answer; ToolFailed where there is none within the time, or it is an error."""
        try:
            assert self._process.stdin is not None
            self._process.stdin.write((json.dumps(request) + "\n").encode())
            self._process.stdin.flush()
        except OSError as error:
            raise ToolFailed(f"its process has ended: {self._tail()}") from error
        line = self._line(seconds)
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise ToolFailed(reply["error"])
        return reply

    def _line(self, seconds: float) -> bytes:
        assert self._process.stdout is not None
        end, parts = time.monotonic() + seconds, b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not parts.endswith(b"\n"):
                if not selector.select(max(0.0, end - time.monotonic())):
                    self.close()
                    raise ToolFailed(f"no answer within {seconds:.0f} s")
                chunk = self._process.stdout.read1(1 << 16)  # type: ignore[attr-defined]
                if not chunk:
                    raise ToolFailed(f"its process ended: {self._tail()}")
                parts += chunk
        return parts

    def _tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1][:500] if lines else "it wrote nothing"

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
