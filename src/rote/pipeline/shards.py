"""Which shards the stages of a study have, and what stages take from those before; knows the facts, not the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from rote.asking import KnownFacts
from rote.circuit import Circuit
from rote.experiments.base import Experiment
from rote.experiments.known_facts.measure import from_table
from rote.facts import FactTable, RelationPrompts
from rote.lineup import Control
from rote.pipeline.line_up import no_lineup, over_members, stack_experiments
from rote.records import Record, Shard
from rote.settings import KNOWN as KNOWN_BY
from rote.settings import Settings

ASKED, KNOWN, CIRCUIT, OTHERS, LINEUP = "asked", "known_facts", "circuit", "other_relations", "lineup"
PREPARED = "prepared"
USUAL = {KNOWN: 3.0, CIRCUIT: 7.0, OTHERS: 0.7, "member": 4.0, "control": 0.1}  # seconds on the bundled organism
BATCHES_PER_SLICE = 16  # a relation with more facts is asked in slices of so many batches, each a shard


@dataclass(frozen=True, kw_only=True)
class Found:
    """What earlier stages found, by relation: plain data that any worker can be handed.

    `readers`: heads, known entities, why there are none, of relations beside the studied ones. `prepared`: arrays that
    experiments have made for their measuring.
    """

    asked: Mapping[str, KnownFacts] = field(default_factory=dict)
    known: Mapping[str, KnownFacts] = field(default_factory=dict)
    circuits: Mapping[str, Circuit] = field(default_factory=dict)
    readers: Mapping[str, Any] = field(default_factory=dict)
    prepared: Mapping[Shard, Mapping[str, np.ndarray]] = field(default_factory=dict)


class Agenda:
    """The shards of every stage, and what the stages have found so far.

    `asking`, `searching`, … list a stage's shards; the `take_` methods hand it what the stage before has recorded.
    """

    def __init__(
        self,
        *,
        table: FactTable | None,
        prompts: dict[str, RelationPrompts],
        settings: Settings,
        experiments: tuple[Experiment, ...],
        controls: Sequence[Control] = (),
        not_asked: Mapping[str, str] | None = None,
    ) -> None:
        self.facts, self.prompts, self.settings = table, prompts, settings
        self.not_asked = dict(not_asked or {})  # relations that were asked for and cannot be asked, and why
        self.experiments = {e.name: e for e in experiments if e.card.needs_facts}
        self.of_no_facts = {e.name: e for e in experiments if not e.card.needs_facts}
        self._all = experiments
        self._on_stacks = stack_experiments(experiments)
        self.controls = {control.name: control for control in controls if self._on_stacks}  # else nothing is lined up
        self._several = any("several_relations" in e.card.needs for e in experiments)
        self._searched = any(e.card.needs_circuit for e in experiments)
        self.found = Found()

    @property
    def usual_seconds(self) -> dict[str, float]:
        """Seconds that kinds of shards take on the bundled organism."""
        return {**USUAL, **{e.name: e.card.seconds for e in self._all}}

    @property
    def table(self) -> FactTable:
        """The table of facts; no shard needs it where there is none."""
        assert self.facts is not None
        return self.facts

    # ---------------------------------------------------------- ask
    @property
    def slices(self) -> list[Shard]:
        """`relation/first fact` where a relation has more facts than one slice; whole batches, so the same numbers."""
        size = BATCHES_PER_SLICE * self.settings.batch_size
        long = {name: len(prompts) for name, prompts in self.prompts.items() if len(prompts) > size}
        return [Shard(ASKED, f"{name}/{first}") for name, n in long.items() for first in range(0, n, size)]

    def take_slices(self, records: Sequence[Record]) -> None:
        parts: dict[str, list[pd.DataFrame]] = {}
        for shard, record in zip(self.slices, records, strict=True):
            parts.setdefault(parts_of(shard.item)[0], []).append(record.tables["answers"])
        self.found = replace(self.found, asked={name: answers(pd.concat(part)) for name, part in parts.items()})

    @property
    def asking(self) -> list[Shard]:
        return [Shard(KNOWN, name) for name in self.prompts]

    def take_known(self, records: Sequence[Record]) -> None:
        pairs = zip(self.prompts.items(), records, strict=True)
        known = {name: from_table(record.tables["facts"], prompts) for (name, prompts), record in pairs}
        self.found = replace(self.found, known=known, asked={})

    def too_few(self, name: str) -> str | None:
        """Why nothing more can be asked about a relation, or None."""
        return too_few(self.found.known[name], self.prompts[name], self.settings)

    # ---------------------------------------------------------- search
    @property
    def searching(self) -> list[Shard]:
        """The relations of which enough is known, where an experiment needs their circuit."""
        return [Shard(CIRCUIT, name) for name in self.prompts if self._searched and self.too_few(name) is None]

    def take_circuits(self, records: Sequence[Record]) -> None:
        pairs = zip(self.searching, records, strict=True)
        circuits = {shard.item: Circuit.from_json(_chosen(record)) for shard, record in pairs}
        self.found = replace(self.found, circuits=circuits)

    @property
    def reading(self) -> list[Shard]:
        """The table's relations that are not studied, where an experiment asks for several facts per entity."""
        if not self.found.circuits or not self._several:
            return []
        return [Shard(OTHERS, r.name) for r in self.table.relations if r.name not in (*self.prompts, *self.not_asked)]

    def take_readers(self, records: Sequence[Record]) -> None:
        pairs = zip(self.reading, records, strict=True)
        self.found = replace(self.found, readers={shard.item: json.loads(_chosen(record)) for shard, record in pairs})

    # ---------------------------------------------------------- measure
    @property
    def measuring(self) -> list[Shard]:
        asked = [Shard(e, name) for name in self.prompts for e in self.experiments if e != KNOWN]
        return asked + [Shard(e, name) for name in self.not_asked for e in self.experiments]

    @property
    def once(self) -> list[Shard]:
        """The experiments that ask no facts: once each, whatever the relations."""
        return [Shard(name) for name in self.of_no_facts]

    @property
    def preparing(self) -> list[Shard]:
        """What experiments make and keep before they measure."""
        makers = {e.name for e in self._all if type(e).prepare is not Experiment.prepare}
        made = [s for s in (*self.measuring, *self.once) if s.experiment in makers and s.item not in self.not_asked]
        return [prepared_for(shard) for shard in made]

    def take_prepared(self, records: Sequence[Record]) -> None:
        pairs = zip(self.preparing, records, strict=True)
        self.found = replace(self.found, prepared={shard: record.arrays for shard, record in pairs})

    # ---------------------------------------------------------- line up
    @property
    def members(self) -> list[Shard]:
        """Every member of every control of every relation that has a window."""
        return [shard for control in self.lineup for shard in self.members_of(control)]

    @property
    def lineup(self) -> list[Shard]:
        """Every control of every relation: `relation/control`."""
        return [Shard(LINEUP, f"{name}/{control}") for name in self.prompts for control in self.controls]

    def members_of(self, control: Shard) -> list[Shard]:
        """The members of one control: `relation/control/seed`; none where there is no effective model."""
        name, control_name = parts_of(control.item)
        circuits = self.found.circuits
        if name not in circuits or circuits[name].no_window is not None:
            return []
        n_members = self.controls[control_name].n_members(self.settings)
        return [MemberItem(relation=name, control=control_name, seed=seed).shard for seed in range(n_members)]

    def control(self, shard: Shard, members: Sequence[Record]) -> Record:
        """A control's rows over its members; all absent where there is nothing to build it from."""
        name, control = parts_of(shard.item)
        if members:
            return over_members(self.controls[control], members, self.settings)
        reason = self.too_few(name) or self.found.circuits[name].no_window or "no member was built"
        return no_lineup(self.controls[control], name, self._on_stacks, self.settings, reason)


@dataclass(frozen=True, kw_only=True)
class MemberItem:
    """One member of one control of one relation, as the item of a shard: `relation/control/seed`."""

    relation: str
    control: str
    seed: int

    @property
    def shard(self) -> Shard:
        return Shard(LINEUP, f"{self.relation}/{self.control}/{self.seed}")

    @classmethod
    def of(cls, shard: Shard) -> MemberItem:
        """The inverse of `shard`; a relation's name may hold slashes itself."""
        relation, control, seed = shard.item.rsplit("/", 2)
        return cls(relation=relation, control=control, seed=int(seed))


def prepared_for(shard: Shard) -> Shard:
    """The shard that makes what another one is handed."""
    return Shard(shard.experiment, f"{shard.item}/{PREPARED}")


LEAST_APART = 4  # facts of other classes than the commonest, so that each half has some to compare with


def too_few(asked: KnownFacts, prompts: RelationPrompts, settings: Settings) -> str | None:
    """Why nothing can be found out from what is known of a relation, or None."""
    known = asked.known
    n_known, n_facts, least = int(known.sum()), len(known), settings.min_known
    if n_known < least:
        which = "none" if n_known == 0 else f"{n_known:,}"
        others = {how: int(asked.by(how, prompts.cls, settings).sum()) for how in KNOWN_BY if how != settings.known}
        instead = ", ".join(f"{n:,} with known={how}" for how, n in others.items())
        return (
            f"the model knows {which} of the {n_facts:,} facts ({known_by(settings)}); at least {least} are needed. It "
            f"would be {instead}; {'more ' if settings.shots else ''}examples before the question (--shots) may help"
        )
    circuit = prompts.merged()
    if len(circuit.classes) < 2:
        return f"answers part only after their first token: all {len(prompts.classes):,} begin with the same one"
    apart = n_known - int(np.bincount(circuit.cls[known]).max())
    if apart < LEAST_APART:
        which = "all" if apart == 0 else f"all but {apart}"
        return f"{which} of the {n_known:,} facts known are of one class; at least {LEAST_APART} of others are needed"
    return None


def known_by(settings: Settings) -> str:
    """What a fact has to be to count as known."""
    return {
        "probability": f"p > {settings.known_probability:g}",
        "top1": "the likeliest tokens are the answer's",
        "among_answers": "no answer of the relation is likelier",
    }[settings.known]


def answers_frame(known: KnownFacts) -> pd.DataFrame:
    """One row per fact asked: what `KnownFacts` holds."""
    return pd.DataFrame({spec.name: getattr(known, spec.name) for spec in fields(KnownFacts)})


def answers(frame: pd.DataFrame) -> KnownFacts:
    """The inverse of `answers_frame`, exactly."""
    return KnownFacts(**{spec.name: frame[spec.name].to_numpy() for spec in fields(KnownFacts)})


def choice(relation: str, text: str) -> Record:
    """A record that holds a stage's choices, as JSON."""
    return Record(tables={"choices": pd.DataFrame({"relation": [relation], "json": [text]})})


def _chosen(record: Record) -> str:
    return str(record.tables["choices"]["json"].iloc[0])


def parts_of(item: str) -> tuple[str, str]:
    """What stands before and behind an item's last slash; a relation's name may hold slashes itself."""
    before, _, behind = item.rpartition("/")
    return before, behind
