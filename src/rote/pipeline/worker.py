"""What one shard of a study does, on whichever worker: the model with the facts as asked of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from rote.asking import KnownFacts, Recall, ask
from rote.asking.recordings import Kept, budget
from rote.catalog import TASK, TEXT
from rote.circuit import OtherRelation, reading_heads, search
from rote.circuit.top_heads import Head
from rote.errors import FactsError, NotApplicable, RunError, TextError
from rote.experiments import ENTRIES
from rote.experiments.base import Experiment, Facts, Reading, Study, Task
from rote.experiments.known_facts.measure import KnownFactsExperiment
from rote.facts import FactTable, RelationPrompts
from rote.lineup import Control, Target
from rote.model import Model, ModelSpec
from rote.model.memory import heard_halvings, keep_freed_memory
from rote.pipeline.identity import describe
from rote.pipeline.line_up import measure_member, not_built
from rote.pipeline.questions import Questions, said
from rote.pipeline.shards import (
    BATCHES_PER_SLICE,
    PREPARED,
    Agenda,
    Found,
    MemberItem,
    answers_frame,
    choice,
    parts_of,
    prepared_for,
    too_few,
)
from rote.records import Record, Shard
from rote.records.study import differences
from rote.settings import Settings
from rote.text import Text


class Work(Agenda):
    """An agenda with the model: every method that takes a shard yields the shard's record."""

    def __init__(
        self,
        *,
        model: Model,
        questions: Questions,
        relations: Sequence[str],
        settings: Settings,
        experiments: tuple[Experiment, ...],
        controls: Sequence[Control] = (),
        text: Text | None = None,
        rehearse: bool = False,
    ) -> None:
        prompts, not_asked = questions.all(relations)
        super().__init__(
            table=questions.table,
            prompts=prompts,
            not_asked=not_asked,
            settings=settings,
            experiments=experiments,
            controls=controls,
        )
        self.model, self.text, self.questions = model, text, questions
        self.rehearse = rehearse  # every fact counts as known: for timing on random weights
        self.described: dict[str, Any] = {}
        self._targets: dict[str, Target] = {}
        self._kept = Kept(budget(model.device))
        self._recalls: dict[str, Recall] = {}
        self._studies: dict[str, Study] = {}

    def agenda(self) -> Agenda:
        """What is left without the model."""
        return Agenda(
            table=self.facts,
            prompts=self.prompts,
            not_asked=self.not_asked,
            settings=self.settings,
            experiments=self._all,
            controls=tuple(self.controls.values()),
        )

    def slice_of_facts(self, shard: Shard) -> Record:
        """What the model answers to some of a relation's facts."""
        name, first = parts_of(shard.item)
        prompts, size = self.prompts[name], BATCHES_PER_SLICE * self.settings.batch_size
        rows = np.arange(int(first), min(int(first) + size, len(prompts)))
        return Record(tables={"answers": answers_frame(self._ask(prompts.take(rows)))})

    def known_facts(self, shard: Shard) -> Record:
        """Which facts of a relation the model knows."""
        known = self.found.asked.get(shard.item) or self._ask(self.prompts[shard.item])
        return KnownFactsExperiment().record(self._facts(shard.item, known))

    def _ask(self, prompts: RelationPrompts) -> KnownFacts:
        known = ask(self.model, prompts, self.settings)
        return replace(known, known=np.ones_like(known.known)) if self.rehearse else known

    def circuit(self, shard: Shard) -> Record:
        """The circuit of a relation."""
        return choice(shard.item, search(self.recall(shard.item), rehearse=self.rehearse).to_json())

    def other_relation(self, shard: Shard) -> Record:
        """Which facts of a relation beside the studied ones are known, and the heads that read it.

        Where it cannot be asked, what needs several relations is absent for it, with that reason.
        """
        try:
            prompts = self.questions.of(shard.item)
        except FactsError as error:
            nobody = choice(shard.item, json.dumps({"heads": (), "known": [], "reason": said(error)}))
            several = [e for e in self.experiments.values() if "several_relations" in e.card.needs]
            absent = [e.absent("model", shard.item, self.settings, said(error)) for e in several]
            return replace(nobody, absent=tuple(row for record in absent for row in record.absent))
        asked = self._ask(prompts)
        known, reason = asked.known, too_few(asked, prompts, self.settings)
        heads: tuple[Head, ...] = ()
        if not reason:
            try:
                heads = reading_heads(Recall.of(self.model, prompts, known, self.settings, self._kept))
            except NotApplicable as error:  # nothing reads the name
                reason = error.reason
        names = [prompts.facts[i].entity for i in np.flatnonzero(known)]
        return choice(shard.item, json.dumps({"heads": heads, "known": names, "reason": reason}))

    def experiment(self, shard: Shard) -> Record:
        """One experiment on one relation; all its statistics absent where it does not apply."""
        experiment = self.experiments[shard.experiment]
        reason = self.not_asked.get(shard.item)
        if reason is None and experiment.card.needs_circuit:
            reason = self.too_few(shard.item)
        if reason is not None:
            return experiment.absent("model", shard.item, self.settings, reason)
        return experiment.record(self._given(shard))

    def without_facts(self, shard: Shard) -> Record:
        """One experiment that asks no facts."""
        return self.of_no_facts[shard.experiment].record(self._given(shard))

    def prepared(self, shard: Shard) -> Record:
        """What an experiment makes and keeps before it measures."""
        measured = Shard(shard.experiment, shard.item.removesuffix(f"/{PREPARED}"))
        experiment = self.experiments.get(shard.experiment) or self.of_no_facts[shard.experiment]
        if experiment.card.needs_circuit and self.too_few(measured.item) is not None:
            return Record()
        try:
            return Record(arrays=dict(experiment.prepare(self._given(measured))))
        except NotApplicable:
            return Record()  # the measuring will say why

    def _given(self, shard: Shard) -> Study | Facts | Reading | Task:
        """What an experiment is handed, as its card's `takes` says."""
        experiment = self.experiments.get(shard.experiment) or self.of_no_facts[shard.experiment]
        prepared = self.found.prepared.get(prepared_for(shard), {})
        if experiment.card.needs_circuit:
            return replace(self.study(shard.item), prepared=prepared)
        if experiment.card.needs_facts:
            text = self.text if TEXT in experiment.card.takes else None
            return replace(self._facts(shard.item, self.found.known[shard.item]), text=text, prepared=prepared)
        if TASK in experiment.card.takes:
            prompts = experiment.task(self.model.tokenizer)
            return Task(model=self.model, prompts=prompts, settings=self.settings, prepared=prepared)
        return Reading(model=self.model, words=self.text, settings=self.settings, prepared=prepared)

    def _facts(self, name: str, known: KnownFacts) -> Facts:
        return Facts(model=self.model, prompts=self.prompts[name], known=known, settings=self.settings)

    def study(self, name: str) -> Study:
        """The relation's known facts with the circuit that was found."""
        if name not in self._studies:
            otherwise, not_asked = self._otherwise(name)
            self._studies[name] = Study(
                prompts=self.prompts[name],
                known=self.found.known[name],
                recall=self.recall(name),
                circuit=self.found.circuits[name],
                asked_otherwise=otherwise,
                not_asked=not_asked,
                others=self._others(name),
            )
        return self._studies[name]

    def recall(self, name: str) -> Recall:
        """The relation's known facts; one object for all stages, since it keeps recordings."""
        if name not in self._recalls:
            known = self.found.known[name].known
            self._recalls[name] = Recall.of(self.model, self.prompts[name], known, self.settings, self._kept)
        return self._recalls[name]

    def member(self, shard: Shard) -> Record:
        """One member of a control, built and measured."""
        item = MemberItem.of(shard)
        name, control, seed = item.relation, item.control, item.seed
        try:
            if name not in self._targets:
                self._targets[name] = Target.of(self.study(name).stack, self.settings)
            member = self.controls[control].build(self._targets[name], seed, self.settings)
        except NotApplicable as error:
            built, reason = self.controls[control], error.reason
            return not_built(built, name, seed, self._on_stacks, self.settings, reason)
        return measure_member(member, self._on_stacks, self.settings)

    # ---------------------------------------------------------- other relations
    def _others(self, name: str) -> tuple[OtherRelation, ...]:
        others = [
            OtherRelation(recall=self.recall(n), heads=circuit.readout_heads)
            for n, circuit in self.found.circuits.items()
            if n != name and circuit.readout_heads
        ]
        for beside, found in self.found.readers.items():
            if found["heads"]:
                others.append(OtherRelation(recall=self._beside(beside), heads=_heads(found["heads"])))
        return tuple(others)

    def _beside(self, name: str) -> Recall:
        if name not in self._recalls:
            prompts, names = self.questions.of(name), set(self.found.readers[name]["known"])
            known = np.array([fact.entity in names for fact in prompts.facts])
            self._recalls[name] = Recall.of(self.model, prompts, known, self.settings, self._kept)
        return self._recalls[name]

    def _otherwise(self, name: str) -> tuple[tuple[RelationPrompts, ...], dict[str, str]]:
        """The known facts asked as every other relation of the table, and why some cannot be asked of them."""
        known = set(self.prompts[name].take(self.found.known[name].known).entities)
        asked: list[RelationPrompts] = []
        reasons: dict[str, str] = {}
        for relation in self.table.relations:
            if relation.name == name:
                continue
            try:
                prompts = self.questions.otherwise(name, relation.name)
            except FactsError as error:
                reasons[relation.name] = said(error)
                continue
            rows = [i for i, entity in enumerate(prompts.entities) if entity in known]
            if rows:
                asked.append(prompts.take(rows))
            else:
                reasons[relation.name] = f"no entity known can be asked as relation {relation.name!r} is"
        return tuple(asked), reasons


def require_facts(table: FactTable | None, text: Text | None, experiments: Sequence[Experiment]) -> None:
    """FactsError, naming the experiments, where a table is needed and there is none; TextError where a text is."""
    if table is not None:
        return
    asking = [e.name for e in experiments if e.card.needs_facts]
    reading = [e.name for e in experiments if e.name not in asking]
    if asking:
        others = ", ".join(e.name for e in ENTRIES if not e.card.needs_facts)
        raise FactsError(
            f"no facts were given, and {', '.join(asking)} cannot do without: give a table of facts, or choose only "
            f"experiments that read a text ({others})"
        )
    if text is None:
        raise TextError(f"neither facts nor a text was given: {', '.join(reading) or 'a study'} needs one")


def prepare(
    model: Model | ModelSpec,
    table: FactTable | None,
    relations: Sequence[str],
    settings: Settings,
    experiments: Sequence[Experiment],
    controls: Sequence[Control],
    text: Text | None = None,
    rehearse: bool = False,
    leave_out: bool = True,
) -> Work:
    """What every worker begins with: the model, loaded here if it is not yet, and its questions, all checked.

    Raises InputError where facts, text or model cannot be used (ModelRefused, FactsError, TextError, ExperimentError).
    """
    keep_freed_memory()
    model = (model.load() if isinstance(model, ModelSpec) else model).with_fast_products()
    work = Work(
        model=model,
        questions=Questions(model=model, table=table, settings=settings, leave_out=leave_out),
        relations=relations,
        settings=settings,
        experiments=tuple(experiments),
        controls=controls,
        text=text,
        rehearse=rehearse,
    )
    for experiment in experiments:  # a text that is too short, for instance, or a prompt that has no single answer
        experiment.check(model, text, settings)
    work.described = describe(
        model,
        table,
        [prompts.relation for prompts in work.prompts.values()],
        settings,
        experiments,
        controls,
        not_asked=work.not_asked,
        text=text,
        rehearse=rehearse,
    )
    return work


def planned(work: Work, shard: object) -> tuple[Agenda, dict[str, Any]]:
    """What the one who keeps the records has to know of a worker: the agenda, and what every number depends on."""
    return work.agenda(), work.described


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a stage does to each of its shards, on any worker: a method of Work, given what was found before."""

    do: Callable[[Work, Shard], Record]
    found: Found
    described: Mapping[str, Any]

    def __call__(self, work: Work, shard: Shard) -> Record:
        changed = [] if work.described == self.described else differences(self.described, work.described)
        if changed:
            raise RunError(
                "a worker would not compute the same study; these differ (study -> worker):\n"
                + "\n".join(f"  {line}" for line in changed)
                + "\nGive all nodes the same model, libraries and kind of device."
            )
        work.found = self.found
        return noting_halvings(lambda s: self.do(work, s), shard)


def noting_halvings(do: Callable[[Shard], Record], shard: Shard) -> Record:
    """What a shard yields, with a table `halvings` where memory ran out in it: its batches were then smaller."""
    with heard_halvings() as halvings:
        record = do(shard)
    if not halvings:
        return record
    found = pd.DataFrame([asdict(halving) for halving in halvings])
    return replace(record, tables={**record.tables, "halvings": found})


def _heads(found: Sequence[Sequence[int]]) -> tuple[Head, ...]:
    return tuple((int(layer), int(head)) for layer, head in found)
