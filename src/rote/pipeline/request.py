"""Everything that a study is given, checked together before a weight is loaded: all problems are said at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from rote.errors import InputError
from rote.experiments import EXPERIMENTS
from rote.experiments.base import Experiment
from rote.experiments.entry import Draw
from rote.experiments.parameters import read_changes, with_parameters
from rote.facts import FactTable, read_facts
from rote.facts.intake import MAX_FACTS
from rote.lineup import CONTROLS, Control
from rote.model.load import checkpoint_problems, load_config, load_tokenizer, place_problems
from rote.pipeline.bos import bos_problems
from rote.pipeline.brought import Brought, chosen, together
from rote.pipeline.checks import Checker
from rote.pipeline.worker import require_facts
from rote.settings import Settings
from rote.text import Text, read_text

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asked for, as it was given; names are not looked up and files not read yet."""

    model: str
    facts: str | FactTable | None
    out: Path | None = None
    text: tuple[Path, ...] = ()
    relation: tuple[str, ...] | None = None
    template: str | None = None
    prefix: str | None = None
    experiments: str | None = None
    controls: str | None = None
    brought: tuple[Path, ...] = ()  # files of experiments and controls of the user's own
    settings: Path | None = None
    parameters: tuple[str, ...] = ()  # of experiments: `experiment.name=value`
    seed: int | None = None
    sweeps: str | None = None
    shots: int | None = None
    chat: bool | None = None
    revision: str | None = None
    device: str | None = None
    dtype: str = "float32"
    bos: str | None = None
    leave_out: bool = False
    max_facts: int = MAX_FACTS
    allow_pickle: bool = False
    elsewhere: bool = False  # workers on other machines load the model; this one may have no such device

    @property
    def loading(self) -> dict[str, Any]:
        """What `load_model` takes beside the model's name."""
        return {key: getattr(self, key) for key in ("revision", "device", "dtype", "bos", "allow_pickle")}


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a study runs on; the model's weights are all that is not loaded yet."""

    table: FactTable | None
    text: Text | None
    settings: Settings
    experiments: tuple[Experiment, ...]
    controls: tuple[Control, ...]
    drawn: tuple[tuple[str, Draw], ...] = ()
    leave_out: bool = True  # relations that cannot be asked
    notes: tuple[str, ...] = ()  # of relations that are left out, or that nothing can be asked beside the studied ones

    @property
    def measured(self) -> dict[str, Any]:
        """What `study` and `plan` take beside the model and the table."""
        given = {"settings": self.settings, "experiments": self.experiments, "controls": self.controls}
        return {**given, "text": self.text, "leave_out": self.leave_out}


def read_inputs(request: Request) -> Inputs:
    """Read and check all that was asked for; InputError with every problem of facts, settings, names, folder, model."""
    problems: list[str] = []

    def tried(read: Callable[[], _T]) -> _T | None:
        try:
            return read()
        except InputError as error:
            problems.extend(error.problems)
            return None

    table = checked = tried(lambda: _table(request))
    if (
        table is None and request.facts is not None
    ):  # the rows that can be used are put before the tokenizer all the same
        with suppress(InputError):
            checked = _table(replace(request, leave_out=True))
    text = tried(lambda: read_text(request.text)) if request.text else None
    settings = tried(lambda: _settings(request))
    own = tried(lambda: together(request.brought)) or Brought()
    known = (*EXPERIMENTS, *own.experiments)
    experiments = tried(lambda: _experiments(request, known))
    lineup = (*CONTROLS, *own.controls)
    controls = tried(lambda: () if request.controls == "none" else named(request.controls, lineup, "control"))
    if request.facts is None and experiments is not None and not (request.text and text is None):
        tried(lambda: require_facts(None, text, experiments))
    if request.out is not None:
        problems += folder_problems(request.out)
    problems += place_problems(request.dtype, None if request.elsewhere else request.device)
    files = checkpoint_problems(request.model, allow_pickle=request.allow_pickle)
    problems += files
    config = tokenizer = None
    if not files:
        config = tried(lambda: load_config(request.model, request.revision))
        tokenizer = tried(lambda: load_tokenizer(request.model, request.revision, bos=request.bos))
    notes: list[str] = []
    if tokenizer is not None and config is not None:
        problems += bos_problems(request.model, tokenizer, config, without=request.bos == "none")
        if checked is not None:
            checker = Checker(
                model=request.model,
                table=checked,
                tokenizer=tokenizer,
                config=config,
                relation=request.relation,
                experiments=experiments or (),
                leave_out=request.leave_out,
                settings=settings or Settings(),
            )
            found = checker.check()
            problems += found.problems
            notes += found.notes
    if problems or settings is None or experiments is None or controls is None:
        raise InputError(dict.fromkeys(problems))
    return Inputs(
        table=table,
        text=text,
        settings=settings,
        experiments=experiments,
        controls=controls,
        drawn=own.sections,
        leave_out=request.leave_out or not request.relation,
        notes=tuple(notes),
    )


def named(names: str | None, things: Sequence[_T], kind: str) -> tuple[_T, ...]:
    """Those of the things that are named, separated by commas, in their own order; all for None.

    InputError, with the names there are, for others.
    """
    if names is None:
        return tuple(things)
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = {str(getattr(thing, "name", "")): thing for thing in things}
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise InputError(f"no {kind} is called {', '.join(unknown) or '(nothing given)'}; there are {', '.join(known)}")
    return tuple(thing for name, thing in known.items() if name in wanted)


def folder_problems(out: Path) -> list[str]:
    """The sentence about a path that no run folder can have."""
    try:
        place = next(path for path in (out, *out.absolute().parents) if os.path.lexists(path))
    except (OSError, ValueError) as error:
        return [f"the run folder {str(out)[:200]!r} is no path ({error}); give the name of a new folder"]
    too_long = [part for part in out.parts if len(os.fsencode(part)) > 255]
    if too_long:
        return [f"the run folder's name {too_long[0][:60]!r}… has more than 255 bytes; give a shorter one"]
    if not place.is_dir():
        return [f"the run folder {out} cannot be made: {place} is no folder; give the name of a new or empty folder"]
    if not os.access(place, os.W_OK | os.X_OK):
        return [f"the run folder {out} cannot be made: {place} cannot be written; choose another place"]
    return []


def _table(request: Request) -> FactTable | None:
    if request.facts is None or isinstance(request.facts, FactTable):
        return request.facts
    table = read_facts(
        request.facts,
        # the table's other relations are asked about as well, but one template is for one relation
        relation=request.relation if request.template is not None else None,
        template=request.template,
        prefix=request.prefix,
        leave_out=request.leave_out,
        max_facts=request.max_facts,
    )
    if request.relation:
        table.select(request.relation)
    return table


def _experiments(request: Request, known: Sequence[Experiment]) -> tuple[Experiment, ...]:
    measured, _ = chosen(named(request.experiments, known, "experiment"))
    return with_parameters(measured, read_changes(request.parameters))


def _settings(request: Request) -> Settings:
    settings = Settings.read(request.settings) if request.settings else Settings()
    given = {name: getattr(request, name) for name in ("seed", "sweeps", "shots", "chat")}
    return Settings.of({**settings.as_dict(), **{name: value for name, value in given.items() if value is not None}})
