"""The loop of executors whose workers are elsewhere, with workers that are nowhere: whatever they do, all is told."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from rote.execute import Event, Failed, Finished, Inline, Interrupted, Lost, Started
from rote.execute.carried import answered
from rote.execute.pump import Crew, Elsewhere, Ended

SHARDS = tuple(range(7))


@dataclass
class Script(Crew):
    """So many workers; the newest shard ends first, each of `deadly` loses its worker so many times before."""

    workers: int
    deadly: dict[Hashable, int] = field(default_factory=dict)
    shards: list[Hashable] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    given_up: int = 0
    exits: list[object] = field(default_factory=list)

    def prepare(self, setup: Callable[[], Any], work: Callable[[Any, Any], Any]) -> None:
        self.state, self.work = setup(), work

    @property
    def busy(self) -> Collection[Hashable]:
        return self.shards

    def give(self, shard: Hashable) -> bool:
        if len(self.shards) == self.workers:
            return False
        self.shards.append(shard)
        return True

    def ends(self, waiting: int) -> Iterator[Ended]:
        self.waiting.append(waiting)
        shard = self.shards.pop()
        if self.deadly.get(shard, 0):
            self.deadly[shard] -= 1
            yield Lost(shard=None, reason="its setup", times=1)
            yield Lost(shard=shard, reason="gone", times=1)
        else:
            yield shard, answered(lambda: self.work(self.state, shard), pickle.dumps)

    def give_up(self) -> None:
        self.given_up += 1
        self.shards.clear()

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.exits.append(kind)


@dataclass
class Scripted(Elsewhere):
    """The executor of a script."""

    script: Script

    def _crew(self, n_shards: int | None) -> Crew:
        return self.script


def square(state: int, shard: int) -> int:
    return state * shard**2


@pytest.mark.parametrize("deadly", [{}, {2: 1}, {0: 2, 6: 1}], ids=repr)
@pytest.mark.parametrize("workers", [1, 2, 5, 9])
def test_every_shard_is_yielded_once_whoever_is_lost(workers: int, deadly: dict[Hashable, int]) -> None:
    events: list[Event] = []
    script = Script(workers, dict(deadly))
    found = list(Scripted(script).execute(lambda: 3, square, SHARDS, on_event=events.append))
    assert sorted(found) == list(Inline().execute(lambda: 3, square, SHARDS))
    for shard in SHARDS:
        told = [Started, Lost] * deadly.get(shard, 0) + [Started, Finished]
        assert [type(e) for e in events if e.shard == shard] == told
    assert script.waiting[0] == max(0, len(SHARDS) - workers) and script.waiting[-1] == 0
    assert script.given_up == 1 and script.exits == [None]


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_than_the_workers_are_ahead_of_the_results(workers: int) -> None:
    begun, most = 0, 0

    def count(event: Event) -> None:
        nonlocal begun
        begun += isinstance(event, Started)

    for taken, _ in enumerate(Scripted(Script(workers)).execute(lambda: 1, square, SHARDS, on_event=count)):
        most = max(most, begun - taken)
    assert most == workers + 1  # also the one whose result was just taken


@pytest.mark.parametrize("n", range(6))
@pytest.mark.parametrize("workers, oldest", [(1, [0, None, 1, None, 2, None]), (2, [0, 0, 0, 0, 0, None])])
def test_ctrl_c_at_any_event_names_the_shard_in_flight_longest_if_one_is(
    workers: int, oldest: list[int | None], n: int
) -> None:
    events: list[Event] = []

    def stop(event: Event) -> None:
        events.append(event)
        if len(events) == n + 1:
            raise KeyboardInterrupt

    script = Script(workers)
    with pytest.raises(KeyboardInterrupt):
        list(Scripted(script).execute(lambda: 1, square, (0, 1, 2), on_event=stop))
    assert events[n + 1 :] == [Interrupted(shard=oldest[n])]
    assert script.given_up == 1 and script.exits == [KeyboardInterrupt]


def test_a_failure_is_told_raised_and_ends_the_call_but_not_the_session() -> None:
    events: list[Event] = []
    script = Script(2)
    with Scripted(script).session() as running:
        with pytest.raises(ZeroDivisionError) as caught:
            list(running.execute(lambda: 1, lambda _, shard: 1 // shard, (1, 0, 2), on_event=events.append))
        assert isinstance(events[-1], Failed) and events[-1].shard == 0 and events[-1].error is caught.value
        assert script.given_up == 1 and not script.exits
        assert dict(running.execute(lambda: 1, square, (1, 0, 2))) == {1: 1, 0: 0, 2: 4}
    assert script.exits == [None]
