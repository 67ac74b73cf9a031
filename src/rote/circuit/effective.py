"""The effective model: the circuit distilled into a stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int

from rote.asking.recall import Recall
from rote.circuit.concatenation import exact_inputs, input_tables
from rote.circuit.extraction import head_readouts
from rote.circuit.product import in_tables
from rote.circuit.top_heads import Head
from rote.stack import Entities, Readout, Stack, StackLayer, StackRun
from rote.stack.stack import run_layers


def effective_model(recall: Recall, heads: Sequence[Head], start: int, stop: int) -> Stack:
    """x = E_first + E_last + constant, through MLPs start..stop with attention frozen, to the heads' readout.

    On names of two parts whose stratum makes a product; every stratum has its own tables and frozen attention. The
    readout is centred on the stack's mean output over the selection half and its temperature is fitted there.
    Layers count from 0. NotApplicable where too few names have two parts or the MLPs have no single neurons (mixtures
    of experts), MeasurementError where the tables' least squares do not converge. Source: Fact Finding, post 2.
    """
    tables = input_tables(recall, start)
    facts, numbers = recall.two_part, np.arange(len(tables.products))
    place = {int(fact): i for i, fact in enumerate(facts)}
    first, last, taken = np.zeros(len(facts), dtype=int), np.zeros(len(facts), dtype=int), set()
    for product, row, column in in_tables(tables.products):
        own = [place[int(fact)] for fact in product.facts]
        of_first, of_last = product.own(recall)
        first[own], last[own] = of_first + row, of_last + column
        taken |= {(a + row, b + column) for a, b in product.taken(recall.table_names)}
    stack = Stack(
        name="effective",
        first=tables.first,
        last=tables.last,
        constant=tables.constant,
        layers=stack_layers(recall, start, stop, [product.facts for product in tables.products]),
        readouts={},
        entities=Entities(
            names=tuple(recall.names[i] for i in facts),
            first=first,
            last=last,
            cls={recall.relation: recall.cls[facts]},
            selection=recall.selection[facts],
            taken=frozenset(taken),
        ),
        stratum=None if len(numbers) == 1 else np.repeat(numbers, [len(p.firsts) for p in tables.products]),
    )
    return with_readout(stack, recall, heads)


@dataclass(frozen=True, kw_only=True, eq=False)
class ExactRun:
    """The effective model on `exact` input, for every known fact: what it puts out, and its readout."""

    run: StackRun
    readout: Readout


def exact_run(recall: Recall, heads: Sequence[Head], start: int, stop: int) -> ExactRun:
    """The same layers and readout on the frozen-attention residual stream itself, which no sum stands for.

    What `effective_model` loses against it is lost to additivity. The readout is centred and its temperature fitted on
    the selection half. NotApplicable where the MLPs have no single neurons.
    """
    strata = list(recall.strata.values())
    layers, stratum = stack_layers(recall, start, stop, strata), np.zeros(len(recall), dtype=int)
    for number, facts in enumerate(strata):
        stratum[facts] = number
    x, use = exact_inputs(recall, start), recall.selection
    run = run_layers(layers, x, stratum)
    readout = head_readouts(recall, heads)[-1].centred_on(run.output[torch.as_tensor(use)])
    return ExactRun(run=run, readout=readout.calibrated(run.output, recall.cls, use))


def with_readout(stack: Stack, recall: Recall, heads: Sequence[Head]) -> Stack:
    """The stack with the relation's readout, centred and calibrated on its own outputs."""
    x = stack.run_entities().output
    use = stack.entities.selection
    readout = head_readouts(recall, heads)[-1].centred_on(x[torch.as_tensor(use)])
    fitted = readout.calibrated(x, stack.entities.cls[recall.relation], use)
    return Stack(**{**vars(stack), "readouts": {**stack.readouts, recall.relation: fitted}})


def stack_layers(
    recall: Recall, start: int, stop: int, strata: Sequence[Int[np.ndarray, " some"]]
) -> tuple[StackLayer, ...]:
    """MLPs start..stop as stack layers; ā is attention's mean output at subject_last of name-only prompts.

    `strata`: the facts over which means are taken, one mean for each. NotApplicable where the MLPs have no single
    neurons.
    """
    model, numbers = recall.model, tuple(range(start, stop + 1))
    attention = recall.contributions("attn", numbers, name_only=True)
    means = {
        site.layer: torch.stack([x[torch.as_tensor(facts)].mean(0) for facts in strata]).squeeze(0)
        for site, x in attention.items()
    }
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
