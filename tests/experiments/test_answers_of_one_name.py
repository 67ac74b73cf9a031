"""Answers with one name each, and names in several strata: what needs neither runs, what does says why it cannot."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "stack"))
from stack_maker import D_MODEL, KINDS, make

from rote.errors import NotApplicable
from rote.experiments import EXPERIMENTS, StackExperiment
from rote.lineup import CONTROLS, Target
from rote.pipeline.line_up import stack_experiments
from rote.settings import Settings
from rote.stack import Readout, Stack

SETTINGS = Settings(n_bootstrap=50, n_member_bootstrap=20, n_refine_steps=20, n_members=1, max_entities=30)
ON_STACKS = [e for e in EXPERIMENTS if isinstance(e, StackExperiment)]


def one_name_each(kind: str) -> Stack:
    """Every entity its own answer."""
    stack = make(**KINDS[kind])  # type: ignore[arg-type]
    n, generator = len(stack.entities), torch.Generator().manual_seed(1)
    readout = Readout(
        relation="capital",
        classes=tuple(f"c{i}" for i in range(n)),
        weight=torch.randn(D_MODEL, n, generator=generator),
        centre=torch.zeros(D_MODEL),
    )
    entities = replace(stack.entities, cls={"capital": np.arange(n)})
    return replace(stack, readouts={"capital": readout}, entities=entities)


def in_strata(kind: str) -> Stack:
    """First parts 0 to 4 are of one stratum, the others of another, each with attention of its own."""
    stack = make(**KINDS[kind])  # type: ignore[arg-type]
    stratum = (np.arange(len(stack.first)) > 4).astype(int)
    shift = torch.randn(2, D_MODEL, generator=torch.Generator().manual_seed(2))
    layers = tuple(replace(layer, attention=layer.attention + shift) for layer in stack.layers)
    lasts = stack.entities.last + 8 * stratum[stack.entities.first]  # a last part is a row of its stratum
    entities = replace(stack.entities, last=lasts)
    return replace(stack, last=torch.cat([stack.last, stack.last]), layers=layers, entities=entities, stratum=stratum)


WORLDS = {"one name each": one_name_each, "strata": in_strata}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("kind", ["parallel LayerNorm", "sequential gated RMSNorm, norm behind"])
@pytest.mark.parametrize("experiment", ON_STACKS, ids=lambda e: e.name)
def test_every_experiment_on_stacks_gives_rows_or_a_reason(experiment: StackExperiment, kind: str, world: str) -> None:
    stack = WORLDS[world](kind)
    try:
        record = experiment(stack, SETTINGS)
    except NotApplicable as error:
        assert len(error.reason) > 10
        return
    assert record.rows or record.absent
    assert all(np.isfinite(row.value) for row in record.rows)


def test_probes_without_repeated_classes_say_so() -> None:
    (probes,) = (e for e in ON_STACKS if e.name == "layer_probes")
    with pytest.raises(NotApplicable, match="no class has two of the 20 reported entities"):
        probes(one_name_each("parallel LayerNorm"), SETTINGS)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("control", CONTROLS, ids=lambda c: c.name)
def test_every_control_is_built_or_says_why_not(control: object, world: str) -> None:
    stack = WORLDS[world]("parallel LayerNorm")
    target = Target.of(stack, SETTINGS)
    try:
        member = control.build(target, 0, SETTINGS)  # type: ignore[attr-defined]
    except NotApplicable as error:
        assert len(error.reason) > 10
        return
    for experiment in stack_experiments(ON_STACKS):
        try:
            experiment(member.stack, SETTINGS)
        except NotApplicable as error:
            assert len(error.reason) > 10
