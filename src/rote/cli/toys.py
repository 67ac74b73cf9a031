"""`rote toy …`: small networks trained for one question; arguments to `toy_study` and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rote.cli.run_options import Fresh, Opening, Out, Quiet, Wait, Workers, Yes, processes, resumable, say_findings

if TYPE_CHECKING:
    from rote.pipeline.run import Run

toy = typer.Typer(
    no_args_is_help=True, help="Small networks that show one thing in the pure: memorisation, and how much fits."
)

Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]


@toy.command()
def memorisation(
    out: Out = Path("runs/toy-memorisation"),
    neurons: Annotated[
        str | None, typer.Option(help="Neurons of a layer, such as 64,16; the first is studied most.")
    ] = None,
    layers: Annotated[str | None, typer.Option(help="MLP layers, such as 1,2.")] = None,
    embeddings: Annotated[str | None, typer.Option(help="Some of trained, random, one_hot.")] = None,
    activations: Annotated[str | None, typer.Option(help="Some of relu, gelu, tanh.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Networks per task of the first configuration.")] = None,
    seed: Seed = 0,
    workers: Workers = None,
    fresh: Fresh = False,
    yes: Yes = False,
    wait: Wait = False,
    quiet: Quiet = False,
) -> None:
    """Is there anything to interpret inside pure memorisation? Are neurons like weak classifiers? (under 5 minutes)"""
    from rote.pipeline.toys import memorise
    from rote.toys.memorisation.toy import MemorisationSettings

    changes = {
        "neurons": _numbers("--neurons", neurons),
        "layers": _numbers("--layers", layers),
        "embeddings": _words(embeddings),
        "activations": _words(activations),
        "n_seeds": seeds,
    }
    settings = replace(MemorisationSettings(seed=seed), **_given(changes))
    _run(memorise, settings, Opening(out=out, fresh=fresh, yes=yes, wait=wait), workers, quiet)


@toy.command()
def capacity(
    out: Out = Path("runs/toy-capacity"),
    quick: Annotated[bool, typer.Option("--quick", help="A smaller grid, in under ten minutes.")] = False,
    neurons: Annotated[str | None, typer.Option(help="Numbers of neurons, such as 8,16,32.")] = None,
    d_models: Annotated[str | None, typer.Option(help="Widths of the embedding, such as 8,16,32.")] = None,
    layers: Annotated[str | None, typer.Option(help="Numbers of MLP layers, such as 1,2.")] = None,
    classes: Annotated[str | None, typer.Option(help="Numbers of classes, such as 2,16.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Networks of each configuration.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of training behind every answer of the bisection.")] = None,
    seed: Seed = 0,
    workers: Workers = None,
    fresh: Fresh = False,
    yes: Yes = False,
    wait: Wait = False,
    quiet: Quiet = False,
) -> None:
    """How many facts does an MLP store, and does that grow faster than its neurons? By bisection over a grid."""
    from rote.pipeline.toys import measure_capacity
    from rote.toys.capacity.toy import CapacitySettings

    changes = {
        "neurons": _numbers("--neurons", neurons),
        "d_models": _numbers("--d-models", d_models),
        "layers": _numbers("--layers", layers),
        "classes": _numbers("--classes", classes),
        "n_seeds": seeds,
        "steps": steps,
    }
    grid = CapacitySettings.quick(seed=seed) if quick else CapacitySettings(seed=seed)
    settings = replace(grid, **_given(changes))
    _run(measure_capacity, settings, Opening(out=out, fresh=fresh, yes=yes, wait=wait), workers, quiet)


def _given(changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if value is not None}


def _words(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(option: str, text: str | None) -> tuple[int, ...] | None:
    from rote.errors import SettingsError

    try:
        words = _words(text)
        return None if words is None else tuple(int(word) for word in words)
    except ValueError as error:
        raise SettingsError(f"{option} is {text!r}; expected whole numbers separated by commas") from error


def _run(work: Callable[..., Run], settings: Any, opening: Opening, workers: int | None, quiet: bool) -> None:
    from rote.cli.progress import Narrator

    opening.agreed()
    with resumable(opening.out), Narrator(quiet=quiet) as narrator:
        run = work(
            settings,
            folder=opening.out,
            executor=processes(workers),
            fresh=opening.fresh,
            wait=opening.wait,
            on_event=narrator,
        )
    say_findings(run, quiet)
