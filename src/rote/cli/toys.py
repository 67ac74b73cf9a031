"""`rote toy …`: small networks trained for one question; arguments to the one runner of toys and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from rote.cli.run_options import Fresh, Opening, Out, Quiet, Wait, Workers, Yes, processes, resumable, say_findings
from rote.errors import SettingsError
from rote.toys import TOYS, Toy

toy = typer.Typer(
    no_args_is_help=True, help="Small networks that show one thing in the pure: memorisation, and how much fits."
)

Quick = Annotated[bool, typer.Option("--quick", help="A smaller version, in under two minutes.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="A setting, such as neurons=64,16; repeatable. --set help lists all, with their values."
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]


def run(
    chosen: Toy,
    out: Path,
    quick: bool,
    changes: list[str] | None,
    seed: int,
    workers: int | None,
    opening: Opening,
    quiet: bool,
) -> None:
    """Run one toy with the settings that were asked for."""
    from rote.cli.progress import Narrator
    from rote.pipeline.toys import run_toy

    if changes == ["help"]:
        from rote.experiments.parameters import shown

        typer.echo("\n".join(f"{name}={shown(value)}" for name, value in _defaults(chosen, quick).items()))
        return
    settings = settings_of(chosen, changes or [], quick, seed)
    opening.agreed()
    with resumable(out), Narrator(quiet=quiet) as narrator:
        done = run_toy(
            chosen,
            settings,
            folder=out,
            executor=processes(workers),
            fresh=opening.fresh,
            wait=opening.wait,
            on_event=narrator,
        )
    say_findings(done, quiet)


def _defaults(chosen: Toy, quick: bool) -> dict[str, Any]:
    settings = chosen.chosen({}, quick=quick)
    return {field.name: getattr(settings, field.name) for field in fields(settings)}


def settings_of(chosen: Toy, changes: Sequence[str], quick: bool, seed: int) -> Any:
    """A toy's settings from words `name=value`, read as their defaults are; SettingsError with all that is wrong."""
    from rote.experiments.parameters import read_changes, read_value, shown

    defaults, found, problems = _defaults(chosen, quick), {"seed": seed}, []
    for name, text in read_changes(changes).items():
        if name not in defaults:
            problems.append(f"--set {name}: the settings of {chosen.name} are {', '.join(defaults)}")
            continue
        try:
            found[name] = read_value(text, defaults[name])
        except (KeyError, ValueError, TypeError):
            problems.append(f"--set {name}={text}: expected a value such as {shown(defaults[name])}")
    if problems:
        raise SettingsError(problems)
    return chosen.chosen(found, quick=quick)


def command_of(chosen: Toy) -> Callable[..., None]:
    """The command that runs one toy."""

    def command(
        out: Out = Path(f"runs/toy-{chosen.name}"),
        quick: Quick = False,
        changes: Set = None,
        seed: Seed = 0,
        workers: Workers = None,
        fresh: Fresh = False,
        yes: Yes = False,
        wait: Wait = False,
        quiet: Quiet = False,
    ) -> None:
        run(chosen, out, quick, changes, seed, workers, Opening(out=out, fresh=fresh, yes=yes, wait=wait), quiet)

    return command


for _toy in TOYS:
    toy.command(_toy.name, help=_toy.question)(command_of(_toy))
