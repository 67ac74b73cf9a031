"""What every executor does, and the events it tells of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

State = TypeVar("State")
ShardT = TypeVar("ShardT", bound=Hashable)
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Started:
    """Work on a shard begins."""

    shard: Hashable


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A shard is done; `seconds` is the wall-clock time of its work, without the setup."""

    shard: Hashable
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Lost:
    """The worker of a shard died, for the `times`-th time; the shard begins again on another.

    `shard` is None where it died in its setup.
    """

    shard: Hashable | None
    reason: str
    times: int


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Work on a shard raised; the exception follows. `shard` is None when the setup raised."""

    shard: Hashable | None
    error: Exception
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Interrupted:
    """Ctrl-C; the KeyboardInterrupt follows. `shard` is the one in flight longest, None where none is."""

    shard: Hashable | None


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A stage begins: the shards that it has left to do, and those of later stages as far as they are known.

    `usual`: seconds that a kind of shard usually takes, by its name; they weigh what has not been timed yet.
    """

    stage: str
    shards: Sequence[Hashable]
    ahead: Sequence[Hashable] = ()
    usual: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Nothing can begin yet, for this reason."""

    reason: str


Event = Started | Finished | Lost | Failed | Interrupted | Planned | Waiting
OnEvent = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener that does nothing."""


class Executor(ABC):
    """Runs `work(state, shard)` for every shard and yields each result as it is there."""

    elsewhere: ClassVar[bool] = False  # whether setup, work, shards and results are pickled on their way

    @abstractmethod
    def execute(
        self,
        setup: Callable[[], State],
        work: Callable[[State, ShardT], Result],
        shards: Sequence[ShardT],
        *,
        on_event: OnEvent = ignore,
    ) -> Iterator[tuple[ShardT, Result]]:
        """Yield (shard, result) for every shard once, in the order in which they finish.

        `setup()` makes the state that shards share, once per worker and not at all where there are no shards.
        An exception in `setup` or `work` follows its `Failed` event, a KeyboardInterrupt its `Interrupted`
        event; what other shards were at is then given up.
        Nothing runs before the first result is asked for, and never more than a bounded number of shards ahead
        of the results that were taken.
        """

    def session(self) -> AbstractContextManager[Executor]:
        """An executor that keeps its workers between calls of `execute`, and with them what `setup` made.

        The same `setup` object has to be given every time, and one call ends before the next begins; at the end of the
        block no worker is left.
        """
        return nullcontext(self)
