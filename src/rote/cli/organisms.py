"""`rote organism …`: small models whose facts are known; arguments to `organisms` and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from rote.cli.run_options import Quiet, refuse
from rote.cli.toys import command_of
from rote.toys import toy

organism = typer.Typer(no_args_is_help=True, help="Small models whose facts and place of look-up are known.")


@organism.command("train")
def organism_train(
    out: Annotated[Path, typer.Option("--out", help="Folder for the checkpoint.")],
    layout: Annotated[str, typer.Option(help="gpt_neox, gpt2 or llama.")] = "gpt_neox",
    force: Annotated[str, typer.Option(help="full, auxiliary or none: how the look-up is planted.")] = "full",
    names: Annotated[
        str, typer.Option(help="whole, or pieces: names of two to four tokens, longer answers.")
    ] = "whole",
    settings: Annotated[str, typer.Option(help='Other training settings as JSON, such as {"steps": 500}.')] = "{}",
    seed: Annotated[int, typer.Option(help="Seed of world, weights and data.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Train an organism; with the defaults, the bundled one (under 20 minutes on two cores)."""
    from rote.model.memory import keep_freed_memory
    from rote.organisms import TrainSettings, train

    if out.exists() and any(out.iterdir()):
        refuse(f"{out} is not empty; choose a new folder, nothing is overwritten")
    try:
        values = {"layout": layout, "force": force, "names": names, "seed": seed, **json.loads(settings)}
        values |= {"window": tuple(values["window"])} if "window" in values else {}
        chosen = TrainSettings(**values)
    except (json.JSONDecodeError, TypeError) as error:
        refuse(f"--settings {settings!r} cannot be used: {error}; expected a JSON object of training settings")
    keep_freed_memory()

    def show(progress: Any) -> None:
        if not quiet:
            typer.echo(f"step {progress.step:5d} of {progress.steps}   loss {progress.loss_nats:.3f} nats", err=True)

    trained = train(chosen, out, progress=show)
    for relation, accuracy in trained.accuracy.items():
        typer.echo(f"{relation:20s} {accuracy:.4f}")
    typer.echo(f"{trained.folder} ({trained.seconds:.0f} s)")


organism.command("capacity", help=toy("organism_capacity").question)(command_of(toy("organism_capacity")))


@organism.command("list")
def organism_list() -> None:
    """Show the bundled organism: where it lies, what it knows, how it was made."""
    from rote.organisms import BUNDLED

    trained = json.loads((BUNDLED / "training.json").read_text(encoding="utf-8"))
    typer.echo(f"{BUNDLED}\n  settings  {json.dumps(trained['settings'])}")
    for relation, accuracy in trained["accuracy"].items():
        typer.echo(f"  accuracy  {relation:20s} {accuracy:.4f}")
