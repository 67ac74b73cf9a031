"""rote: how a language model knows a fact by rote.

The public names, loaded when first used, so that judging and reporting need no torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rote import experiments
    from rote.catalog import ExperimentCard, StatisticCard
    from rote.circuit import Circuit
    from rote.execute import Inline, Processes, Ray
    from rote.experiments import EXPERIMENTS
    from rote.experiments.base import Experiment, StackExperiment
    from rote.experiments.entry import Entry
    from rote.facts import FactTable, read_facts
    from rote.lineup import CONTROLS, Control, build_controls
    from rote.model import Edit, Model, ModelSpec, Read, Site, load_model
    from rote.pipeline.run import Run, open_run
    from rote.pipeline.study import find_circuit, study
    from rote.pipeline.survey import survey
    from rote.settings import Settings
    from rote.stack import Stack
    from rote.text import Text, read_text

_HOMES = {
    "rote.catalog": ("ExperimentCard", "StatisticCard"),
    "rote.circuit": ("Circuit",),
    "rote.execute": ("Inline", "Processes", "Ray"),
    "rote.experiments": ("EXPERIMENTS",),
    "rote.experiments.base": ("Experiment", "StackExperiment"),
    "rote.experiments.entry": ("Entry",),
    "rote.facts": ("FactTable", "read_facts"),
    "rote.lineup": ("CONTROLS", "Control", "build_controls"),
    "rote.model": ("Edit", "Model", "ModelSpec", "Read", "Site", "load_model"),
    "rote.pipeline.run": ("Run", "open_run"),
    "rote.pipeline.study": ("find_circuit", "study"),
    "rote.pipeline.survey": ("survey",),
    "rote.settings": ("Settings",),
    "rote.stack": ("Stack",),
    "rote.text": ("Text", "read_text"),
}
__all__ = sorted(["experiments", *(name for names in _HOMES.values() for name in names)])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("rote-lm")
    if name == "experiments":
        return import_module("rote.experiments")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'rote' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
