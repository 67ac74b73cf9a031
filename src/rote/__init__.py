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
    from rote.settings import Settings
    from rote.stack import Stack
    from rote.text import Text, read_text

_HOMES = {
    "CONTROLS": "rote.lineup",
    "Circuit": "rote.circuit",
    "Control": "rote.lineup",
    "EXPERIMENTS": "rote.experiments",
    "Edit": "rote.model",
    "Entry": "rote.experiments.entry",
    "Experiment": "rote.experiments.base",
    "ExperimentCard": "rote.catalog",
    "FactTable": "rote.facts",
    "Inline": "rote.execute",
    "Model": "rote.model",
    "ModelSpec": "rote.model",
    "Processes": "rote.execute",
    "Ray": "rote.execute",
    "Read": "rote.model",
    "Run": "rote.pipeline.run",
    "Settings": "rote.settings",
    "Site": "rote.model",
    "Stack": "rote.stack",
    "StackExperiment": "rote.experiments.base",
    "StatisticCard": "rote.catalog",
    "Text": "rote.text",
    "build_controls": "rote.lineup",
    "find_circuit": "rote.pipeline.study",
    "load_model": "rote.model",
    "open_run": "rote.pipeline.run",
    "read_facts": "rote.facts",
    "read_text": "rote.text",
    "study": "rote.pipeline.study",
}

__all__ = [
    "CONTROLS",
    "EXPERIMENTS",
    "Circuit",
    "Control",
    "Edit",
    "Entry",
    "Experiment",
    "ExperimentCard",
    "FactTable",
    "Inline",
    "Model",
    "ModelSpec",
    "Processes",
    "Ray",
    "Read",
    "Run",
    "Settings",
    "Site",
    "Stack",
    "StackExperiment",
    "StatisticCard",
    "Text",
    "build_controls",
    "experiments",
    "find_circuit",
    "load_model",
    "open_run",
    "read_facts",
    "read_text",
    "study",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("rote-lm")
    if name == "experiments":
        return import_module("rote.experiments")
    if name not in _HOMES:
        raise AttributeError(f"module 'rote' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
