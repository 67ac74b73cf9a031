"""A toy as the other rooms see it: its cards, how its run is shown, and where its settings and its work lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from rote.catalog import ExperimentCard
from rote.page.document import Lead
from rote.page.here import Draw
from rote.page.view import View
from rote.records import Record, Shard


@dataclass(frozen=True, kw_only=True)
class ToyStage:
    """Shards that do not depend on each other.

    Attributes:
        over: what `do` takes beside its shard: the records of these, which an earlier stage has made; such a stage is
            done where the records are. Without them a stage is done wherever there are workers.
    """

    name: str
    shards: Sequence[Shard]
    do: Callable[..., Record]
    over: Sequence[Shard] = ()


class ToyWork(Protocol):
    """What a toy does with its settings; made anew by every worker, so it holds nothing but them."""

    def __init__(self, settings: Any) -> None: ...

    @property
    def stages(self) -> tuple[ToyStage, ...]: ...


@dataclass(frozen=True, kw_only=True)
class Toy:
    """One toy: all but `settings` and `work` is there without torch.

    Attributes:
        question: what its command asks, in one line, with the time it takes.
        title: of the report.
        settings: where the class of its settings lies (`module:Class`): a frozen dataclass with `seed` and `quick()`.
        work: where the class of its `Work` lies.
        sections: each of its cards with what the report shows of its rows.
        rooms: rooms of rote, beside those that every toy uses, that its numbers depend on.
    """

    name: str
    question: str
    title: str
    subtitle: str = "small networks from pairs of integers to classes"
    settings: str
    work: str
    lead: Callable[[View], Lead]
    sections: tuple[tuple[ExperimentCard, Draw], ...]
    rooms: tuple[str, ...] = ()
    footer: str = (
        "Values in brackets are 95 % intervals: Student's over networks, of shares of networks exact "
        "(Clopper–Pearson), of exponents by bootstrap over configurations and seeds. All values: summary.parquet and "
        "summary.json beside this file. The questions are those of the Fact Finding study (Nanda, Rajamanoharan, "
        "Kramár, Shah; December 2023)."
    )

    @property
    def cards(self) -> tuple[ExperimentCard, ...]:
        return tuple(card for card, _ in self.sections)

    def chosen(self, changes: Mapping[str, Any], *, quick: bool = False) -> Any:
        """Its settings with some changed, of the full or of the quick version."""
        kind = _load(self.settings)
        return kind.quick(**changes) if quick else kind(**changes)

    def start(self, settings: Any) -> ToyWork:
        work: ToyWork = _load(self.work)(settings)
        return work


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
