"""Read this first: plan → ask → search → measure → line up → judge → report.

Each stage is a list of shards that an executor runs; what a stage needs of the one before is read back from its
records, so that an interrupted study goes on where it was and ends in the same tables. What one shard does stands in
`work.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rote.circuit import Circuit, Recall, ask, search
from rote.errors import NotApplicable
from rote.execute import Executor, Inline, OnEvent
from rote.execute.abstract import Event, Finished, ignore
from rote.experiments import EXPERIMENTS, Experiment
from rote.facts import FactTable, read_facts
from rote.lineup import CONTROLS, Control
from rote.model import Model
from rote.model.memory import keep_freed_memory
from rote.provenance import describe
from rote.records import Record, RunFolder, Shard
from rote.results import Run
from rote.settings import Settings
from rote.work import Work, ask_all


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

    # plan: everything that can be refused is refused here
    table = facts if isinstance(facts, FactTable) else read_facts(facts)
    asked = ask_all(model, table, _relations(table, relation))
    run = RunFolder.open(folder, describe(model, table, list(asked), settings, experiments, controls), fresh=fresh)
    work = Work(
        model=model, table=table, prompts=asked, settings=settings, experiments=tuple(experiments), controls=controls
    )
    stages = _Stages(run=run, executor=executor or Inline(), on_event=on_event)

    # ask: which facts the model knows
    stages.finish(work.asking, work.known_facts)
    work.take_known(stages.records(work.asking))

    # search: the circuit of every relation of which enough is known, and who reads the table's other relations
    stages.finish(work.searching, work.circuit)
    work.take_circuits(stages.records(work.searching))
    stages.finish(work.reading, work.other_relation)
    work.take_readers(stages.records(work.reading))

    # measure: every experiment on the model, and on its effective model
    stages.finish(work.measuring, work.experiment)

    # line up: every member of every control measured as the effective model is, then every control over its members
    stages.finish(work.members, work.member)
    stages.finish(work.lineup, lambda shard: work.control(shard, stages.records(work.members_of(shard))))

    # judge and report: from the tables alone
    run.assemble([*work.asking, *work.searching, *work.measuring, *work.members, *work.lineup])
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
    work = Work(model=model, table=table, prompts={name: prompts}, settings=settings, experiments=())
    work.known = {name: ask(model, prompts, settings)}
    reason = work.too_few(name)
    if reason is not None:
        raise NotApplicable(reason)
    recall = work.recall(name)
    return search(recall), recall


def _relations(table: FactTable, relation: str | Sequence[str] | None) -> list[str]:
    chosen = table if relation is None else table.select(relation)
    return [r.name for r in chosen.relations]


@dataclass(kw_only=True)
class _Stages:
    """Runs shards that are not done yet, records each as soon as it is there."""

    run: RunFolder
    executor: Executor
    on_event: OnEvent

    def finish(self, shards: Sequence[Shard], work: Callable[[Shard], Record]) -> None:
        left = [shard for shard in shards if not self.run.done(shard)]
        for shard, record in self.executor.execute(lambda: None, lambda _, s: work(s), left, on_event=self._told):
            self.run.write(shard, record)

    def records(self, shards: Sequence[Shard]) -> list[Record]:
        """What finished shards yielded, as it was stored."""
        return [self.run.read(shard) for shard in shards]

    def _told(self, event: Event) -> None:
        if isinstance(event, Finished) and isinstance(event.shard, Shard):
            self.run.add_timing(event.shard, event.seconds)
        self.on_event(event)
