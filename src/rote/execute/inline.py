"""Runs shards here, one after another, in their order."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence

from rote.execute.abstract import (
    Executor,
    Failed,
    Finished,
    Interrupted,
    OnEvent,
    Result,
    ShardT,
    Started,
    State,
    ignore,
)


class Inline(Executor):
    """This process, this thread."""

    def execute(
        self,
        setup: Callable[[], State],
        work: Callable[[State, ShardT], Result],
        shards: Sequence[ShardT],
        *,
        on_event: OnEvent = ignore,
    ) -> Iterator[tuple[ShardT, Result]]:
        if not shards:
            return
        state = _told(setup, None, on_event)
        for shard in shards:
            on_event(Started(shard=shard))
            begin = time.perf_counter()
            result = _told(lambda shard=shard: work(state, shard), shard, on_event)  # type: ignore[misc]
            on_event(Finished(shard=shard, seconds=time.perf_counter() - begin))
            yield shard, result


def _told(call: Callable[[], Result], shard: Hashable | None, on_event: OnEvent) -> Result:
    """Call, and tell of what is raised before it goes on its way."""
    begin = time.perf_counter()
    try:
        return call()
    except KeyboardInterrupt:
        on_event(Interrupted(shard=shard))
        raise
    except Exception as error:
        on_event(Failed(shard=shard, error=error, seconds=time.perf_counter() - begin))
        raise
