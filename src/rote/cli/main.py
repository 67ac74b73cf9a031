"""The command line: arguments to the pipeline and back; nothing is computed here.

Exit codes: 0 finished, 1 failed during work, 2 input or model refused, 3 run stale or in use, 130 interrupted
(Ctrl-C or SIGTERM). docs/runs.md says what each leaves behind.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rote.cli.facts import facts
from rote.cli.organisms import organism
from rote.cli.run_options import AllowPickle, Device, Dtype, ModelName, Own, Revision, busy, say_error
from rote.cli.study import demo, study
from rote.cli.toys import toy
from rote.errors import RoteError, printable

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="How a language model knows a fact by rote: which facts, by which circuit, and how its MLPs look them up.",
)
app.command()(demo)
app.command()(study)
app.command()(facts)
app.add_typer(organism, name="organism")
app.add_typer(toy, name="toy")


@app.command()
def check(
    model: ModelName,
    revision: Revision = None,
    device: Device = None,
    dtype: Dtype = "float32",
    allow_pickle: AllowPickle = False,
) -> None:
    """Check that rote serves MODEL exactly, figure by figure."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rote.model import load_model, self_check
    from rote.model.load import hush

    hush()
    loaded = load_model(model, revision=revision, device=device, dtype=dtype, check=False, allow_pickle=allow_pickle)
    table = Table("check", "figure", "expected", "verdict", title=Text(printable(repr(loaded))))
    checks = self_check(loaded)
    for c in checks:
        table.add_row(c.name, "" if c.figure is None else f"{c.figure:.3g}", c.expected, c.verdict)
    Console().print(table)
    if not all(c.passed for c in checks):
        raise typer.Exit(2)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")], experiments_from: Own = None
) -> None:
    """Write RUN/report.html again from its tables; needs neither the model nor torch.

    With --experiments-from, experiments of your own are drawn by their own sections, else as their cards say.
    """
    from rote.pipeline.run import open_run

    with busy("drawing"):
        page = open_run(run).report(_sections(experiments_from))
    typer.echo(page)


def _sections(files: list[Path] | None) -> dict[str, Any]:
    if not files:
        return {}
    from rote.pipeline.brought import together

    return dict(together(files).sections)


@app.command()
def judge(run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]) -> None:
    """Judge every hypothesis from RUN's tables, write RUN/outcomes.json; needs neither the model nor torch."""
    from rich.console import Console

    from rote.judge import judge_run
    from rote.judge.table import renderables

    console = Console()
    if not console.is_terminal:  # a file or a pipe has no width to keep to
        console.width = max(console.width, 140)
    with busy("judging"):
        outcomes = judge_run(run)
    for part in renderables(outcomes):
        console.print(part)
    typer.echo(run / "outcomes.json")


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN …", help="Two run folders or more.")],
    out: Annotated[Path | None, typer.Option("--out", help="File for the page; default: compare-RUN-RUN.html.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file where it exists.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but the page's path.")] = False,
) -> None:
    """Set runs beside each other, line-ups first: two models, or checkpoints of one; needs no torch."""
    from rote.report import compare as compare_runs
    from rote.report import render_comparison

    with busy("comparing", quiet):
        page = compare_runs(*runs, out=out, force=force)
    if not quiet:
        typer.echo(render_comparison(*runs))
    typer.echo(f"comparison: {page}")


@app.command("experiments")
def list_experiments() -> None:
    """List every experiment with its question and its source."""
    from rote.experiments import ENTRIES
    from rote.toys import TOYS

    for card in (*(entry.card for entry in ENTRIES), *(c for each in TOYS for c in each.cards)):
        typer.echo(f"{card.name}\n    {card.question}\n    {card.source}\n")


def main() -> None:
    """Run the command line; errors that rote raises on purpose become one line each and an exit code."""
    try:
        app()
    except RoteError as error:
        say_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
