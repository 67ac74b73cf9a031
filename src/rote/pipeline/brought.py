"""Experiments and controls that a user brings: told from rote's own, and taken from a file that he names.

Code that a user names himself is run; nothing else is.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle

from rote.catalog import ExperimentCard
from rote.errors import ExperimentError, InputError
from rote.experiments import ENTRIES
from rote.experiments.base import Experiment
from rote.experiments.entry import Draw, Entry
from rote.lineup import Control


@dataclass(frozen=True, kw_only=True)
class Brought:
    """What a user's file holds; `sections` are how its experiments are drawn, by name."""

    experiments: tuple[Experiment, ...] = ()
    controls: tuple[Control, ...] = ()
    sections: tuple[tuple[str, Draw], ...] = ()


def chosen(given: Iterable[Experiment | Entry]) -> tuple[tuple[Experiment, ...], dict[str, Draw]]:
    """Experiments, made of entries where these were given, and the sections of those entries.

    ExperimentError where one has no card, or two have one name.
    """
    experiments: list[Experiment] = []
    sections: dict[str, Draw] = {}
    problems: list[str] = []
    for one in given:
        experiment = one.load()() if isinstance(one, Entry) else one
        if not isinstance(getattr(experiment, "card", None), ExperimentCard):
            problems.append(
                f"{type(experiment).__name__} has no card; expected its class to say what it measures: "
                "card = rote.ExperimentCard(...)"
            )
            continue
        if isinstance(one, Entry) and one.section is not None and one not in ENTRIES:
            sections[experiment.name] = one.section
        if experiment.name in (e.name for e in experiments):
            problems.append(f"two experiments are called {experiment.name}; give one of them another name on its card")
        experiments.append(experiment)
    if problems:
        raise ExperimentError(problems)
    return tuple(experiments), sections


def bring(path: Path) -> Brought:
    """Run a file, and take every experiment and control that it defines: entries, instances, else classes as they are.

    InputError where it cannot be run, or defines none; ExperimentError as `chosen` says.
    """
    module = _run(path)
    named = [value for name, value in vars(module).items() if not name.startswith("_")]
    entries = [v for v in named if isinstance(v, Entry) and v not in ENTRIES]
    told = {e.load() for e in entries} | {type(v) for v in named if not inspect.isclass(v)}
    classes = [v for v in named if inspect.isclass(v) and v.__module__ == module.__name__ and v not in told]
    made = [v for v in named if isinstance(v, (Experiment, Control))]
    try:
        made += [v() for v in classes if issubclass(v, (Experiment, Control)) and not inspect.isabstract(v)]
    except TypeError as error:
        raise InputError(
            f"{path}: {error}; give an instance with its parameters at the top level of the file"
        ) from error
    experiments, sections = chosen([*entries, *(v for v in made if isinstance(v, Experiment))])
    controls = tuple(v for v in made if isinstance(v, Control))
    if not experiments and not controls:
        raise InputError(
            f"{path} defines no experiment and no control; expected a subclass of rote.Experiment at least"
        )
    return Brought(experiments=experiments, controls=controls, sections=tuple(sections.items()))


def _run(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path) if path.is_file() and path.suffix == ".py" else None
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file; expected one that defines experiments or controls")
    if path.stem in sys.modules and Path(getattr(sys.modules[path.stem], "__file__", "") or "") != path.absolute():
        raise InputError(f"{path} has the name of a module that is loaded already; give the file another name")
    module = module_from_spec(spec)
    sys.modules[path.stem] = module  # pickle looks its classes up there
    cloudpickle.register_pickle_by_value(module)  # workers elsewhere have no such file
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[path.stem]
        raise InputError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    return module


def together(paths: Sequence[Path]) -> Brought:
    """What several files hold; InputError and ExperimentError as `bring` says."""
    found: list[Any] = [bring(path) for path in paths]
    return Brought(
        experiments=tuple(e for b in found for e in b.experiments),
        controls=tuple(c for b in found for c in b.controls),
        sections=tuple(s for b in found for s in b.sections),
    )
