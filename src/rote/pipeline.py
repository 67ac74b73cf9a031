"""Read this first: a study is asked (which facts are known), searched (the circuit), measured, and reported.

Each stage is a list of shards that an executor runs; what a stage needs of the one before is read back from its
records, so that an interrupted study goes on where it was and ends in the same tables.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from rote.catalog import card
from rote.circuit import Circuit, KnownFacts, OtherRelation, Recall, ask, reading_heads, search
from rote.circuit.top_heads import Head
from rote.errors import FactsError, NotApplicable
from rote.execute import Executor, Inline, OnEvent
from rote.execute.abstract import Event, Finished, ignore
from rote.experiments import EXPERIMENTS, Experiment, Study
from rote.experiments.base import absents
from rote.experiments.known_facts import from_table, tabulate
from rote.experiments.on_controls import measure_member, no_lineup, over_members, stack_experiments
from rote.facts import FactTable, RelationPrompts, build_prompts, read_facts
from rote.lineup import CONTROLS, Control, Target
from rote.model import Model
from rote.model.memory import keep_freed_memory
from rote.provenance import describe
from rote.records import Record, RunFolder, Shard
from rote.results import Run
from rote.settings import Settings

KNOWN, CIRCUIT, OTHERS, LINEUP = "known_facts", "circuit", "other_relations", "lineup"


def study(
    model: Model,
    facts: FactTable | str | Path | pd.DataFrame,
    *,
    folder: str | Path,
    relation: str | Sequence[str] | None = None,
    settings: Settings | None = None,
    experiments: Sequence[Experiment] = EXPERIMENTS,
    controls: Sequence[Control] = CONTROLS,
    executor: Executor | None = None,
    fresh: bool = False,
    on_event: OnEvent = ignore,
) -> Run:
    """Run a whole study, or what is left of it, and write its tables, verdicts and report into `folder`.

    Args:
        facts: a table, or what `read_facts` takes; all its relations are studied unless `relation` names some.
        controls: the line-up; none leaves it out, and every verdict with it.
        fresh: start over in a folder that holds another study.

    Raises:
        InputError: facts, model or settings cannot be used; nothing has been written.
        RunError: the folder holds another study (the differences are shown).
    """
    keep_freed_memory()
    settings = settings or Settings()
    table = facts if isinstance(facts, FactTable) else read_facts(facts)
    asked = ask_all(model, table, _relations(table, relation))
    run = RunFolder.open(folder, describe(model, table, list(asked), settings, experiments, controls), fresh=fresh)
    work = _Work(
        model=model, table=table, prompts=asked, settings=settings, experiments=tuple(experiments), controls=controls
    )
    runner = _Runner(run=run, executor=executor or Inline(), on_event=on_event)

    runner.finish([Shard(KNOWN, name) for name in asked], work.known_facts)
    work.known = {name: from_table(run.read(Shard(KNOWN, name)).tables["facts"], p) for name, p in asked.items()}
    studied = [name for name in asked if work.too_few(name) is None]
    runner.finish([Shard(CIRCUIT, name) for name in studied], work.circuit)
    work.circuits = {name: _circuit(run.read(Shard(CIRCUIT, name))) for name in studied}
    beside = [Shard(OTHERS, name) for name in work.beside] if studied else []
    runner.finish(beside, work.other_relation)
    work.readers = {shard.item: run.read(shard).tables["choices"] for shard in beside}
    order = [Shard(e.name, name) for name in asked for e in experiments if e.name != KNOWN]
    runner.finish(order, work.experiment)
    members = work.members(studied)
    runner.finish(members, work.member)
    lineup = [Shard(LINEUP, f"{name}/{control.name}") for name in asked for control in controls]
    runner.finish(lineup, lambda shard: work.control(shard, [run.read(m) for m in members if _of(m, shard)]))

    run.assemble([Shard(KNOWN, n) for n in asked] + [Shard(CIRCUIT, n) for n in studied] + order + members + lineup)
    result = Run(records=run)
    result.judge()
    result.report()
    return result


def find_circuit(
    model: Model,
    facts: FactTable | str | Path | pd.DataFrame,
    *,
    relation: str | None = None,
    settings: Settings | None = None,
) -> tuple[Circuit, Recall]:
    """The circuit of one relation, without a run folder; `circuit.effective_model(recall)` distils it.

    Raises NotApplicable where the model knows too few of the facts.
    """
    keep_freed_memory()
    settings = settings or Settings()
    table = facts if isinstance(facts, FactTable) else read_facts(facts)
    (name,) = _relations(table, relation)[:1]
    prompts = ask_all(model, table, [name])[name]
    work = _Work(model=model, table=table, prompts={name: prompts}, settings=settings, experiments=())
    work.known = {name: ask(model, prompts, settings)}
    reason = work.too_few(name)
    if reason is not None:
        raise NotApplicable(reason)
    recall = work.recall(name)
    return search(recall), recall


def ask_all(model: Model, table: FactTable, relations: Sequence[str]) -> dict[str, RelationPrompts]:
    """The prompts of every relation; all that is wrong with any of them is raised together."""
    prompts: dict[str, RelationPrompts] = {}
    problems: list[str] = []
    limit = getattr(model.config, "max_position_embeddings", None)
    for name in relations:
        try:
            prompts[name] = _prompts(model, table, name, limit)
        except FactsError as error:
            problems += error.problems
    if problems:
        raise FactsError(problems)
    return prompts


def _prompts(model: Model, table: FactTable, name: str, limit: int | None) -> RelationPrompts:
    """Attributes that share a first token are refused, unless the model knows not even those tokens."""
    try:
        return build_prompts(table, name, model.tokenizer, max_length=limit)
    except FactsError:
        loose = build_prompts(table, name, model.tokenizer, max_length=limit, allow_shared_first_tokens=True)
        if ask(model, loose, Settings()).known.any():
            raise
        return loose


def _relations(table: FactTable, relation: str | Sequence[str] | None) -> list[str]:
    chosen = table if relation is None else table.select(relation)
    return [r.name for r in chosen.relations]


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


def _of(member: Shard, control: Shard) -> bool:
    """Whether a member's shard is of this control: `relation/control/seed` of `relation/control`."""
    return member.item.rpartition("/")[0] == control.item


def _circuit(record: Record) -> Circuit:
    return Circuit.from_json(str(record.tables["choices"]["json"].iloc[0]))


@dataclass(kw_only=True)
class _Runner:
    """Runs shards that are not done yet, records each as soon as it is there."""

    run: RunFolder
    executor: Executor
    on_event: OnEvent

    def finish(self, shards: Sequence[Shard], work: Callable[[Shard], Record]) -> None:
        left = [shard for shard in shards if not self.run.done(shard)]
        for shard, record in self.executor.execute(lambda: None, lambda _, s: work(s), left, on_event=self._told):
            self.run.write(shard, record)

    def _told(self, event: Event) -> None:
        if isinstance(event, Finished) and isinstance(event.shard, Shard):
            self.run.add_timing(event.shard, event.seconds)
        self.on_event(event)


class _Work:
    """What shards share: the model, the facts as asked, and what earlier stages found."""

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
        self.on_stacks = stack_experiments(experiments)
        self.known: dict[str, KnownFacts] = {}
        self.circuits: dict[str, Circuit] = {}
        self.readers: dict[str, pd.DataFrame] = {}
        self._targets: dict[str, Target] = {}
        self._recalls: dict[str, Recall] = {}
        self._studies: dict[str, Study] = {}

    def known_facts(self, shard: Shard) -> Record:
        prompts = self.prompts[shard.item]
        return tabulate(prompts, ask(self.model, prompts, self.settings), self.settings, self.model.tokenizer)

    def circuit(self, shard: Shard) -> Record:
        found = search(self.recall(shard.item))
        return Record(tables={"choices": pd.DataFrame({"relation": [shard.item], "json": [found.to_json()]})})

    def experiment(self, shard: Shard) -> Record:
        experiment, reason = self.experiments[shard.experiment], self.too_few(shard.item)
        if reason is None:
            try:
                return experiment.measure(self.study(shard.item))
            except NotApplicable as error:
                reason = error.reason
        return Record(absent=absents(experiment.name, "model", shard.item, self.settings, reason))

    # ---------------------------------------------------------- other relations
    @property
    def beside(self) -> list[str]:
        """The table's relations that are not studied, where an experiment asks for several facts per entity."""
        wanted = any("several_relations" in card(name).needs for name in self.experiments)
        return [r.name for r in self.table.relations if r.name not in self.prompts] if wanted else []

    def other_relation(self, shard: Shard) -> Record:
        """Which facts of a relation beside the studied ones are known, and the heads that read it."""
        name = shard.item
        prompts = self._asked(name)
        known = ask(self.model, prompts, self.settings).known
        reason = too_few(known, prompts, self.settings)
        heads = () if reason else reading_heads(Recall.of(self.model, prompts, known, self.settings))
        names = [prompts.facts[i].entity for i in np.flatnonzero(known)]
        found = json.dumps({"heads": heads, "known": names, "reason": reason})
        return Record(tables={"choices": pd.DataFrame({"relation": [name], "json": [found]})})

    def _others(self, name: str) -> tuple[OtherRelation, ...]:
        others = [
            OtherRelation(recall=self.recall(n), heads=circuit.readout_heads)
            for n, circuit in self.circuits.items()
            if n != name
        ]
        for beside, table in self.readers.items():
            found = json.loads(str(table["json"].iloc[0]))
            if found["heads"]:
                others.append(OtherRelation(recall=self._beside(beside, found), heads=_heads(found["heads"])))
        return tuple(others)

    def _beside(self, name: str, found: dict[str, list[str]]) -> Recall:
        if name not in self._recalls:
            prompts, names = self._asked(name), set(found["known"])
            known = np.array([fact.entity in names for fact in prompts.facts])
            self._recalls[name] = Recall.of(self.model, prompts, known, self.settings)
        return self._recalls[name]

    def _asked(self, name: str) -> RelationPrompts:
        return _prompts(self.model, self.table, name, getattr(self.model.config, "max_position_embeddings", None))

    # ------------------------------------------------------------------ line-up
    def members(self, studied: Sequence[str]) -> list[Shard]:
        """A shard for every member of every control of every relation that has a window."""
        return [
            Shard(LINEUP, f"{name}/{control.name}/{seed}")
            for name in studied
            if self.circuits[name].no_window is None
            for control in self.controls.values()
            for seed in range(control.n_members(self.settings))
        ]

    def member(self, shard: Shard) -> Record:
        """One member of a control, built and measured."""
        rest, _, seed = shard.item.rpartition("/")
        name, _, control = rest.rpartition("/")
        if name not in self._targets:
            self._targets[name] = Target.of(self.study(name).stack, self.settings)
        member = self.controls[control].build(self._targets[name], int(seed), self.settings)
        return measure_member(member, self.on_stacks, self.settings)

    def control(self, shard: Shard, members: Sequence[Record]) -> Record:
        """A control's rows over its members; all absent where there is nothing to build it from."""
        name, _, control = shard.item.rpartition("/")
        if members:
            return over_members(self.controls[control], name, members, self.on_stacks, self.settings)
        reason = self.too_few(name) or self.circuits[name].no_window or "no member was built"
        return no_lineup(self.controls[control], name, self.on_stacks, self.settings, reason)

    def too_few(self, name: str) -> str | None:
        """Why nothing more can be asked about a relation, or None."""
        return too_few(self.known[name].known, self.prompts[name], self.settings)

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

    def _otherwise(self, name: str) -> tuple[RelationPrompts, ...]:
        """The known facts asked as every other relation of the table."""
        known = set(self.prompts[name].take(self.known[name].known).entities)
        asked = []
        for relation in self.table.relations:
            if relation.name == name:
                continue
            limit = getattr(self.model.config, "max_position_embeddings", None)
            prompts = build_prompts(self.table, name, self.model.tokenizer, max_length=limit, asked_as=relation)
            asked.append(prompts.take([i for i, e in enumerate(prompts.entities) if e in known]))
        return tuple(asked)
