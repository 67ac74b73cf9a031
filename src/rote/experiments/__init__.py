"""The experiments, one folder each: card, measure (torch), section (no torch). Here is the one tuple of all of them.

`rote.experiments.PathAblation` and the like are the measuring classes, imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rote.catalog import ExperimentCard
from rote.experiments.entry import Entry

# in the order in which a study runs them
_ROOMS = (
    "known_facts",
    "direct_effects",
    "head_attention",
    "value_inputs",
    "key_or_value",
    "readout",
    "concatenation",
    "lookup_window",
    "effective_model",
    "layer_probes",
    "path_ablation",
    "linear_structure",
    "known_norms",
    "shared_neurons",
    "class_neurons",
    "nonlinear_excess",
    "orthogonal_remainder",
    "logit_lens",
    "local_processing",
)
ENTRIES: tuple[Entry, ...] = tuple(import_module(f"rote.experiments.{room}").ENTRY for room in _ROOMS)

_BASES = ("Experiment", "Facts", "Reading", "StackExperiment", "Study", "Task")


def card(name: str) -> ExperimentCard:
    """The card of one experiment; KeyError with the names there are."""
    for entry in ENTRIES:
        if entry.name == name:
            return entry.card
    raise KeyError(f"no experiment is called {name!r}; there are {', '.join(e.name for e in ENTRIES)}")


def __getattr__(name: str) -> Any:
    if name == "EXPERIMENTS":
        return tuple(entry.load()() for entry in ENTRIES)
    if name in _BASES:
        return getattr(import_module("rote.experiments.base"), name)
    for entry in ENTRIES:
        if name == entry.class_name:
            return entry.load()
    raise AttributeError(f"module 'rote.experiments' has no attribute {name!r}")
