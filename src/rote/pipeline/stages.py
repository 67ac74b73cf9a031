"""The stages of a run: what is not done yet is done, recorded as soon as it is there, and told in the run's log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import getpid
from pathlib import Path
from typing import Any

from rote.errors import MeasurementError
from rote.execute import Executor, Inline, OnEvent
from rote.execute.abstract import Event, Finished, Lost, Planned, Started, Waiting, ignore
from rote.model.memory import keep_freed_memory, out_of_memory
from rote.model.threads import one_thread
from rote.records import Record, RunFolder, RunLog, Shard
from rote.records.log import story

_log = logging.getLogger(__name__)
Results = Callable[[list[Shard]], Iterator[tuple[Shard, Record]]]


def _nothing() -> None:
    """Nothing has to be made before shards are done."""


@dataclass(kw_only=True)
class Stages:
    """Each stage is a list of shards; a stage finds those of the stages before among the records.

    usual: seconds that kinds of shards usually take, for the estimate of the time that is left.
    """

    run: RunFolder
    on_event: OnEvent = ignore
    usual: Mapping[str, float] = field(default_factory=dict)
    in_flight: list[object] = field(default_factory=list)
    worked: bool = False

    def record(self, stage: str, shards: Sequence[Shard], results: Results, *, ahead: Sequence[Shard] = ()) -> None:
        """Record what `results` yields for the shards that are left; it has to tell its events to `told`.

        ahead: shards of later stages, for the estimate of the time that is left.
        """
        left = [shard for shard in shards if not self.run.done(shard)]
        if left:
            self.worked = True
            story.info("%s: %d of %d to do", stage, len(left), len(shards))
            self.on_event(Planned(stage=stage, shards=left, ahead=ahead, usual=self.usual))
        for shard, record in results(left):
            self.run.write(shard, record)
            self.in_flight.remove(shard)

    def complete(
        self,
        stage: str,
        shards: Sequence[Shard],
        do: Callable[[Shard], Record],
        *,
        executor: Executor | None = None,
        setup: Callable[[], object] = _nothing,
        ahead: Sequence[Shard] = (),
    ) -> None:
        """Record what `do` makes of every shard that is left: in this process, where records are, or by `executor`.

        setup: what a worker does first.
        """
        where = executor or Inline()
        self.record(
            stage,
            shards,
            lambda left: where.execute(setup, lambda _, shard: do(shard), left, on_event=self.told),
            ahead=ahead,
        )

    def close(self, stage: str) -> None:
        """The last stage has no shards of its own."""
        story.info(stage)
        if self.worked:
            self.on_event(Planned(stage=stage, shards=()))

    def records(self, shards: Sequence[Shard]) -> list[Record]:
        """What finished shards yielded, as it was stored; RunError for one that is not done."""
        return [self.run.read(shard) for shard in shards]

    def told(self, event: Event) -> None:
        """Keep the books of shards in flight and of seconds, and pass the event on."""
        if isinstance(event, Started):
            self.in_flight.append(event.shard)
        if isinstance(event, Lost):
            _log.warning("%s lost its worker and begins again (%s)", event.shard or "a setup", event.reason)
            self.in_flight = [shard for shard in self.in_flight if shard != event.shard]
        if isinstance(event, Finished) and isinstance(event.shard, Shard):
            story.info("%s took %.3f s", event.shard, event.seconds)
            self.run.add_timing(event.shard, event.seconds)
        self.on_event(event)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """The run's lock is held and its log is written until the end, however that comes.

        MeasurementError where memory ran out, with what was at work.
        """
        with self.run, RunLog(self.run.log):
            self._tell_of_beginning()
            with self._told_of_end():
                yield

    def _tell_of_beginning(self) -> None:
        run = self.run
        for notice in run.notices:
            _log.warning(notice)
        if run.discarded:
            story.info("started over, discarded %d files: %s", len(run.discarded), ", ".join(run.discarded))
        versions = ", ".join(f"{name} {number}" for name, number in run.study["versions"].items())
        about = run.study.get("model") or run.study.get("toy")
        story.info("study %s of %s begins in process %d (%s)", run.fingerprint[:12], about, getpid(), versions)

    @contextmanager
    def _told_of_end(self) -> Iterator[None]:
        """Out of memory becomes an error that says what can be done."""
        try:
            yield
        except KeyboardInterrupt:
            story.warning("interrupted at %s; the same study goes on from there", self._at)
            raise
        except (MemoryError, RuntimeError) as error:
            story.exception("ended at %s", self._at)
            if not out_of_memory(error):
                raise
            raise MeasurementError(
                f"out of memory at {self._at}: {(str(error).splitlines() or ['MemoryError'])[0]} "
                "What is finished is stored, and the same command goes on from there with more memory or nothing "
                "beside it. A smaller batch_size needs less but makes another study, in another folder."
            ) from error
        except BaseException:
            story.exception("ended at %s", self._at)
            raise
        story.info("study %s is finished", self.run.fingerprint[:12])

    @property
    def _at(self) -> str:
        """The shards in flight, in words."""
        return ", ".join(map(str, self.in_flight)) or "no shard"


@contextmanager
def small_work(
    described: Callable[[], dict[str, Any]], folder: str | Path, *, fresh: bool, wait: bool, on_event: OnEvent
) -> Iterator[Stages]:
    """The stages of a run of many small shards, each done on one thread, here or elsewhere.

    `described` gives the content of study.json. Raises RunError where the folder holds another run, or another
    process writes it and `wait` is not asked for.
    """
    keep_freed_memory()
    with one_thread():
        run = RunFolder.open(
            folder, described(), fresh=fresh, wait=wait, on_wait=lambda reason: on_event(Waiting(reason=reason))
        )
        stages = Stages(run=run, on_event=on_event)
        with stages.recorded():
            yield stages
