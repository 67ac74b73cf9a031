"""An experiment as the other rooms see it: its card, how it is drawn, and where its measuring class lies."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from rote.catalog import ExperimentCard
from rote.page.here import Draw

if TYPE_CHECKING:
    from rote.experiments.base import Experiment


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One experiment: everything but the class itself is there without torch.

    Attributes:
        section: what the report shows of its rows; None draws them as its card describes them.
        measure: the class, or where it lies (`module:Class`), to be imported when something is measured.
    """

    card: ExperimentCard
    measure: str | type[Experiment]
    section: Draw | None = None

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def class_name(self) -> str:
        return self.measure.rpartition(":")[2] if isinstance(self.measure, str) else self.measure.__name__

    def load(self) -> type[Experiment]:
        """The measuring class."""
        if not isinstance(self.measure, str):
            return self.measure
        module, _, name = self.measure.partition(":")
        loaded: type[Experiment] = getattr(import_module(module), name)
        return loaded
