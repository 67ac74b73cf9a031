"""The one loop of executors whose workers are elsewhere; what differs between them is a `Crew`."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar

from rote.execute.abstract import (
    Executor,
    Failed,
    Finished,
    Interrupted,
    Lost,
    OnEvent,
    Result,
    ShardT,
    Started,
    State,
    ignore,
)
from rote.execute.carried import Answer

Ended = Lost | tuple[Hashable | None, Answer]  # a worker is no more, or has answered for a shard (None: its setup)


class Crew(AbstractContextManager["Crew"]):
    """Workers that are elsewhere, each at one shard at most, for one call of `execute` at a time."""

    @abstractmethod
    def prepare(self, setup: Callable[[], Any], work: Callable[[Any, Any], Any]) -> None:
        """What shards will be given for; a worker that has called the same `setup` object does not call it again."""

    @property
    @abstractmethod
    def busy(self) -> Collection[Hashable]:
        """The shards in flight, the oldest first."""

    @abstractmethod
    def give(self, shard: Hashable) -> bool:
        """Hand a shard to a worker that has nothing to do; False where there is none."""

    @abstractmethod
    def ends(self, waiting: int) -> Iterator[Ended]:
        """Wait until something ends, while so many shards have no worker yet; all that has ended, perhaps nothing.

        Raises WorkerLost where workers die and others may not take their place.
        """

    @abstractmethod
    def give_up(self) -> None:
        """End the workers that are at a shard."""

    @abstractmethod
    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """End every worker; after an error nobody waits for what one is at."""


class Elsewhere(Executor):
    """An executor whose workers are a crew."""

    elsewhere: ClassVar[bool] = True

    @abstractmethod
    def _crew(self, n_shards: int | None) -> AbstractContextManager[Crew]:
        """Workers for so many shards; without a number for as many as may come."""

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
        with self._crew(len(shards)) as crew:
            try:
                crew.prepare(setup, work)
                yield from _pumped(crew, deque(shards), on_event)
            except KeyboardInterrupt:
                on_event(Interrupted(shard=next(iter(crew.busy), None)))
                raise
            finally:
                crew.give_up()

    @contextmanager
    def session(self) -> Iterator[Executor]:
        with self._crew(None) as crew:
            yield _Session(crew)


class _Session(Elsewhere):
    """The same crew for every call."""

    def __init__(self, crew: Crew) -> None:
        self._kept = crew

    def _crew(self, n_shards: int | None) -> AbstractContextManager[Crew]:
        return nullcontext(self._kept)


def _pumped(crew: Crew, left: deque[Any], on_event: OnEvent) -> Iterator[tuple[Any, Any]]:
    def hand_out() -> None:
        while left and crew.give(left[0]):
            on_event(Started(shard=left.popleft()))

    while left or crew.busy:
        hand_out()
        for ended in crew.ends(len(left)):
            if isinstance(ended, Lost):
                on_event(ended)
                if ended.shard is not None:
                    left.appendleft(ended.shard)
                continue
            result = _taken(*ended, on_event)
            hand_out()  # workers go on while the result is stored
            yield ended[0], result


def _taken(shard: Hashable | None, answer: Answer, on_event: OnEvent) -> Any:
    if answer.error is not None:
        on_event(Failed(shard=shard, error=answer.error, seconds=answer.seconds))
        raise answer.error
    on_event(Finished(shard=shard, seconds=answer.seconds))
    return answer.result
