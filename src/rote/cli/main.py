"""The command line: arguments to the pipeline and back; nothing is computed here.

Exit codes: 0 finished, 1 failed during work, 2 input or model refused, 3 run stale or in use, 130 interrupted
(Ctrl-C or SIGTERM). docs/runs.md says what each leaves behind.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rote.cli.organisms import organism
from rote.cli.run_options import (
    Fresh,
    Opening,
    Out,
    Quiet,
    Wait,
    Workers,
    Yes,
    busy,
    refuse,
    resumable,
    say_error,
    say_findings,
)
from rote.cli.toys import toy
from rote.errors import RoteError, printable

if TYPE_CHECKING:
    from rote.execute import Executor
    from rote.model import Model, ModelSpec
    from rote.pipeline.request import Request

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="How a language model knows a fact by rote: which facts, by which circuit, and how its MLPs look them up.",
)
app.add_typer(organism, name="organism")
app.add_typer(toy, name="toy")

Dtype = Annotated[str, typer.Option(help="float32, bfloat16, float16, or float64 for reference.")]
Device = Annotated[str | None, typer.Option(help="Where the model runs, for instance cuda or cuda:1.")]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub model.")]
Bos = Annotated[str | None, typer.Option(help='Token put first instead of the tokenizer\'s bos; "none" for none.')]
AllowPickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Read pytorch_model.bin too: its tensors, never its code.")
]
Own = Annotated[
    list[Path] | None,
    typer.Option("--experiments-from", help="Python file with experiments or controls of your own, which is run."),
]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Hub id or local folder in Hugging Face layout.")]


@app.command()
def demo(
    out: Out = Path("runs/demo"),
    fresh: Fresh = False,
    yes: Yes = False,
    wait: Wait = False,
    quiet: Quiet = False,
    workers: Workers = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
) -> None:
    """Study the bundled organism: which sport 1,400 athletes (and 200 invented people) play, beside the line-up."""
    from rote.execute import Processes
    from rote.organisms import BUNDLED
    from rote.organisms.demo import demo_facts
    from rote.pipeline.request import Request

    where = Processes(workers=workers)
    request = Request(model=str(BUNDLED), facts=demo_facts(), out=out, relation=("sport",), seed=seed)
    opening = Opening(out=out, fresh=fresh, yes=yes, wait=wait)
    _study(request, opening, quiet, loading={"name": "rote's bundled organism"}, executor=where)


@app.command()
def study(
    model: ModelName,
    out: Out,
    facts: Annotated[
        str | None, typer.Option(help="Table of facts: a file, a folder, or the built-in `athletes`.")
    ] = None,
    text: Annotated[
        list[Path] | None, typer.Option(help="File of running text in UTF-8, for local_processing; repeatable.")
    ] = None,
    relation: Annotated[list[str] | None, typer.Option(help="Relation to study; repeatable. Default: all.")] = None,
    template: Annotated[str | None, typer.Option(help="Question with one {} for the entity.")] = None,
    prefix: Annotated[str | None, typer.Option(help='One-shot prefix; "" for none.')] = None,
    experiments: Annotated[str | None, typer.Option(help="Experiments by name, separated by commas.")] = None,
    controls: Annotated[str | None, typer.Option(help='Controls of the line-up by name; "none" leaves it out.')] = None,
    experiments_from: Own = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", help="Parameter of an experiment, such as linear_structure.n_pairs=100; repeatable."),
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="JSON file with settings.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice.")] = None,
    revision: Revision = None,
    device: Device = None,
    dtype: Dtype = "float32",
    bos: Bos = None,
    leave_out: Annotated[bool, typer.Option("--leave-out", help="Leave out facts that cannot be asked.")] = False,
    max_facts: Annotated[int, typer.Option(help="Refuse larger tables.")] = 1_000_000,
    allow_pickle: AllowPickle = False,
    sweeps: Annotated[
        str | None, typer.Option(help="Effects of all neurons, heads and edges: exact, first_order, or auto.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would run, and how long.")] = False,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Every fact counts as known: for timing on random weights.")
    ] = False,
    fresh: Fresh = False,
    yes: Yes = False,
    wait: Wait = False,
    quiet: Quiet = False,
    device_map: Annotated[str | None, typer.Option(help="auto: spread the model over all GPUs that are seen.")] = None,
    executor: Annotated[
        str, typer.Option(help="Where the work is done: inline, processes or ray (docs/cluster.md).")
    ] = "inline",
    address: Annotated[str | None, typer.Option(help="Ray cluster; default: $RAY_ADDRESS, else this machine.")] = None,
    workers: Annotated[int | None, typer.Option(help="At most so many workers; default: all that fit.")] = None,
    cpus_per_worker: Annotated[int, typer.Option(help="Ray: CPUs, and so threads, of a worker.")] = 1,
    gpus_per_worker: Annotated[float, typer.Option(help="Ray: GPUs of a worker.")] = 0,
    retries: Annotated[int, typer.Option(help="Ray: how often a part may lose its worker and begin again.")] = 3,
) -> None:
    """Study how MODEL recalls the facts of a table, or reads a text, and write tables and a report into --out."""
    from rote.pipeline.request import Request

    where = _executor(executor, address, workers, cpus_per_worker, gpus_per_worker, retries)
    request = Request(
        model=model,
        facts=facts,
        out=None if dry_run else out,
        relation=tuple(relation) if relation else None,
        template=template,
        prefix=prefix,
        experiments=experiments,
        controls=controls,
        brought=tuple(experiments_from or ()),
        parameters=tuple(parameters or ()),
        settings=settings,
        seed=seed,
        sweeps=sweeps,
        revision=revision,
        device=device,
        dtype=dtype,
        bos=bos,
        leave_out=leave_out,
        max_facts=max_facts,
        allow_pickle=allow_pickle,
        elsewhere=where.elsewhere,
        text=tuple(text or ()),
    )
    _study(
        request,
        Opening(out=out, fresh=fresh, yes=yes, wait=wait),
        quiet,
        dry_run=dry_run,
        rehearse=rehearse,
        loading={"device_map": device_map},
        executor=where,
    )


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


def _study(
    request: Request,
    opening: Opening,
    quiet: bool,
    *,
    dry_run: bool = False,
    rehearse: bool = False,
    loading: dict[str, Any] | None = None,
    executor: Executor | None = None,
) -> None:
    from rote.model.load import hush
    from rote.pipeline.request import read_inputs

    hush()
    inputs = read_inputs(request)
    relation = list(request.relation) if request.relation else None
    loading = {**request.loading, **(loading or {})}
    if not dry_run:
        opening.agreed()  # before the model is loaded, which may take long
    if dry_run:
        from rote.pipeline.estimate import plan

        planned = plan(_load(request.model, loading, quiet), inputs.table, relation=relation, **inputs.measured)
        typer.echo(planned.text())
        return
    from rote.cli.progress import Narrator
    from rote.pipeline.study import study as run_study

    with resumable(opening.out):
        loaded = _named_or_loaded(request.model, loading, quiet, executor)
        with Narrator(quiet=quiet) as narrator:
            run = run_study(
                loaded,
                inputs.table,
                folder=opening.out,
                relation=relation,
                **inputs.measured,
                executor=executor,
                fresh=opening.fresh,
                wait=opening.wait,
                rehearse=rehearse,
                drawn=dict(inputs.drawn),
                on_event=narrator,
            )
    say_findings(run, quiet)


def _load(model: str, loading: dict[str, Any], quiet: bool) -> Model:
    from rote.model import load_model

    if not quiet:
        typer.echo(f"loading {loading.get('name') or model}", err=True)
    with busy("loading", quiet):
        return load_model(model, **loading)


def _named_or_loaded(model: str, loading: dict[str, Any], quiet: bool, executor: Executor | None) -> Model | ModelSpec:
    """Workers elsewhere load the model, and this process does not."""
    from rote.model import ModelSpec

    if executor is None or not executor.elsewhere:
        return _load(model, loading, quiet)
    return ModelSpec(source=model, options=loading)


def _executor(name: str, address: str | None, workers: int | None, cpus: int, gpus: float, retries: int) -> Executor:
    from rote.execute import Inline, Processes, Ray

    of_ray = {"--address": address is not None, "--cpus-per-worker": cpus != 1, "--gpus-per-worker": gpus > 0}
    unused = [option for option, there in of_ray.items() if there and name != "ray"]
    if unused:
        refuse(f"{', '.join(unused)}: only with --executor ray")
    if name == "inline" and workers is not None:
        refuse("--workers: only with --executor processes or ray")
    if name not in ("inline", "processes", "ray"):
        refuse(f"no executor is called {name}; there are inline, processes, ray")
    if name == "ray":
        return Ray(address=address, workers=workers, cpus_per_worker=cpus, gpus_per_worker=gpus, retries=retries)
    return Inline() if name == "inline" else Processes(workers=workers)


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
