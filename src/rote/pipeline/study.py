"""Read this first: plan → ask → search → prepare → measure → line up → judge → report.

Each stage is a list of shards that an executor runs; what a stage needs of the one before is read back from its
records, so that an interrupted study goes on where it was and ends in the same tables. What one shard does stands in
`work.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd

from rote.asking import Recall, ask
from rote.circuit import Circuit, search
from rote.errors import ModelRefused, NotApplicable
from rote.execute import Executor, Inline, OnEvent
from rote.execute.abstract import Waiting, ignore
from rote.experiments import ENTRIES
from rote.experiments.base import Experiment
from rote.experiments.entry import Draw, Entry
from rote.facts import FactTable, read_facts
from rote.lineup import CONTROLS, Control
from rote.model import Model, ModelSpec
from rote.model.memory import keep_freed_memory
from rote.pipeline.brought import chosen
from rote.pipeline.choosing import studied
from rote.pipeline.questions import Questions
from rote.pipeline.run import Run
from rote.pipeline.shards import Agenda, Found
from rote.pipeline.stages import Stages
from rote.pipeline.worker import Step, Work, planned, prepare, require_facts
from rote.records import Record, RunFolder, Shard
from rote.settings import Settings
from rote.text import Text, read_text


def study(
    model: Model | ModelSpec,
    facts: FactTable | str | Path | pd.DataFrame | None = None,
    *,
    folder: str | Path,
    text: Text | str | Path | Sequence[str | Path] | None = None,
    relation: str | Sequence[str] | None = None,
    settings: Settings | None = None,
    experiments: Sequence[Experiment | Entry] = ENTRIES,
    controls: Sequence[Control] = CONTROLS,
    executor: Executor | None = None,
    fresh: bool = False,
    wait: bool = False,
    rehearse: bool = False,
    leave_out: bool = True,
    drawn: Mapping[str, Draw] | None = None,
    on_event: OnEvent = ignore,
) -> Run:
    """Run a whole study, or what is left of it, and write its tables, verdicts and report into `folder`.

    What is finished is stored shard by shard: after an interruption or a crash the same call goes on where it was.

    Args:
        model: loaded, or named by a `ModelSpec`; with workers elsewhere, a named one is loaded by them alone.
        facts: a table, or what `read_facts` takes; all its relations are studied unless `relation` names some,
            but no more than `rote.pipeline.choosing.MOST_UNASKED` where a circuit is searched for. None where every
            chosen experiment reads a text.
        text: a text, or files of it, for the experiments that read one; without it they are absent.
        experiments: which, by default all: instances with parameters of their own, entries, and those of yours.
        controls: the line-up; none leaves it out, and every verdict with it.
        executor: where the work is done, by default in this process; `rote.Ray(...)` for a cluster.
        fresh: start over: everything that rote wrote into the folder is deleted (`rote.records.look` says what).
        wait: where another process writes the folder, wait until it has ended.
        leave_out: a relation that was asked for and cannot be asked is left out, and its figures are absent with the
            reason; False refuses it. Where none can be asked, all are refused.
        drawn: how the report shows experiments of yours that were given without an entry, by name.
        rehearse: every fact counts as known, to see how long a study takes on random weights; no verdict is given.

    Raises:
        InputError: facts, model or settings cannot be used; nothing has been written.
        RunError: the folder holds another study (the differences are shown), or another process writes it.
        MeasurementError, StorageError: work cannot go on (numbers that are not finite, memory, disk); what is
            stored is whole, and the same call goes on from there.
    """
    settings, executor = settings or Settings(), executor or Inline()
    table = facts if isinstance(facts, FactTable) or facts is None else read_facts(facts)
    words = text if isinstance(text, Text) or text is None else read_text(text)
    measured, sections = chosen(experiments)
    require_facts(table, words, measured)
    relations, lineup = ([], ()) if table is None else (studied(table, relation, measured), tuple(controls))
    setup = _setup(model, executor, table, relations, settings, measured, lineup, words, rehearse, leave_out)

    with executor.session() as workers:
        # plan: everything that can be refused is refused here
        ((_, (agenda, described)),) = workers.execute(setup, planned, ["plan"])
        run = RunFolder.open(
            folder, described, fresh=fresh, wait=wait, on_wait=lambda reason: on_event(Waiting(reason=reason))
        )
        stages = _OnWorkers(
            run=run,
            executor=workers,
            setup=setup,
            agenda=agenda,
            described=described,
            on_event=on_event,
            usual=agenda.usual_seconds,
        )
        with stages.recorded():
            return _finish(run, agenda, stages, {**sections, **(drawn or {})})


def _finish(run: RunFolder, agenda: Agenda, stages: _OnWorkers, sections: Mapping[str, Draw]) -> Run:
    # ask: which facts the model knows
    stages.finish("asking in slices", agenda.slices, Work.slice_of_facts, ahead=agenda.asking)
    agenda.take_slices(stages.records(agenda.slices))
    stages.finish("asking", agenda.asking, Work.known_facts)
    agenda.take_known(stages.records(agenda.asking))

    # search: the circuit of every relation of which enough is known, and who reads the table's other relations
    stages.finish("searching", agenda.searching, Work.circuit, ahead=agenda.measuring)
    agenda.take_circuits(stages.records(agenda.searching))
    later = [*agenda.once, *agenda.members, *agenda.lineup]
    stages.finish("reading", agenda.reading, Work.other_relation, ahead=[*agenda.measuring, *later])
    agenda.take_readers(stages.records(agenda.reading))

    # prepare: what experiments train and keep, before they are measured
    stages.finish("preparing", agenda.preparing, Work.prepared, ahead=[*agenda.measuring, *later])
    agenda.take_prepared(stages.records(agenda.preparing))

    # measure: every experiment on the model, and on its effective model; then, once, those that ask no facts
    stages.finish("measuring", agenda.measuring, Work.experiment, ahead=later)
    stages.finish("measuring without facts", agenda.once, Work.without_facts, ahead=[*agenda.members, *agenda.lineup])

    # line up: every member of every control measured as the effective model is, then every control over its members
    stages.finish("lining up", agenda.members, Work.member, ahead=agenda.lineup)
    over = agenda.control
    stages.complete("comparing", agenda.lineup, lambda s: over(s, stages.records(agenda.members_of(s))))

    # judge and report: from the tables alone
    stages.close("tables, verdicts and report")
    measured = [*agenda.asking, *agenda.searching, *agenda.reading, *agenda.measuring, *agenda.once]
    run.assemble([*measured, *agenda.members, *agenda.lineup])
    result = Run(records=run)
    result.judge()
    result.report(sections)
    return result


def find_circuit(
    model: Model,
    facts: FactTable | str | Path | pd.DataFrame,
    *,
    relation: str | None = None,
    settings: Settings | None = None,
) -> tuple[Circuit, Recall]:
    """The circuit of one relation, without a run folder; `circuit.effective_model(recall)` distils it.

    Raises NotApplicable where the model knows too few of the facts, InputError for facts that cannot be used. Where
    there is no window the circuit says so.
    """
    keep_freed_memory()
    settings = settings or Settings()
    table = facts if isinstance(facts, FactTable) else read_facts(facts)
    name = (table if relation is None else table.select(relation)).relations[0].name
    questions = Questions(model=model, table=table, settings=settings)
    work = Work(model=model, questions=questions, relations=[name], settings=settings, experiments=())
    work.found = Found(known={name: ask(model, questions.of(name), settings)})
    reason = work.too_few(name)
    if reason is not None:
        raise NotApplicable(reason)
    recall = work.recall(name)
    return search(recall), recall


def _setup(
    model: Model | ModelSpec, executor: Executor, table: FactTable | None, relations: Sequence[str], *rest: Any
) -> Callable[[], Work]:
    """What makes a worker's state: once in this process, or anew in every process elsewhere."""
    if not executor.elsewhere:
        return cache(partial(prepare, model, table, relations, *rest))
    spec = model.spec if isinstance(model, Model) else model
    if spec is None:
        raise ModelRefused(
            f"{model} was given as a module, which workers elsewhere cannot load; expected a hub id or a folder that "
            "every node sees: save it there with save_pretrained, and load it with rote.load_model or a rote.ModelSpec"
        )
    return partial(prepare, spec, table, relations, *rest)


@dataclass(kw_only=True)
class _OnWorkers(Stages):
    """A study's stages: on workers that hold the model, and are handed what earlier stages have found."""

    executor: Executor
    setup: Callable[[], Work]
    agenda: Agenda
    described: dict[str, Any]

    def finish(
        self, stage: str, shards: Sequence[Shard], do: Callable[[Work, Shard], Record], *, ahead: Sequence[Shard] = ()
    ) -> None:
        step = Step(do=do, found=self.agenda.found, described=self.described)
        self.record(
            stage,
            shards,
            lambda left: self.executor.execute(self.setup, step, left, on_event=self.told),
            ahead=ahead,
        )
