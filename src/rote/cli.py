"""The command line: arguments to the pipeline and back; nothing is computed here.

Exit codes: 0 finished, 1 failed during work, 2 input or model refused, 3 run stale or in use, 130 interrupted
(Ctrl-C or SIGTERM). docs/runs.md says what each leaves behind.
"""

from __future__ import annotations

import json
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from rote.cli_toy import toy
from rote.errors import RoteError

if TYPE_CHECKING:
    from rote.execute import Executor
    from rote.facts import FactTable
    from rote.model import Model, ModelSpec
    from rote.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="How a language model knows a fact by rote: which facts, by which circuit, and how its MLPs look them up.",
)
organism = typer.Typer(no_args_is_help=True, help="Small models whose facts and place of look-up are known.")
app.add_typer(organism, name="organism")
app.add_typer(toy, name="toy")

Out = Annotated[Path, typer.Option("--out", help="Run folder; an interrupted run there goes on where it was.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors and the report's path.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start over; says first what it would discard, and asks.")]
Yes = Annotated[
    bool, typer.Option("--yes", help="With --fresh: discard without asking; needed where nobody can answer.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Where another process writes the run folder, wait for its end.")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16, float16, or float64 for reference.")]
Device = Annotated[str | None, typer.Option(help="Where the model runs, for instance cuda or cuda:1.")]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub model.")]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Hub id or local folder in Hugging Face layout.")]


@app.command()
def demo(
    out: Out = Path("runs/demo"),
    fresh: Fresh = False,
    yes: Yes = False,
    wait: Wait = False,
    quiet: Quiet = False,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
) -> None:
    """Study the bundled organism: which sport 1,400 athletes (and 200 invented people) play, beside the line-up."""
    from rote.organisms import BUNDLED
    from rote.organisms.demo import demo_facts
    from rote.settings import Settings

    loading = {"name": "rote's bundled organism"}
    opening = _Opening(out=out, fresh=fresh, yes=yes, wait=wait)
    _study(str(BUNDLED), demo_facts(), opening, ["sport"], Settings(seed=seed), quiet, loading=loading)


@app.command()
def study(
    model: ModelName,
    facts: Annotated[str, typer.Option(help="Table of facts: a file, a folder, or the built-in `athletes`.")],
    out: Out,
    relation: Annotated[list[str] | None, typer.Option(help="Relation to study; repeatable. Default: all.")] = None,
    template: Annotated[str | None, typer.Option(help="Question with one {} for the entity.")] = None,
    prefix: Annotated[str | None, typer.Option(help='One-shot prefix; "" for none.')] = None,
    experiments: Annotated[str | None, typer.Option(help="Experiments by name, separated by commas.")] = None,
    controls: Annotated[str | None, typer.Option(help='Controls of the line-up by name; "none" leaves it out.')] = None,
    settings: Annotated[Path | None, typer.Option(help="JSON file with settings.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice.")] = None,
    revision: Revision = None,
    device: Device = None,
    dtype: Dtype = "float32",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would run, and how long.")] = False,
    fresh: Fresh = False,
    yes: Yes = False,
    wait: Wait = False,
    quiet: Quiet = False,
    device_map: Annotated[str | None, typer.Option(help="auto: spread the model over all GPUs that are seen.")] = None,
    executor: Annotated[str, typer.Option(help="Where the work is done: inline or ray (docs/cluster.md).")] = "inline",
    address: Annotated[str | None, typer.Option(help="Ray cluster; default: $RAY_ADDRESS, else this machine.")] = None,
    workers: Annotated[int | None, typer.Option(help="Ray: at most so many workers; default: all there is.")] = None,
    cpus_per_worker: Annotated[int, typer.Option(help="Ray: CPUs, and so threads, of a worker.")] = 1,
    gpus_per_worker: Annotated[float, typer.Option(help="Ray: GPUs of a worker.")] = 0,
    retries: Annotated[int, typer.Option(help="Ray: how often a part may lose its worker and begin again.")] = 3,
) -> None:
    """Study how MODEL recalls the facts of a table, and write tables and a report into --out."""
    from rote.settings import Settings

    chosen = Settings.read(settings) if settings else Settings()
    if seed is not None:
        chosen = Settings.of({**chosen.as_dict(), "seed": seed})
    _study(
        model,
        facts,
        _Opening(out=out, fresh=fresh, yes=yes, wait=wait),
        relation or None,
        chosen,
        quiet,
        template=template,
        prefix=prefix,
        experiments=experiments,
        controls=controls,
        dry_run=dry_run,
        loading={"revision": revision, "device": device, "dtype": dtype, "device_map": device_map},
        executor=_executor(executor, address, workers, cpus_per_worker, gpus_per_worker, retries),
    )


@app.command()
def check(model: ModelName, revision: Revision = None, device: Device = None, dtype: Dtype = "float32") -> None:
    """Check that rote serves MODEL exactly, figure by figure."""
    from rich.console import Console
    from rich.table import Table

    from rote.model import load_model, self_check

    loaded = load_model(model, revision=revision, device=device, dtype=dtype, check=False)
    table = Table("check", "figure", "expected", "verdict", title=repr(loaded))
    checks = self_check(loaded)
    for c in checks:
        table.add_row(c.name, "" if c.figure is None else f"{c.figure:.3g}", c.expected, c.verdict)
    Console().print(table)
    if not all(c.passed for c in checks):
        raise typer.Exit(2)


@app.command()
def report(run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]) -> None:
    """Write RUN/report.html again from its tables; needs neither the model nor torch."""
    from rote.results import open_run

    typer.echo(open_run(run).report())


@app.command()
def judge(run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]) -> None:
    """Judge every hypothesis from RUN's tables, write RUN/outcomes.json; needs neither the model nor torch."""
    from rich.console import Console

    from rote.judge import judge_run
    from rote.judge.table import renderables

    console = Console()
    if not console.is_terminal:  # a file or a pipe has no width to keep to
        console.width = max(console.width, 140)
    for part in renderables(judge_run(run)):
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

    page = compare_runs(*runs, out=out, force=force)
    if not quiet:
        typer.echo(render_comparison(*runs))
    typer.echo(f"comparison: {page}")


@app.command("experiments")
def list_experiments() -> None:
    """List every experiment with its question and its source."""
    from rote.catalog import CARDS, TOY_CARDS

    for card in (*CARDS, *TOY_CARDS):
        typer.echo(f"{card.name}\n    {card.question}\n    {card.source}\n")


@organism.command("train")
def organism_train(
    out: Annotated[Path, typer.Option("--out", help="Folder for the checkpoint.")],
    layout: Annotated[str, typer.Option(help="gpt_neox, gpt2 or llama.")] = "gpt_neox",
    force: Annotated[str, typer.Option(help="full, auxiliary or none: how the look-up is planted.")] = "full",
    settings: Annotated[str, typer.Option(help='Other training settings as JSON, such as {"steps": 500}.')] = "{}",
    seed: Annotated[int, typer.Option(help="Seed of world, weights and data.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Train an organism; with the defaults, the bundled one (under 20 minutes on two cores)."""
    from rote.model.memory import keep_freed_memory
    from rote.organisms import TrainSettings, train

    if out.exists() and any(out.iterdir()):
        _refuse(f"{out} is not empty; choose a new folder, nothing is overwritten")
    try:
        values = {"layout": layout, "force": force, "seed": seed, **json.loads(settings)}
        values |= {"window": tuple(values["window"])} if "window" in values else {}
        chosen = TrainSettings(**values)
    except (json.JSONDecodeError, TypeError) as error:
        _refuse(f"--settings {settings!r} cannot be used: {error}; expected a JSON object of training settings")
    keep_freed_memory()

    def show(progress: Any) -> None:
        if not quiet:
            typer.echo(f"step {progress.step:5d} of {progress.steps}   loss {progress.loss_nats:.3f} nats", err=True)

    trained = train(chosen, out, progress=show)
    for relation, accuracy in trained.accuracy.items():
        typer.echo(f"{relation:20s} {accuracy:.4f}")
    typer.echo(f"{trained.folder} ({trained.seconds:.0f} s)")


@organism.command("list")
def organism_list() -> None:
    """Show the bundled organism: where it lies, what it knows, how it was made."""
    from rote.organisms import BUNDLED

    trained = json.loads((BUNDLED / "training.json").read_text(encoding="utf-8"))
    typer.echo(f"{BUNDLED}\n  settings  {json.dumps(trained['settings'])}")
    for relation, accuracy in trained["accuracy"].items():
        typer.echo(f"  accuracy  {relation:20s} {accuracy:.4f}")


def _study(
    model: str,
    facts: str | FactTable,
    opening: _Opening,
    relation: list[str] | None,
    settings: Settings,
    quiet: bool,
    *,
    template: str | None = None,
    prefix: str | None = None,
    experiments: str | None = None,
    controls: str | None = None,
    dry_run: bool = False,
    loading: dict[str, Any] | None = None,
    executor: Executor | None = None,
) -> None:
    from rote.facts import read_facts

    only = relation if template is not None else None
    table = read_facts(facts, relation=only, template=template, prefix=prefix) if isinstance(facts, str) else facts
    if relation:
        table.select(relation)
    chosen, lineup = _experiments(experiments), _controls(controls)
    if not dry_run:
        opening.agreed()  # before the model is loaded, which may take long
    if dry_run:
        from rote.plan import plan

        loaded = _load(model, loading or {}, quiet)
        planned = plan(loaded, table, relation=relation, settings=settings, experiments=chosen, controls=lineup)
        typer.echo(planned.text())
        return
    from rote.pipeline import study as run_study
    from rote.progress import Narrator

    with _resumable(opening.out), Narrator(quiet=quiet) as narrator:
        run = run_study(
            _named_or_loaded(model, loading or {}, quiet, executor),
            table,
            folder=opening.out,
            relation=relation,
            settings=settings,
            experiments=chosen,
            controls=lineup,
            executor=executor,
            fresh=opening.fresh,
            wait=opening.wait,
            on_event=narrator,
        )
    if not quiet:
        _say_findings(run)
    typer.echo(f"report: {run.path / 'report.html'}")


@dataclass(frozen=True, kw_only=True)
class _Opening:
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
            _refuse("nobody can be asked here; add --yes to --fresh to discard it")
        if not typer.confirm("discard it?", err=True):
            _refuse(f"nothing was discarded; without --fresh the study in {self.out} goes on")


@contextmanager
def _resumable(out: Path) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the study where it may go on, and the last line says how."""
    previous = None
    if threading.current_thread() is threading.main_thread():
        previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"interrupted; what is finished is kept in {out}. To go on: {_resume_command()}", err=True)
        raise typer.Exit(130) from None
    except RoteError as error:
        if error.exit_code == 1:
            typer.echo(
                f"the study has stopped; what is finished is kept in {out}. To go on: {_resume_command()}", err=True
            )
        raise
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def _interrupt(number: int, frame: object) -> None:
    """Clusters send SIGTERM some seconds before they kill: that is a Ctrl-C."""
    raise KeyboardInterrupt


def _resume_command() -> str:
    """The same command, without what would start it over."""
    return shlex.join(["rote", *(part for part in sys.argv[1:] if part not in ("--fresh", "--yes"))])


def _load(model: str, loading: dict[str, Any], quiet: bool) -> Model:
    from rote.model import load_model
    from rote.model.load import hush

    hush()
    if not quiet:
        typer.echo(f"loading {loading.get('name') or model}", err=True)
    return load_model(model, **loading)


def _named_or_loaded(model: str, loading: dict[str, Any], quiet: bool, executor: Executor | None) -> Model | ModelSpec:
    """Workers elsewhere load the model, and this process does not."""
    from rote.model import ModelSpec

    if executor is None or not executor.elsewhere:
        return _load(model, loading, quiet)
    return ModelSpec(source=model, options=loading)


def _executor(name: str, address: str | None, workers: int | None, cpus: int, gpus: float, retries: int) -> Executor:
    from rote.execute import Inline, Ray

    given = {"--address": address is not None, "--workers": workers is not None, "--gpus-per-worker": gpus > 0}
    if name == "inline":
        unused = [option for option, there in given.items() if there]
        if unused:
            _refuse(f"{', '.join(unused)}: only with --executor ray")
        return Inline()
    if name != "ray":
        _refuse(f"no executor is called {name}; there are inline, ray")
    return Ray(address=address, workers=workers, cpus_per_worker=cpus, gpus_per_worker=gpus, retries=retries)


def _experiments(names: str | None) -> Any:
    from rote.experiments import EXPERIMENTS

    return EXPERIMENTS if names is None else _named(names, EXPERIMENTS, "experiment")


def _controls(names: str | None) -> Any:
    from rote.lineup import CONTROLS

    if names == "none":
        return ()
    return CONTROLS if names is None else _named(names, CONTROLS, "control")


def _named(names: str, things: Any, kind: str) -> Any:
    """Those of the things that are named, in their own order."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = {thing.name: thing for thing in things}
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        _refuse(f"no {kind} is called {', '.join(unknown) or '(nothing given)'}; there are {', '.join(known)}")
    return tuple(known[name] for name in known if name in wanted)


def _say_findings(run: Any) -> None:
    from rote.report import lead_text

    typer.echo("\n" + lead_text(run.path) + "\n")


def _refuse(problem: str) -> NoReturn:
    typer.echo(f"error: {problem}", err=True)
    raise typer.Exit(2)


def main() -> None:
    """Run the command line; errors that rote raises on purpose become one line each and an exit code."""
    try:
        app()
    except RoteError as error:
        for line in str(error).splitlines() or [type(error).__name__]:
            sys.stderr.write(f"error: {line}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
