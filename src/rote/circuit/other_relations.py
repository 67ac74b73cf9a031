"""Readouts of the table's other relations, so that one stack answers all that is known about an entity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from rote.asking.recall import Recall
from rote.circuit.extraction import head_readouts
from rote.circuit.top_heads import Head
from rote.stack import Stack

LEAST = 4  # known entities of the selection half below which a relation gets no readout


@dataclass(frozen=True, kw_only=True, eq=False)
class OtherRelation:
    """A relation beside the studied one: its known facts, and the heads that read it."""

    recall: Recall
    heads: tuple[Head, ...]


def with_relations(stack: Stack, others: Sequence[OtherRelation]) -> Stack:
    """The stack with the readouts of other relations, centred and calibrated on its own outputs.

    `entities.cls[relation]` is −1 where the model does not know that fact. A relation known of hardly any of the
    stack's entities is left out.
    """
    output, use = stack.run_entities().output, stack.entities.selection
    readouts, classes = dict(stack.readouts), dict(stack.entities.cls)
    for other in others:
        cls = _classes(stack, other.recall)
        fitting = use & (cls >= 0)
        if fitting.sum() < LEAST:
            continue
        readout = head_readouts(other.recall, other.heads)[-1].centred_on(output[torch.as_tensor(fitting)])
        readouts[other.recall.relation] = readout.calibrated(output, cls, fitting)
        classes[other.recall.relation] = cls
    return replace(stack, readouts=readouts, entities=replace(stack.entities, cls=classes))


def _classes(stack: Stack, recall: Recall) -> np.ndarray:
    place = {name: int(c) for name, c in zip(recall.names, recall.cls, strict=True)}
    return np.array([place.get(name, -1) for name in stack.entities.names])
