"""Read this first: plan → ask → search → measure → line up → judge → report.

Each stage is a list of shards that an executor runs; what a stage needs of the one before is read back from its
records, so that an interrupted study goes on where it was and ends in the same tables. What one shard does stands in
`work.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import getpid
from pathlib import Path

import pandas as pd
import torch

from rote.circuit import Circuit, Recall, ask, search
from rote.errors import MeasurementError, NotApplicable
from rote.execute import Executor, Inline, OnEvent
from rote.execute.abstract import Event, Finished, Planned, Started, Waiting, ignore
from rote.experiments import EXPERIMENTS, Experiment
from rote.facts import FactTable, read_facts
from rote.lineup import CONTROLS, Control
from rote.model import Model
from rote.model.memory import keep_freed_memory
from rote.provenance import describe
from rote.records import Record, RunFolder, RunLog, Shard
from rote.records.log import story
from rote.results import Run
from rote.settings import Settings
from rote.work import Work, ask_all

_log = logging.getLogger(__name__)


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
    wait: bool = False,
    on_event: OnEvent = ignore,
) -> Run:
    """Run a whole study, or what is left of it, and write its tables, verdicts and report into `folder`.

    What is finished is stored shard by shard: after an interruption or a crash the same call goes on where it was.

    Args:
        facts: a table, or what `read_facts` takes; all its relations are studied unless `relation` names some.
        controls: the line-up; none leaves it out, and every verdict with it.
        fresh: start over: everything that rote wrote into the folder is deleted (`rote.records.look` says what).
        wait: where another process writes the folder, wait until it has ended.

    Raises:
        InputError: facts, model or settings cannot be used; nothing has been written.
        RunError: the folder holds another study (the differences are shown), or another process writes it.
        MeasurementError, StorageError: work cannot go on (numbers that are not finite, memory, disk); what is
            stored is whole, and the same call goes on from there.
    """
    keep_freed_memory()
    settings = settings or Settings()

    # plan: everything that can be refused is refused here
    table = facts if isinstance(facts, FactTable) else read_facts(facts)
    asked = ask_all(model, table, _relations(table, relation))
    described = describe(model, table, list(asked), settings, experiments, controls)
    work = Work(
        model=model, table=table, prompts=asked, settings=settings, experiments=tuple(experiments), controls=controls
    )
    run = RunFolder.open(
        folder, described, fresh=fresh, wait=wait, on_wait=lambda reason: on_event(Waiting(reason=reason))
    )
    stages = _Stages(run=run, executor=executor or Inline(), on_event=on_event)
    with run, RunLog(run.log), _logged(run, stages):
        return _finish(run, work, stages)


def _finish(run: RunFolder, work: Work, stages: _Stages) -> Run:
    # ask: which facts the model knows
    stages.finish("asking", work.asking, work.known_facts)
    work.take_known(stages.records(work.asking))

    # search: the circuit of every relation of which enough is known, and who reads the table's other relations
    stages.finish("searching", work.searching, work.circuit, ahead=work.measuring)
    work.take_circuits(stages.records(work.searching))
    stages.finish("reading", work.reading, work.other_relation, ahead=[*work.measuring, *work.members, *work.lineup])
    work.take_readers(stages.records(work.reading))

    # measure: every experiment on the model, and on its effective model
    stages.finish("measuring", work.measuring, work.experiment, ahead=[*work.members, *work.lineup])

    # line up: every member of every control measured as the effective model is, then every control over its members
    stages.finish("lining up", work.members, work.member, ahead=work.lineup)
    stages.finish("comparing", work.lineup, lambda shard: work.control(shard, stages.records(work.members_of(shard))))

    # judge and report: from the tables alone
    stages.close("tables, verdicts and report")
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
    in_flight: object = None
    worked: bool = False

    def finish(
        self, stage: str, shards: Sequence[Shard], work: Callable[[Shard], Record], *, ahead: Sequence[Shard] = ()
    ) -> None:
        left = [shard for shard in shards if not self.run.done(shard)]
        if left:
            self.worked = True
            story.info("%s: %d of %d to do", stage, len(left), len(shards))
            self.on_event(Planned(stage=stage, shards=left, ahead=ahead))
        for shard, record in self.executor.execute(lambda: None, lambda _, s: work(s), left, on_event=self._told):
            self.run.write(shard, record)
            self.in_flight = None

    def close(self, stage: str) -> None:
        """The last stage has no shards of its own."""
        story.info(stage)
        if self.worked:
            self.on_event(Planned(stage=stage, shards=()))

    def records(self, shards: Sequence[Shard]) -> list[Record]:
        """What finished shards yielded, as it was stored."""
        return [self.run.read(shard) for shard in shards]

    def _told(self, event: Event) -> None:
        if isinstance(event, Started):
            self.in_flight = event.shard
        if isinstance(event, Finished) and isinstance(event.shard, Shard):
            story.info("%s took %.3f s", event.shard, event.seconds)
            self.run.add_timing(event.shard, event.seconds)
        self.on_event(event)


@contextmanager
def _logged(run: RunFolder, stages: _Stages) -> Iterator[None]:
    """How the study began and ended, in its log; out of memory becomes an error that says what can be done."""
    for notice in run.notices:
        _log.warning(notice)
    if run.discarded:
        story.info("started over, discarded %d files: %s", len(run.discarded), ", ".join(run.discarded))
    versions = ", ".join(f"{name} {number}" for name, number in run.study["versions"].items())
    story.info("study %s of %s begins in process %d (%s)", run.fingerprint[:12], run.study["model"], getpid(), versions)
    try:
        yield
    except KeyboardInterrupt:
        story.warning("interrupted at %s; the same study goes on from there", stages.in_flight)
        raise
    except (MemoryError, RuntimeError) as error:
        story.exception("ended at %s", stages.in_flight)
        if not _out_of_memory(error):
            raise
        raise MeasurementError(
            f"out of memory at {stages.in_flight}: {(str(error).splitlines() or ['MemoryError'])[0]} "
            "What is finished is stored, and the same command goes on from there with more memory or nothing beside "
            "it. A smaller batch_size needs less but makes another study, in another folder."
        ) from error
    except BaseException:
        story.exception("ended at %s", stages.in_flight)
        raise
    story.info("study %s is finished", run.fingerprint[:12])


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)
