"""The experiments, one folder each: card, measure (torch), section (no torch). Here is the one tuple of all of them.

`rote.experiments.PathAblation` and the like are the measuring classes, imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rote.catalog import ExperimentCard
from rote.experiments import (
    class_neurons,
    concatenation,
    direct_effects,
    effective_model,
    head_attention,
    key_or_value,
    known_facts,
    known_norms,
    layer_probes,
    linear_structure,
    local_processing,
    lookup_window,
    nonlinear_excess,
    orthogonal_remainder,
    path_ablation,
    readout,
    shared_neurons,
    value_inputs,
)
from rote.experiments.entry import Entry

ENTRIES: tuple[Entry, ...] = (
    known_facts.ENTRY,
    direct_effects.ENTRY,
    head_attention.ENTRY,
    value_inputs.ENTRY,
    key_or_value.ENTRY,
    readout.ENTRY,
    concatenation.ENTRY,
    lookup_window.ENTRY,
    effective_model.ENTRY,
    layer_probes.ENTRY,
    path_ablation.ENTRY,
    linear_structure.ENTRY,
    known_norms.ENTRY,
    shared_neurons.ENTRY,
    class_neurons.ENTRY,
    nonlinear_excess.ENTRY,
    orthogonal_remainder.ENTRY,
    local_processing.ENTRY,
)  # in the order in which a study runs them

_BASES = ("Experiment", "Reading", "StackExperiment", "Study", "TextExperiment")


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
