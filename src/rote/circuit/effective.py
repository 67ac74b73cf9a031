"""The effective model: the circuit distilled into a stack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rote.asking.recall import Recall
from rote.circuit.concatenation import input_tables
from rote.circuit.extraction import head_readouts
from rote.circuit.top_heads import Head
from rote.stack import Entities, Stack, StackLayer


def effective_model(recall: Recall, heads: Sequence[Head], start: int, stop: int) -> Stack:
    """x = E_first + E_last + constant, through MLPs start..stop with attention frozen, to the heads' readout.

    The readout is centred on the stack's mean output over the selection half and its temperature is fitted there.
    Layers count from 0. NotApplicable where too few names have two tokens or the MLPs have no single neurons (mixtures
    of experts), MeasurementError where the tables' least squares do not converge. Source: Fact Finding, post 2.
    """
    facts = recall.require_two_token()
    tables = input_tables(recall, start)
    first, last = tables.product.index(recall.prompts.first[facts], recall.prompts.last[facts])
    known = dict(zip(zip(recall.prompts.first[facts], recall.prompts.last[facts], strict=True), facts, strict=True))
    taken = set(recall.table_names) | set(known)
    stack = Stack(
        name="effective",
        first=tables.first,
        last=tables.last,
        constant=tables.constant,
        layers=stack_layers(recall, start, stop),
        readouts={},
        entities=Entities(
            names=tuple(recall.names[i] for i in facts),
            first=first,
            last=last,
            cls={recall.relation: recall.cls[facts]},
            selection=recall.selection[facts],
            taken=_indexed(tables.product.firsts, tables.product.lasts, taken),
        ),
    )
    return with_readout(stack, recall, heads)


def with_readout(stack: Stack, recall: Recall, heads: Sequence[Head]) -> Stack:
    """The stack with the relation's readout, centred and calibrated on its own outputs."""
    x = stack.run_entities().output
    use = stack.entities.selection
    readout = head_readouts(recall, heads)[-1].centred_on(x[torch.as_tensor(use)])
    fitted = readout.calibrated(x, stack.entities.cls[recall.relation], use)
    return Stack(**{**vars(stack), "readouts": {**stack.readouts, recall.relation: fitted}})


def stack_layers(recall: Recall, start: int, stop: int) -> tuple[StackLayer, ...]:
    """MLPs start..stop as stack layers; ā is attention's mean output at subject_last of name-only prompts.

    NotApplicable where the MLPs have no single neurons.
    """
    model, numbers = recall.model, tuple(range(start, stop + 1))
    facts = torch.as_tensor(recall.two_token)
    attention = recall.contributions("attn", numbers, name_only=True)
    means = {site.layer: x[facts].mean(0) for site, x in attention.items()}
    layers = []
    for number in numbers:
        inside = not model.parallel and number == start  # the input of a sequential stack already holds it
        layers.append(
            StackLayer(
                number=number,
                attention=torch.zeros_like(means[number]) if inside else means[number],
                norm=model.mlp_norm(number),
                mlp=model.mlp(number),
                out_norm=model.mlp_out_norm(number),
                parallel=model.parallel,
            )
        )
    return tuple(layers)


def _indexed(firsts: np.ndarray, lasts: np.ndarray, pairs: set[tuple[int, int]]) -> frozenset[tuple[int, int]]:
    """Token pairs as index pairs, those whose tokens are in both tables."""
    row = {int(t): i for i, t in enumerate(firsts)}
    column = {int(t): i for i, t in enumerate(lasts)}
    return frozenset((row[int(a)], column[int(b)]) for a, b in pairs if int(a) in row and int(b) in column)
