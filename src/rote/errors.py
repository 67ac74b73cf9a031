"""Every exception that rote raises on purpose, as one tree.

RoteError
├── InputError          what the user gave cannot be used (exit code 2); lists every problem at once
│   ├── FactsError      the table of facts or a prompt made from it
│   ├── TextError       a file of running text
│   ├── ModelRefused    the model cannot be served exactly
│   ├── SettingsError   a setting is out of range
│   └── ExperimentError an experiment does not do what its card says
├── NotApplicable       a value that does not exist for this model or table; becomes an `absent` entry
├── MeasurementError    work had begun and a number came out wrong (exit code 1)
├── StorageError        the run folder cannot be written any more: full disk, lost network drive (exit code 1)
├── WorkerLost          the processes that do the work die again and again (exit code 1)
└── RunError            the run folder is stale or in use (exit code 3)
"""

from __future__ import annotations

from collections.abc import Iterable


def printable(text: str) -> str:
    """A text for a terminal: what could move its cursor, colour it or turn it around is spelt out."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)


class RoteError(Exception):
    """The root: catch this to catch everything that rote raises on purpose."""

    exit_code = 1


class InputError(RoteError):
    """Input refused before any work; `problems` holds one sentence for each thing that is wrong."""

    exit_code = 2

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class FactsError(InputError):
    """A table of facts, or a prompt made from it, cannot be used."""


class TextError(InputError):
    """Running text that cannot be read, or is too short."""


class ModelRefused(InputError):
    """A model that rote cannot serve exactly, with the reason."""


class SettingsError(InputError):
    """A setting outside its range."""


class ExperimentError(InputError):
    """An experiment whose class and card do not fit together."""


class NotApplicable(RoteError):
    """A value that does not exist here; the reason is what the `absent` table shows."""

    @property
    def reason(self) -> str:
        return str(self)


class MeasurementError(RoteError):
    """A measurement failed after work had begun, for instance non-finite activations."""


class StorageError(RoteError):
    """A write into the run folder failed after work had begun; what was stored before is whole."""


class WorkerLost(RoteError):
    """Work on other processes or machines was given up: they die, or there are none."""


class RunError(RoteError):
    """A run folder that is stale, in use, or not a run folder."""

    exit_code = 3
