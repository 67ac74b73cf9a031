"""`rote study` and `rote demo`: arguments to the pipeline and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rote.cli.run_options import (
    AllowPickle,
    Bos,
    Chat,
    Device,
    Dtype,
    Fresh,
    ModelName,
    Opening,
    Out,
    Own,
    Quiet,
    Revision,
    Shots,
    Wait,
    Workers,
    Yes,
    busy,
    refuse,
    resumable,
    say_findings,
    say_notes,
)

if TYPE_CHECKING:
    from rote.execute import Executor
    from rote.model import Model, ModelSpec
    from rote.pipeline.request import Request


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
    shots: Shots = None,
    chat: Chat = False,
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
        shots=shots,
        chat=True if chat else None,
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
    say_notes(inputs.notes, quiet)
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
