"""The Ray executor does what the inline one does, on workers that may die; on a cluster of this machine, toy work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rote.errors import FactsError, InputError, NotApplicable, WorkerLost
from rote.execute import Event, Executor, Failed, Finished, Inline, Interrupted, Lost, Ray, Started
from rote.execute import ray_workers as module

ray = pytest.importorskip("ray")

HERE = sys.modules[__name__]  # no package that workers could import
ONE, TWO = (Ray(workers=n, retries=1, modules=(HERE,)) for n in (1, 2))
STORE_BYTES = 100 * 2**20


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """CPUs in name only: two for the workers that stay, two for those of single tests."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        address="local", num_cpus=4, object_store_memory=STORE_BYTES, include_dashboard=False, log_to_driver=False,
        logging_level="error",
    )  # fmt: skip
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def two() -> Iterator[Executor]:
    """Two workers for every test whose setup is `counted`."""
    with TWO.session() as running:
        yield running


def counted() -> list[int]:
    """A state that tells how often it was asked, and in which process."""
    return [0, os.getpid()]


def asked(state: list[int], shard: int) -> tuple[int, int, int]:
    state[0] += 1
    time.sleep(0.05)
    return shard * shard, state[0], state[1]


def gone(process: int, within_s: float = 20.0) -> bool:
    """Whether a process ends, or has ended."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


def test_results_are_those_of_the_inline_executor(two: Executor) -> None:
    shards = tuple(range(12))
    events: list[Event] = []
    found = list(two.execute(counted, asked, shards, on_event=events.append))
    here = list(Inline().execute(counted, asked, shards))
    assert sorted((shard, value[0]) for shard, value in found) == [(shard, value[0]) for shard, value in here]
    for shard in shards:
        assert [type(event) for event in events if event.shard == shard] == [Started, Finished]
    assert all(event.seconds >= 0.05 for event in events if isinstance(event, Finished))


def test_the_setup_runs_once_per_worker_and_its_state_stays_for_the_session(two: Executor) -> None:
    before = {pid: n for _, (_, n, pid) in two.execute(counted, asked, tuple(range(6)))}
    after = [(n, pid) for _, (_, n, pid) in two.execute(counted, asked, tuple(range(6)))]
    assert set(before) & {pid for _, pid in after}
    assert all(n > before[pid] for n, pid in after if pid in before)
    assert os.getpid() not in before


def test_without_shards_nothing_is_set_up() -> None:
    def setup() -> None:
        raise AssertionError("there is nothing to do")

    assert list(TWO.execute(setup, lambda state, shard: shard, ())) == []


def test_threads_are_those_asked_for(two: Executor) -> None:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    ((_, found),) = two.execute(counted, lambda state, shard: [os.environ[name] for name in names], (0,))
    assert found == ["1", "1", "1"]


@pytest.mark.parametrize("error", [NotApplicable("too few"), FactsError(["a", "b"]), KeyError("x")], ids=repr)
def test_an_exception_is_the_one_that_was_raised(error: Exception, two: Executor) -> None:
    events: list[Event] = []

    def work(state: object, shard: int) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        list(two.execute(counted, work, (7,), on_event=events.append))
    assert type(caught.value) is type(error) and caught.value.args == error.args
    assert getattr(caught.value, "problems", None) == getattr(error, "problems", None)
    assert "On the worker:" in caught.value.__notes__[0] and "in work" in caught.value.__notes__[0]
    failed = events[-1]
    assert isinstance(failed, Failed) and failed.shard == 7 and failed.error is caught.value


def test_what_cannot_be_pickled_is_said(two: Executor) -> None:
    class Odd(Exception):
        def __init__(self, lock: Any) -> None:
            super().__init__("odd")
            self.lock = lock

    def odd(state: object, shard: int) -> None:
        raise Odd(threading.Lock())

    with pytest.raises(WorkerLost, match=r"Odd on a worker, which cannot be pickled: odd"):
        list(two.execute(counted, odd, (0,)))
    with pytest.raises(TypeError, match="lock"):
        list(two.execute(counted, lambda state, shard: threading.Lock(), (0,)))


def test_a_setup_that_fails_belongs_to_no_shard() -> None:
    events: list[Event] = []

    def setup() -> None:
        raise OSError("no such model")

    with pytest.raises(OSError, match="no such model"):
        list(ONE.execute(setup, lambda state, shard: shard, (1,), on_event=events.append))
    assert isinstance(events[-1], Failed) and events[-1].shard is None


def test_a_module_that_workers_lack_is_named_with_what_to_do() -> None:
    from ray import cloudpickle

    cloudpickle.unregister_pickle_by_value(HERE)
    try:
        with pytest.raises(ModuleNotFoundError, match=__name__) as caught:
            list(Ray(workers=1).execute(counted, asked, (0,)))
    finally:
        cloudpickle.register_pickle_by_value(HERE)
    assert "Ray(modules=" in caught.value.__notes__[-1]


def test_a_shard_whose_worker_is_killed_runs_again(tmp_path: Path) -> None:
    events: list[Event] = []
    marker = tmp_path / "killed"

    def work(state: list[int], shard: int) -> int:
        if shard == 3 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return asked(state, shard)[0]

    found = sorted(TWO.execute(counted, work, tuple(range(6)), on_event=events.append))
    assert found == [(shard, shard * shard) for shard in range(6)]
    lost = [event for event in events if isinstance(event, Lost)]
    assert [(event.shard, event.times) for event in lost] == [(3, 1)]
    assert [type(event) for event in events if event.shard == 3] == [Started, Lost, Started, Finished]


def test_a_shard_that_kills_every_worker_is_named() -> None:
    def work(state: list[int], shard: str) -> None:
        os._exit(1)

    with pytest.raises(WorkerLost, match="the deadly one lost its worker 2 times"):
        list(ONE.execute(counted, work, ("the deadly one",)))


def test_a_setup_that_kills_every_worker_ends_too() -> None:
    with pytest.raises(WorkerLost, match="the setup lost its worker 1 times"):
        list(replace(ONE, retries=0).execute(lambda: os._exit(1), asked, (0,)))


def test_a_worker_that_finds_no_place_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.2)
    with pytest.raises(WorkerLost, match=r"1 CPU and 1 GPU, the cluster has 4 CPU and 0 GPU"):
        list(replace(ONE, gpus_per_worker=1, patience_s=0.5).execute(counted, asked, (0,)))


def test_no_more_than_a_shard_per_worker_is_ahead_of_the_results_taken(two: Executor) -> None:
    """Results of 1.5 times the object store in all, taken slowly: none is lost, and only two are ever waited for."""
    begun, taken, most = 0, 0, 0

    def count(event: Event) -> None:
        nonlocal begun, most
        begun += isinstance(event, Started)
        most = max(most, begun - taken)

    size = 15 * 2**20
    for _, result in two.execute(counted, lambda state, shard: bytes([shard]) * size, tuple(range(10)), on_event=count):
        time.sleep(0.1)
        assert len(result) == size
        taken += 1
    assert taken == 10
    assert most == 3  # two at work, and the one that is just being handed over


def test_ctrl_c_in_the_middle_is_told_and_ends_the_workers() -> None:
    events: list[Event] = []
    processes: set[int] = set()

    def interrupt(event: Event) -> None:
        events.append(event)
        if isinstance(event, Started) and event.shard == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for _, (_, _, pid) in TWO.execute(counted, asked, tuple(range(40)), on_event=interrupt):
            processes.add(pid)
    begun, done = ([e.shard for e in events if isinstance(e, kind)] for kind in (Started, Finished))
    assert events[-1] == Interrupted(shard=next(shard for shard in begun if shard not in done))
    assert processes and all(gone(pid) for pid in processes)


def test_what_cannot_be_asked_for_is_refused_at_once() -> None:
    with pytest.raises(InputError) as refused:
        Ray(workers=0, retries=-1)
    assert len(refused.value.problems) == 2


def test_sigint_leaves_no_process_behind(tmp_path: Path) -> None:
    """A program with a cluster of its own, interrupted as a terminal does it: the whole process group at once."""
    script, seen = tmp_path / "program.py", tmp_path / "seen"
    script.write_text(
        textwrap.dedent(f"""
        import os, sys, time
        from rote.execute import Ray

        def work(state, shard):
            with open({str(seen)!r}, "a") as file:
                print(os.getpid(), os.getppid(), file=file)
            time.sleep(60)

        try:
            for _ in Ray(workers=1).execute(lambda: None, work, (1, 2), on_event=lambda e: print(e, flush=True)):
                pass
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            sys.exit(130)
        """)
    )
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    program = subprocess.Popen(
        [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        end = time.monotonic() + 120
        while not (seen.exists() and seen.read_text().endswith("\n")) and time.monotonic() < end:
            time.sleep(0.1)
        worker, raylet = map(int, seen.read_text().split())
        os.killpg(program.pid, signal.SIGINT)
        out, _ = program.communicate(timeout=60)
    finally:
        program.kill()
    assert program.returncode == 130
    assert out.splitlines()[-2:] == ["Interrupted(shard=1)", "interrupted"]
    assert gone(worker) and gone(raylet)
