"""Shards in processes: every shard once, one thread and one setup a worker; failures are told; no worker is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from rote.errors import InputError, WorkerLost
from rote.execute import Event, Failed, Finished, Interrupted, Processes, Started
from rote.model import Site
from rote.model.hooks import NonFinite

TWO = Processes(workers=2)


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_every_shard_is_done_once_in_few_processes_each_set_up_once() -> None:
    events: list[Event] = []

    def setup() -> tuple[int, float]:
        return os.getpid(), time.monotonic()

    def work(state: tuple[int, float], shard: int) -> tuple[int, tuple[int, float], str]:
        return shard**2, state, os.environ["OMP_NUM_THREADS"]

    shards = range(12)
    found = dict(TWO.execute(setup, work, shards, on_event=events.append))
    assert {shard: square for shard, (square, _, _) in found.items()} == {shard: shard**2 for shard in shards}
    states = {state for _, state, _ in found.values()}
    assert 1 <= len(states) <= 2 and len({pid for pid, _ in states}) == len(states)
    assert os.getpid() not in {pid for pid, _ in states} and {threads for *_, threads in found.values()} == {"1"}
    assert sorted(e.shard for e in events if isinstance(e, Started)) == list(shards)
    assert sorted(e.shard for e in events if isinstance(e, Finished)) == list(shards)
    assert eventually(lambda: not any(alive(pid) for pid, _ in states))


def test_a_session_keeps_its_workers_and_their_state_until_a_call_is_given_up() -> None:
    def setup() -> tuple[int, float]:
        return os.getpid(), time.monotonic()

    def work(state: tuple[int, float], shard: int) -> tuple[int, float]:
        time.sleep(0.1 / shard)
        return state

    with TWO.session() as running:
        assert running.elsewhere
        before = {state for _ in range(3) for _, state in running.execute(setup, work, range(1, 9))}
        assert 1 <= len(before) <= 2
        with pytest.raises(ZeroDivisionError):
            list(running.execute(setup, work, range(5)))
        assert eventually(lambda: not any(alive(pid) for pid, _ in before))
        after = {state for _, state in running.execute(setup, work, range(1, 9))}
        assert not before & after
    assert eventually(lambda: not any(alive(pid) for pid, _ in after))


def test_a_session_that_ends_in_an_error_waits_for_nobody() -> None:
    """Also where the results were not given up: an exception's traceback keeps their generator."""

    def work(_: None, shard: int) -> int:
        if shard:
            time.sleep(60)
        return os.getpid()

    begin = time.monotonic()
    with pytest.raises(OSError, match="full"), TWO.session() as running:
        results = running.execute(lambda: None, work, (0, 1, 2))
        _, pid = next(iter(results))
        raise OSError("the disk is full")
    assert time.monotonic() - begin < 30
    assert eventually(lambda: not alive(pid))


def test_no_more_than_the_workers_are_ahead_of_the_results() -> None:
    events: list[Event] = []
    results = TWO.execute(lambda: None, lambda _, shard: shard, range(9), on_event=events.append)
    assert events == []
    for taken, _ in enumerate(results, start=1):
        assert sum(isinstance(e, Started) for e in events) <= taken + 2


def test_without_shards_nothing_is_set_up() -> None:
    assert list(TWO.execute(lambda: 1 / 0, lambda state, shard: shard, ())) == []


def test_a_failure_is_told_and_raised_as_it_was() -> None:
    events: list[Event] = []
    with pytest.raises(ZeroDivisionError) as caught:
        list(TWO.execute(lambda: None, lambda _, shard: 1 // shard, (2, 0, 1), on_event=events.append))
    assert "On the worker:" in caught.value.__notes__[0] and "1 // shard" in caught.value.__notes__[0]
    failed = events[-1]
    assert isinstance(failed, Failed) and failed.shard == 0 and isinstance(failed.error, ZeroDivisionError)


def test_a_setup_that_fails_belongs_to_no_shard() -> None:
    events: list[Event] = []

    def setup() -> None:
        raise OSError("no such model")

    with pytest.raises(OSError, match="no such model"):
        list(TWO.execute(setup, lambda _, shard: shard, (1,), on_event=events.append))
    assert isinstance(events[-1], Failed) and events[-1].shard is None


def test_what_cannot_be_pickled_on_its_way_back_is_told() -> None:
    events: list[Event] = []
    with pytest.raises(Exception, match="pickle"):
        list(TWO.execute(lambda: None, lambda _, shard: threading.Lock(), (1,), on_event=events.append))
    assert isinstance(events[-1], Failed) and events[-1].shard == 1


def test_a_killed_worker_ends_the_run_with_advice() -> None:
    def work(_: None, shard: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkerLost, match=r"killed from outside, perhaps because memory ran out; .* the same command"):
        list(TWO.execute(lambda: None, work, (1, 2)))


def test_a_worker_that_is_killed_between_two_calls_is_told_and_replaced() -> None:
    def work(_: None, shard: int) -> int:
        return os.getpid()

    with TWO.session() as running:
        for _, pid in list(running.execute(lambda: None, work, (1, 2))):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(1.0)
        with pytest.raises(WorkerLost, match="nothing to do was killed from outside"):
            list(running.execute(lambda: None, work, (3, 4)))
        assert dict(running.execute(lambda: None, work, (5, 6))).keys() == {5, 6}


class Odd(Exception):
    """Comes out of a pickle with one argument too few."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} at {where}")


def test_an_exception_that_cannot_be_pickled_is_told_by_its_name_and_the_workers_live_on() -> None:
    def work(_: None, shard: int) -> int:
        if shard == 2:
            raise Odd("NaN", "layer 3")
        return os.getpid()

    events: list[Event] = []
    with pytest.raises(WorkerLost, match="Odd on a worker, which cannot be pickled: NaN at layer 3"):
        list(TWO.execute(lambda: None, work, (1, 2), on_event=events.append))
    assert isinstance(events[-1], Failed) and events[-1].shard == 2


def test_a_site_that_is_not_finite_is_named_from_a_worker() -> None:
    def work(_: None, shard: int) -> None:
        raise NonFinite(Site("mlp_out", 3), 1, where=" for the prompt 'a'")

    with pytest.raises(NonFinite, match=r"at mlp_out\[?.*3.* for the prompt 'a'") as caught:
        list(TWO.execute(lambda: None, work, (1,)))
    assert caught.value.site == Site("mlp_out", 3) and caught.value.row == 1


def test_ctrl_c_is_told_and_leaves_no_worker() -> None:
    events: list[Event] = []

    def stop(event: Event) -> None:
        events.append(event)
        if isinstance(event, Finished):
            raise KeyboardInterrupt

    seen: list[int] = []

    def work(_: None, shard: int) -> int:
        if shard:
            time.sleep(60)
        return os.getpid()

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        seen.extend(pid for _, pid in TWO.execute(lambda: None, work, (0, 1, 2), on_event=stop))
    assert isinstance(events[-1], Interrupted) and events[-1].shard in (1, 2)
    assert time.monotonic() - begin < 30


SCRIPT = """
import os, time
from rote.execute import Processes

def work(_, shard):
    if shard:
        time.sleep(60)
    return os.getpid()

for shard, pid in Processes(workers=1).execute(lambda: None, work, (0, 1)):
    print(pid, flush=True)
"""


def test_workers_end_soon_after_their_parent_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert alive(worker)
        parent.kill()
    assert eventually(lambda: not alive(worker))


def test_fewer_than_one_worker_is_refused() -> None:
    with pytest.raises(InputError, match="workers is 0; expected at least 1"):
        Processes(workers=0)
