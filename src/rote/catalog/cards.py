"""The experiments in study order."""

from __future__ import annotations

from rote.catalog.facts_and_heads import (
    DIRECT_EFFECTS,
    HEAD_ATTENTION,
    KEY_OR_VALUE,
    KNOWN_FACTS,
    VALUE_INPUTS,
)
from rote.catalog.interactions import NONLINEAR_EXCESS, ORTHOGONAL_REMAINDER
from rote.catalog.mlps import KNOWN_NORMS, LAYER_PROBES, LINEAR_STRUCTURE, PATH_ABLATION
from rote.catalog.name_position import CONCATENATION, EFFECTIVE_MODEL, LOOKUP_WINDOW, READOUT
from rote.catalog.neurons import CLASS_NEURONS, SHARED_NEURONS
from rote.catalog.organisms import ORGANISM_CAPACITY
from rote.catalog.text import LOCAL_PROCESSING
from rote.catalog.toys import BAGGING, CAPACITY, MEMORISATION
from rote.catalog.types import ExperimentCard

CARDS: tuple[ExperimentCard, ...] = (
    KNOWN_FACTS,
    DIRECT_EFFECTS,
    HEAD_ATTENTION,
    VALUE_INPUTS,
    KEY_OR_VALUE,
    READOUT,
    CONCATENATION,
    LOOKUP_WINDOW,
    EFFECTIVE_MODEL,
    LAYER_PROBES,
    PATH_ABLATION,
    LINEAR_STRUCTURE,
    KNOWN_NORMS,
    SHARED_NEURONS,
    CLASS_NEURONS,
    NONLINEAR_EXCESS,
    ORTHOGONAL_REMAINDER,
    LOCAL_PROCESSING,
)

# what `rote toy` measures: no part of a study of a language model
TOY_CARDS: tuple[ExperimentCard, ...] = (MEMORISATION, BAGGING, CAPACITY)


# experiments that train the models which they study, each by a command of its own; no part of `rote study`
TRAINED_CARDS: tuple[ExperimentCard, ...] = (ORGANISM_CAPACITY,)


def card(name: str) -> ExperimentCard:
    """The card of one experiment; KeyError with the names there are."""
    every = (*CARDS, *TOY_CARDS, *TRAINED_CARDS)
    for found in every:
        if found.name == name:
            return found
    raise KeyError(f"no experiment is called {name!r}; there are {', '.join(c.name for c in every)}")
