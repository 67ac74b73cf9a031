"""`rote facts`: how much of a table a model knows, by relation, template and examples before the question."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rote.cli.run_options import (
    AllowPickle,
    Bos,
    Chat,
    Device,
    Dtype,
    ModelName,
    Quiet,
    Revision,
    busy,
    refuse,
    say_notes,
)
from rote.errors import InputError, printable

if TYPE_CHECKING:
    from rote.pipeline.survey import Surveyed


def facts(
    model: ModelName,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="A file, a folder, or the built-in `athletes`.")],
    shots: Annotated[str, typer.Option(help="Numbers of examples before the question.")] = "0,1,4,8",
    relation: Annotated[list[str] | None, typer.Option(help="Relation to ask; repeatable. Default: all.")] = None,
    template: Annotated[
        list[str] | None, typer.Option(help="Question with one {}, for one relation; repeatable.")
    ] = None,
    prefix: Annotated[str | None, typer.Option(help='One-shot prefix; "" for none.')] = None,
    chat: Chat = False,
    out: Annotated[Path | None, typer.Option(help="File for the table: .csv, .parquet or .json.")] = None,
    settings: Annotated[Path | None, typer.Option(help="JSON file with settings.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice.")] = None,
    revision: Revision = None,
    device: Device = None,
    dtype: Dtype = "float32",
    bos: Bos = None,
    max_facts: Annotated[int, typer.Option(help="Refuse larger tables.")] = 1_000_000,
    allow_pickle: AllowPickle = False,
    quiet: Quiet = False,
) -> None:
    """Ask MODEL at most 100 facts of each relation of TABLE, with examples or without: how many does it know?"""
    from rote.facts.table import template_problems
    from rote.model import load_model
    from rote.model.load import hush
    from rote.pipeline.request import Request, read_inputs
    from rote.pipeline.survey import as_table, out_problems, surveyed, worded_tables, write

    hush()
    numbers = _numbers(shots)
    problems = out_problems(out) if out else []
    problems += [problem for given in (template or ())[1:] for problem in template_problems(given, "that was given")]
    request = Request(
        model=model,
        facts=table,
        relation=tuple(relation) if relation else None,
        template=template[0] if template else None,
        prefix=prefix,
        experiments="known_facts",
        controls="none",
        settings=settings,
        seed=seed,
        shots=min(numbers),
        chat=True if chat else None,
        revision=revision,
        device=device,
        dtype=dtype,
        bos=bos,
        leave_out=True,
        max_facts=max_facts,
        allow_pickle=allow_pickle,
    )
    try:
        inputs = read_inputs(request)
    except InputError as error:
        raise InputError([*problems, *error.problems]) from error
    if problems:
        raise InputError(problems)
    assert inputs.table is not None
    worded_tables(inputs.table, relation, template or ())  # a template that cannot be used is refused before loading
    say_notes(inputs.notes, quiet)
    with busy("loading", quiet):
        loaded = load_model(model, **request.loading)
    rows: list[Surveyed] = []
    asked = surveyed(
        loaded, inputs.table, shots=numbers, relation=relation, templates=template or (), settings=inputs.settings
    )
    for row in asked:
        if not quiet:
            if not rows or (row.relation, row.template) != (rows[-1].relation, rows[-1].template):
                typer.echo(printable(f"{row.relation}   {row.template!r}"))
            typer.echo(printable(_line(row)))
        rows.append(row)
    if out is not None:
        write(as_table(rows), out)
        typer.echo(f"table: {out}")
    if not quiet:
        typer.echo(_best(rows))


def _numbers(shots: str) -> list[int]:
    try:
        numbers = [int(part) for part in shots.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0:
        refuse(f"--shots is {shots!r}; expected numbers of examples separated by commas, such as 0,1,4,8")
    return numbers


def _line(row: Surveyed) -> str:
    shots = f"  {row.shots:2d} shot{' ' if row.shots == 1 else 's'}"
    if row.reason is not None or row.probability is None or row.top1 is None or row.among_answers is None:
        return f"{shots}  not asked: {row.reason}"
    n = row.n_facts
    return (
        f"{shots}  {n:4,d} of {row.n_in_all:,} facts   p > ½ {_share(row.probability, n)}   "
        f"top 1 {_share(row.top1, n)}   best of {row.n_answers:,} answers {_share(row.among_answers, n)} "
        f"(the commonest {row.commonest:.0%})"
    )


def _share(count: int, n: int) -> str:
    return f"{count / n:4.0%}"


def _best(rows: list[Surveyed]) -> str:
    """The wording in which most facts are known, as options of `rote study`."""
    able = [row for row in rows if row.probability]
    if not able:
        return "no relation is known with a probability above ½: more shots, another template, or a larger model"
    best = max(able, key=lambda row: ((row.probability or 0) / row.n_facts * row.n_in_all, -row.shots))
    about = round((best.probability or 0) / best.n_facts * best.n_in_all)
    shots = f" --shots {best.shots}" if best.shots else ""
    chat = " --chat" if best.chat else ""
    return printable(f"most is known with: --relation {best.relation!r}{shots}{chat} (about {about:,} facts)")
