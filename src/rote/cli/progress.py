"""How far a study is: a bar with the time that is left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from rote.execute import Event, Finished, Planned, Started, Waiting


def kind_of(shard: Any) -> str:
    """Shards of one kind take about as long: an experiment; a member of one control; a control over its members."""
    if shard.experiment != "lineup":
        return str(shard.experiment)
    before, _, seed = shard.item.rpartition("/")
    return f"member of {before.rpartition('/')[2]}" if seed.isdecimal() else "control"


class TimeLeft:
    """Seconds left: what each kind of shard took on average, or usually takes beside those that were timed."""

    def __init__(self) -> None:
        self.left: Counter[str] = Counter()
        self.n_done = 0
        self._times: dict[str, list[float]] = {}
        self._usual: Mapping[str, float] = {}

    def plan(self, shards: Any, usual: Mapping[str, float] | None = None) -> None:
        """These shards are left, now and later, as far as is known; `usual`: what each kind usually takes."""
        self.left = Counter(kind_of(shard) for shard in shards)
        self._usual = usual or {}

    def finished(self, shard: Any, seconds: float) -> None:
        kind = kind_of(shard)
        self.n_done += 1
        self.left[kind] -= 1
        self._times.setdefault(kind, []).append(seconds)

    @property
    def n_left(self) -> int:
        return sum(self.left.values())

    @property
    def seconds(self) -> float | None:
        """None before the first shard has been timed."""
        if not self._times:
            return None
        spent = sum(sum(times) for times in self._times.values())
        usual = sum(self._weight(kind) * len(times) for kind, times in self._times.items())
        means = {kind: sum(times) / len(times) for kind, times in self._times.items()}
        return sum(n * means.get(kind, self._weight(kind) * spent / usual) for kind, n in self.left.items())

    def _weight(self, kind: str) -> float:
        """Beside the others, as long as none of its kind has been timed."""
        return self._usual.get("member" if kind.startswith("member of ") else kind, 1.0)


def in_words(seconds: float | None) -> str:
    """`about 4 min left`; nothing where it is not known."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"about {max(seconds, 1):.0f} s left"
    return f"about {seconds / 60:.0f} min left" if seconds < 5400 else f"about {seconds / 3600:.1f} h left"


class Narrator:
    """Listens to a study (`on_event`) and shows how far it is; enter it around the study."""

    def __init__(self, *, quiet: bool = False, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.quiet = quiet
        self._estimate = TimeLeft()
        self._bar = _bar(self.console) if self.console.is_terminal and not quiet else None
        self._warnings = _Warnings(self)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("looking at what is there", total=None, left="", now="")
        if not self.quiet:
            logging.getLogger("rote").addHandler(self._warnings)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger("rote").removeHandler(self._warnings)
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Planned):
            self._estimate.plan([*event.shards, *event.ahead], event.usual)
            if self._bar is None:
                self.say(f"{event.stage}: {len(event.shards):,} to do" if event.shards else event.stage)
        elif isinstance(event, Finished):
            self._estimate.finished(event.shard, event.seconds)
            if self._bar is None:
                self.say(self._line(event))
        elif isinstance(event, Waiting):
            self.say(event.reason)
        if self._bar is not None:
            self._draw(event)

    def say(self, line: str) -> None:
        """One plain line, above the bar where there is one."""
        if not self.quiet:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _line(self, event: Finished) -> str:
        shard: Any = event.shard
        left, counted = in_words(self._estimate.seconds), f"{self._estimate.n_left:,} to do"
        return (
            f"{event.seconds:7.1f} s   {shard.experiment} ({shard.item})   {', '.join(filter(None, (counted, left)))}"
        )

    def _draw(self, event: Event) -> None:
        assert self._bar is not None
        estimate = self._estimate
        shown: dict[str, Any] = {}
        if isinstance(event, Planned):
            shown["description"] = event.stage
        elif isinstance(event, Started):
            shown["now"] = str(event.shard)
        elif isinstance(event, Finished):
            shown["now"] = ""
        total = estimate.n_done + estimate.n_left or None
        left = in_words(estimate.seconds) if estimate.n_left else ""
        self._bar.update(self._task, completed=estimate.n_done, total=total, left=left, **shown)


def _bar(console: Console) -> Progress:
    text = TextColumn("[bold]{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn()
    rest = TextColumn("{task.fields[left]}"), TextColumn("[dim]{task.fields[now]}", markup=True)
    return Progress(SpinnerColumn(), *text, *rest, console=console, transient=True)


class _Warnings(logging.Handler):
    """rote's warnings as lines of their own."""

    def __init__(self, narrator: Narrator) -> None:
        super().__init__(logging.WARNING)
        self._narrator = narrator

    def emit(self, record: logging.LogRecord) -> None:
        self._narrator.say(f"warning: {record.getMessage()}")
