"""One planted world through the line-up: where its stack stands on every cell, and where the controls stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import pandas as pd

from calibration.worlds import World
from rote.catalog.hypotheses import ADDITIVE, PARTIAL, PREDICTIONS, SINGLE_STEP, Prediction
from rote.experiments import EXPERIMENTS
from rote.experiments.base import StackExperiment
from rote.experiments.parameters import with_parameters
from rote.judge import Position
from rote.lineup import CONTROLS, Control, Target
from rote.pipeline.line_up import measure_member
from rote.records import absent_frame, summary_frame
from rote.records.picking import EFFECTIVE, Cell
from rote.settings import Settings

SETTINGS = Settings(
    n_members=5,
    n_trained_members=5,
    n_refine_steps=300,
    n_bootstrap=200,
    n_member_bootstrap=50,
    max_entities=150,
    product_names=40,
    n_resamples_ablation=1,
)


# parameters that suit small worlds
SMALL: dict[str, Any] = {
    "layer_probes.n_probe_seeds": 4,
    "linear_structure.n_pairs": 60,
    "linear_structure.n_pair_draws": 4,
    "known_norms.n_unknown": 400,
    "class_neurons.n_permutations": 1,
    "path_ablation.ablations": ("resample", "additive"),
    "shared_neurons.n_entities": 6,
    "shared_neurons.n_resamples": 1,
    "shared_neurons.n_checked": 8,
}
BLIND = ("mean_abs_correlation", "auc_without_directions", "norm_auc")  # never decisive: few worlds show it
N_BLIND = 10  # worlds of every truth in which these are measured nevertheless


def judged_cells(truth: str, seed: int) -> tuple[Prediction, ...]:
    """The cells that a world can certify; additive plants and gates say nothing about most of them."""
    only = {"additive": (ADDITIVE,), "and_gates": (SINGLE_STEP,)}.get(truth)
    return tuple(
        p
        for p in PREDICTIONS
        if p.hypothesis != PARTIAL
        and (only is None or p.hypothesis in only)
        and (p.statistic not in BLIND or seed < N_BLIND)
    )


def judged_experiments(cells: Sequence[Prediction]) -> tuple[StackExperiment, ...]:
    """The experiments that these cells rest on, at a size that suits small worlds."""
    names = {p.experiment for p in cells}
    chosen = [e.for_controls() for e in EXPERIMENTS if isinstance(e, StackExperiment) and e.name in names]
    return with_parameters(chosen, {place: value for place, value in SMALL.items() if place.split(".")[0] in names})


def judged_controls(cells: Sequence[Prediction]) -> tuple[Control, ...]:
    """The controls that these cells name."""
    names = {name for p in cells for name in (*p.with_controls, *p.without_controls)}
    return tuple(control for control in CONTROLS if control.name in names)


def observe(world: World, settings: Settings = SETTINGS) -> dict[str, Any]:
    """Where the world's stack and every member of every control stand on each cell, as plain data.

    {truth, seed, parts, shape, accuracy, cells: {cell: {model: [value, low, high] | None, controls: {name: [[value,
    low, high], …]}}}, unmatched: {name: members}}; unmatched members are left out. Nothing is judged here.
    """
    cells = judged_cells(world.truth, world.seed)
    experiments, relation = judged_experiments(cells), next(iter(world.stack.readouts))
    settings = replace(settings, seed=world.seed)
    rows, absent = [], []
    for experiment in experiments:
        record = experiment(world.stack, settings)
        rows.append(summary_frame(record.rows))
        absent.append(absent_frame(record.absent))
    target, names, unmatched = Target.of(world.stack, settings), {}, Counter[str]()
    for control in judged_controls(cells):
        for seed in range(control.n_members(settings)):
            member = control.build(target, seed, settings)
            if not member.matched:
                unmatched[control.name] += 1
                continue
            stack = f"{control.name}#{seed}"
            tables = measure_member(member, experiments, settings).tables
            rows.append(tables["members"].assign(stack=stack))
            absent.append(tables["members_absent"].assign(stack=stack))
            names.setdefault(control.name, []).append(stack)
    summary, lacking = pd.concat(rows, ignore_index=True), pd.concat(absent, ignore_index=True)
    return {
        "truth": world.truth,
        "seed": world.seed,
        "parts": world.parts,
        "shape": asdict(world.shape),
        "accuracy": world.accuracy,
        "cells": {p.cell: _positions(Cell(p, relation, summary, lacking), names) for p in cells},
        "unmatched": dict(unmatched),
    }


def _positions(cell: Cell, names: dict[str, list[str]]) -> dict[str, Any]:
    wanted = (*cell.prediction.with_controls, *cell.prediction.without_controls)
    found = {name: [_numbers(cell.position(stack)) for stack in names.get(name, ())] for name in wanted}
    return {
        "model": _numbers(cell.position(EFFECTIVE)),
        "controls": {name: [p for p in positions if p is not None] for name, positions in found.items()},
    }


def _numbers(position: Position | None) -> list[float | None] | None:
    return None if position is None else [position.value, position.low, position.high]
