"""What the shards of a study do, and what they share: the model, the facts as asked, what earlier stages found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from rote.catalog import card
from rote.circuit import Circuit, KnownFacts, OtherRelation, Recall, ask, reading_heads, search
from rote.circuit.top_heads import Head
from rote.errors import FactsError, NotApplicable
from rote.experiments import Experiment, Study
from rote.experiments.base import absents
from rote.experiments.known_facts import from_table, tabulate
from rote.experiments.on_controls import measure_member, no_lineup, not_built, over_members, stack_experiments
from rote.facts import FactTable, RelationPrompts, build_prompts
from rote.lineup import Control, Target
from rote.model import Model
from rote.records import Record, Shard
from rote.settings import Settings

KNOWN, CIRCUIT, OTHERS, LINEUP = "known_facts", "circuit", "other_relations", "lineup"


class Work:
    """The shards of every stage, what one of them does, and what stages take from those before.

    `asking`, `searching`, … list a stage's shards; the `take_` methods hand it what the stage before has recorded.
    """

    def __init__(
        self,
        *,
        model: Model,
        table: FactTable,
        prompts: dict[str, RelationPrompts],
        settings: Settings,
        experiments: tuple[Experiment, ...],
        controls: Sequence[Control] = (),
    ) -> None:
        self.model, self.table, self.prompts, self.settings = model, table, prompts, settings
        self.experiments = {experiment.name: experiment for experiment in experiments}
        self.controls = {control.name: control for control in controls}
        self._on_stacks = stack_experiments(experiments)
        self.known: dict[str, KnownFacts] = {}
        self.circuits: dict[str, Circuit] = {}
        self._readers: dict[str, Any] = {}  # per relation: heads, known entities, why there are none
        self._targets: dict[str, Target] = {}
        self._recalls: dict[str, Recall] = {}
        self._studies: dict[str, Study] = {}

    # ---------------------------------------------------------- ask
    @property
    def asking(self) -> list[Shard]:
        return [Shard(KNOWN, name) for name in self.prompts]

    def known_facts(self, shard: Shard) -> Record:
        """Which facts of a relation the model knows."""
        prompts = self.prompts[shard.item]
        return tabulate(prompts, ask(self.model, prompts, self.settings), self.settings, self.model.tokenizer)

    def take_known(self, records: Sequence[Record]) -> None:
        for (name, prompts), record in zip(self.prompts.items(), records, strict=True):
            self.known[name] = from_table(record.tables["facts"], prompts)

    def too_few(self, name: str) -> str | None:
        """Why nothing more can be asked about a relation, or None."""
        return too_few(self.known[name].known, self.prompts[name], self.settings)

    # ---------------------------------------------------------- search
    @property
    def searching(self) -> list[Shard]:
        return [Shard(CIRCUIT, name) for name in self.prompts if self.too_few(name) is None]

    def circuit(self, shard: Shard) -> Record:
        """The circuit of a relation."""
        return _choice(shard.item, search(self.recall(shard.item)).to_json())

    def take_circuits(self, records: Sequence[Record]) -> None:
        for shard, record in zip(self.searching, records, strict=True):
            self.circuits[shard.item] = Circuit.from_json(_chosen(record))

    @property
    def reading(self) -> list[Shard]:
        """The table's relations that are not studied, where an experiment asks for several facts per entity."""
        wanted = self.circuits and any("several_relations" in card(name).needs for name in self.experiments)
        return [Shard(OTHERS, r.name) for r in self.table.relations if wanted and r.name not in self.prompts]

    def other_relation(self, shard: Shard) -> Record:
        """Which facts of a relation beside the studied ones are known, and the heads that read it."""
        prompts = self._asked(shard.item)
        known = ask(self.model, prompts, self.settings).known
        reason = too_few(known, prompts, self.settings)
        heads = () if reason else reading_heads(Recall.of(self.model, prompts, known, self.settings))
        names = [prompts.facts[i].entity for i in np.flatnonzero(known)]
        return _choice(shard.item, json.dumps({"heads": heads, "known": names, "reason": reason}))

    def take_readers(self, records: Sequence[Record]) -> None:
        for shard, record in zip(self.reading, records, strict=True):
            self._readers[shard.item] = json.loads(_chosen(record))

    # ---------------------------------------------------------- measure
    @property
    def measuring(self) -> list[Shard]:
        return [Shard(e, name) for name in self.prompts for e in self.experiments if e != KNOWN]

    def experiment(self, shard: Shard) -> Record:
        """One experiment on one relation; all its statistics absent where it does not apply."""
        experiment, reason = self.experiments[shard.experiment], self.too_few(shard.item)
        if reason is None:
            try:
                return experiment.measure(self.study(shard.item))
            except NotApplicable as error:
                reason = error.reason
        return Record(absent=absents(experiment.name, "model", shard.item, self.settings, reason))

    def study(self, name: str) -> Study:
        """The relation's known facts with the circuit that was found."""
        if name not in self._studies:
            self._studies[name] = Study(
                prompts=self.prompts[name],
                known=self.known[name],
                recall=self.recall(name),
                circuit=self.circuits[name],
                asked_otherwise=self._otherwise(name),
                others=self._others(name),
            )
        return self._studies[name]

    def recall(self, name: str) -> Recall:
        """The relation's known facts; one object for all stages, since it keeps recordings."""
        if name not in self._recalls:
            known = self.known[name].known
            self._recalls[name] = Recall.of(self.model, self.prompts[name], known, self.settings)
        return self._recalls[name]

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
        name, control_name = _parts(control.item)
        if name not in self.circuits or self.circuits[name].no_window is not None:
            return []
        n_members = self.controls[control_name].n_members(self.settings)
        return [Shard(LINEUP, f"{control.item}/{seed}") for seed in range(n_members)]

    def member(self, shard: Shard) -> Record:
        """One member of a control, built and measured."""
        rest, seed = _parts(shard.item)
        name, control = _parts(rest)
        try:
            if name not in self._targets:
                self._targets[name] = Target.of(self.study(name).stack, self.settings)
            member = self.controls[control].build(self._targets[name], int(seed), self.settings)
        except NotApplicable as error:
            built, reason = self.controls[control], error.reason
            return not_built(built, name, int(seed), self._on_stacks, self.settings, reason)
        return measure_member(member, self._on_stacks, self.settings)

    def control(self, shard: Shard, members: Sequence[Record]) -> Record:
        """A control's rows over its members; all absent where there is nothing to build it from."""
        name, control = _parts(shard.item)
        if members:
            return over_members(self.controls[control], members, self.settings)
        reason = self.too_few(name) or self.circuits[name].no_window or "no member was built"
        return no_lineup(self.controls[control], name, self._on_stacks, self.settings, reason)

    # ---------------------------------------------------------- other relations
    def _others(self, name: str) -> tuple[OtherRelation, ...]:
        others = [
            OtherRelation(recall=self.recall(n), heads=circuit.readout_heads)
            for n, circuit in self.circuits.items()
            if n != name
        ]
        for beside, found in self._readers.items():
            if found["heads"]:
                others.append(OtherRelation(recall=self._beside(beside), heads=_heads(found["heads"])))
        return tuple(others)

    def _beside(self, name: str) -> Recall:
        if name not in self._recalls:
            prompts, names = self._asked(name), set(self._readers[name]["known"])
            known = np.array([fact.entity in names for fact in prompts.facts])
            self._recalls[name] = Recall.of(self.model, prompts, known, self.settings)
        return self._recalls[name]

    def _asked(self, name: str) -> RelationPrompts:
        return _prompts(self.model, self.table, name)

    def _otherwise(self, name: str) -> tuple[RelationPrompts, ...]:
        """The known facts asked as every other relation of the table."""
        known = set(self.prompts[name].take(self.known[name].known).entities)
        asked = []
        for relation in self.table.relations:
            if relation.name == name:
                continue
            prompts = build_prompts(
                self.table, name, self.model.tokenizer, max_length=_limit(self.model), asked_as=relation
            )
            asked.append(prompts.take([i for i, e in enumerate(prompts.entities) if e in known]))
        return tuple(asked)


def ask_all(model: Model, table: FactTable, relations: Sequence[str]) -> dict[str, RelationPrompts]:
    """The prompts of every relation; all that is wrong with any of them is raised together."""
    prompts: dict[str, RelationPrompts] = {}
    problems: list[str] = []
    for name in relations:
        try:
            prompts[name] = _prompts(model, table, name)
        except FactsError as error:
            problems += error.problems
    if problems:
        raise FactsError(problems)
    return prompts


def _prompts(model: Model, table: FactTable, name: str) -> RelationPrompts:
    """Attributes that share a first token are refused, unless the model knows not even those tokens."""
    limit = _limit(model)
    try:
        return build_prompts(table, name, model.tokenizer, max_length=limit)
    except FactsError:
        loose = build_prompts(table, name, model.tokenizer, max_length=limit, allow_shared_first_tokens=True)
        if ask(model, loose, Settings()).known.any():
            raise
        return loose


def too_few(known: Bool[np.ndarray, " fact"], prompts: RelationPrompts, settings: Settings) -> str | None:
    """Why nothing can be found out from what is known of a relation, or None."""
    n_known, n_facts, least = int(known.sum()), len(known), settings.min_known
    if n_known < least:
        which = "none" if n_known == 0 else f"{n_known:,}"
        return (
            f"the model knows {which} of the {n_facts:,} facts "
            f"(p > {settings.known_probability:g}); at least {least} are needed"
        )
    if min(np.sort(np.bincount(prompts.cls[known], minlength=2))[-2:]) < 4:
        return "all, or all but a few, of the facts known are of one class only; two classes of at least 4 are needed"
    return None


def _heads(found: Sequence[Sequence[int]]) -> tuple[Head, ...]:
    return tuple((int(layer), int(head)) for layer, head in found)


def _limit(model: Model) -> int | None:
    """The longest prompt in tokens."""
    return getattr(model.config, "max_position_embeddings", None)


def _choice(relation: str, text: str) -> Record:
    return Record(tables={"choices": pd.DataFrame({"relation": [relation], "json": [text]})})


def _chosen(record: Record) -> str:
    return str(record.tables["choices"]["json"].iloc[0])


def _parts(item: str) -> tuple[str, str]:
    """What stands before and behind an item's last slash; a relation's name may hold slashes itself."""
    before, _, behind = item.rpartition("/")
    return before, behind
