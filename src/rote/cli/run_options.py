"""Options that commands share, and what those do that work in a run folder: agree on it, end resumable, say errors."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from rote.errors import InputError, RoteError, printable

if TYPE_CHECKING:
    from rote.execute import Executor
    from rote.pipeline.run import Run

Out = Annotated[Path, typer.Option("--out", help="Run folder; an interrupted run there goes on where it was.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors and the report's path.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start over; says first what it would discard, and asks.")]
Yes = Annotated[
    bool, typer.Option("--yes", help="With --fresh: discard without asking; needed where nobody can answer.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes to work in; default: one a core. Changes no number.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Where another process writes the run folder, wait for its end.")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16, float16, or float64 for reference.")]
Device = Annotated[str | None, typer.Option(help="Where the model runs, for instance cuda or cuda:1.")]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub model.")]
Bos = Annotated[str | None, typer.Option(help='Token put first instead of the tokenizer\'s bos; "none" for none.')]
Shots = Annotated[
    int | None,
    typer.Option(help="Facts of the relation put as examples before its question; never studied themselves."),
]
Chat = Annotated[bool, typer.Option("--chat", help="Put the question through the tokenizer's chat template.")]
AllowPickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Read pytorch_model.bin too: its tensors, never its code.")
]
Own = Annotated[
    list[Path] | None,
    typer.Option("--experiments-from", help="Python file with experiments or controls of your own, which is run."),
]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Hub id or local folder in Hugging Face layout.")]


@dataclass(frozen=True, kw_only=True)
class Opening:
    """The run folder and what may be done with what lies there."""

    out: Path
    fresh: bool
    yes: bool
    wait: bool

    def agreed(self) -> None:
        """Refuse a folder that no study can use; say what --fresh discards, and have it confirmed."""
        from rote.records import look

        standing = look(self.out, waiting=self.wait)
        if not self.fresh or standing.empty:
            return
        typer.echo(f"--fresh discards what a study left in {self.out}: {standing}", err=True)
        if self.yes:
            return
        if not sys.stdin.isatty():
            refuse("nobody can be asked here; add --yes to --fresh to discard it")
        if not typer.confirm("discard it?", err=True):
            refuse(f"nothing was discarded; without --fresh the study in {self.out} goes on")


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the study where it may go on, and the last line says how."""
    previous = None
    if threading.current_thread() is threading.main_thread():
        previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"interrupted; what is finished is kept in {out}. To go on: {_resume_command()}", err=True)
        raise typer.Exit(130) from None
    except InputError:
        raise
    except RoteError as error:
        say_error(error)
        if error.exit_code == 1:
            _say_how_to_go_on(out)
        raise typer.Exit(error.exit_code) from None
    except Exception:
        traceback.print_exc()
        _say_how_to_go_on(out)
        raise typer.Exit(1) from None
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def _interrupt(number: int, frame: object) -> None:
    """Clusters send SIGTERM some seconds before they kill: that is a Ctrl-C."""
    raise KeyboardInterrupt


def _say_how_to_go_on(out: Path) -> None:
    typer.echo(f"what is finished is kept in {out}. To go on: {_resume_command()}", err=True)


def _resume_command() -> str:
    """The same command, without what would start it over."""
    return shlex.join(["rote", *(part for part in sys.argv[1:] if part not in ("--fresh", "--yes"))])


@contextmanager
def busy(words: str, quiet: bool = False) -> Iterator[None]:
    """A turning sign on a terminal for what takes seconds and has no steps."""
    from rich.console import Console

    console = Console(stderr=True, quiet=quiet)
    if not console.is_terminal:
        yield
        return
    with console.status(words):
        yield


def processes(workers: int | None) -> Executor:
    """Where small shards are done: one worker is this process itself."""
    from rote.execute import Inline, Processes

    return Inline() if workers == 1 else Processes(workers=workers)


def say_findings(run: Run, quiet: bool) -> None:
    """What was found, and where the report is."""
    from rote.report import lead_text

    if not quiet:
        typer.echo("\n" + lead_text(run.path) + "\n")
    typer.echo(f"report: {run.path / 'report.html'}")


def say_notes(notes: Iterable[str], quiet: bool) -> None:
    """What a study will lack, said before it begins."""
    for note in () if quiet else notes:
        typer.echo(f"note: {printable(note)}", err=True)


def refuse(problem: str) -> NoReturn:
    typer.echo(f"error: {problem}", err=True)
    raise typer.Exit(2)


def say_error(error: RoteError) -> None:
    for line in str(error).splitlines() or [type(error).__name__]:
        sys.stderr.write(f"error: {printable(line)}\n")
