"""An executor yields results in order, shares its state, and tells of everything before it happens to the caller."""

from __future__ import annotations

import pytest

from rote.execute import Event, Executor, Failed, Finished, Inline, Interrupted, Started

EXECUTORS: tuple[Executor, ...] = (Inline(),)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_results_come_in_order_and_the_setup_once(executor: Executor) -> None:
    setups: list[int] = []
    events: list[Event] = []

    def setup() -> int:
        setups.append(1)
        return 10

    found = list(executor.execute(setup, lambda state, shard: state * shard, (3, 1, 2), on_event=events.append))
    assert found == [(3, 30), (1, 10), (2, 20)]
    assert setups == [1]
    assert [type(event) for event in events] == [Started, Finished] * 3
    assert [event.shard for event in events] == [3, 3, 1, 1, 2, 2]
    assert all(event.seconds >= 0 for event in events if isinstance(event, Finished))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_without_shards_nothing_is_set_up(executor: Executor) -> None:
    def setup() -> None:
        raise AssertionError("there is nothing to do")

    assert list(executor.execute(setup, lambda state, shard: shard, ())) == []


@pytest.mark.parametrize("executor", EXECUTORS)
def test_each_result_is_there_before_the_next_shard_begins(executor: Executor) -> None:
    seen: list[str] = []

    def work(state: None, shard: int) -> int:
        seen.append(f"work {shard}")
        return shard

    for shard, _ in executor.execute(lambda: None, work, (1, 2)):
        seen.append(f"stored {shard}")
    assert seen == ["work 1", "stored 1", "work 2", "stored 2"]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_failure_is_told_and_raised_after_the_results_before_it(executor: Executor) -> None:
    events: list[Event] = []
    results = executor.execute(lambda: None, lambda state, shard: 1 // shard, (1, 0, 2), on_event=events.append)
    assert next(results) == (1, 1)
    with pytest.raises(ZeroDivisionError):
        next(results)
    failed = events[-1]
    assert isinstance(failed, Failed) and failed.shard == 0 and isinstance(failed.error, ZeroDivisionError)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_ctrl_c_is_told_and_raised(executor: Executor) -> None:
    events: list[Event] = []

    def work(state: None, shard: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(executor.execute(lambda: None, work, ("a",), on_event=events.append))
    assert events[-1] == Interrupted(shard="a")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_setup_that_fails_belongs_to_no_shard(executor: Executor) -> None:
    events: list[Event] = []

    def setup() -> None:
        raise OSError("no such model")

    with pytest.raises(OSError, match="no such model"):
        list(executor.execute(setup, lambda state, shard: shard, (1,), on_event=events.append))
    assert isinstance(events[-1], Failed) and events[-1].shard is None
