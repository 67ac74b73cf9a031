"""Resident memory of this process, from Linux's own account of it."""

from __future__ import annotations

import contextlib
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _status(name: str) -> int:
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS} has no {name}; peak memory is measured on Linux only")


def resident_bytes() -> int:
    """Bytes resident now."""
    return _status("VmRSS")


def peak_bytes() -> int:
    """Most bytes resident at once since the process began, or since `reset_peak`."""
    return _status("VmHWM")


def reset_peak() -> None:
    """Begin a new peak at what is resident now; where the kernel forbids it, the old peak stays."""
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5", encoding="ascii")
