"""Rows of a control: means over its matched members with the interval for a new one, by hand, and what is absent."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from circuit_world import SETTINGS, World
from scipy.stats import t as student

from rote.errors import NotApplicable
from rote.experiments import EXPERIMENTS, KnownNorms, LinearStructure, PathAblation, StackExperiment
from rote.experiments.tabulator import Tabulator
from rote.lineup import Additive, Control, Fit, HashLookup, Member, Target
from rote.pipeline.line_up import measure_member, no_lineup, not_built, over_members, stack_experiments
from rote.records import Record
from rote.settings import Settings
from rote.stack import Stack
from rote.statistics import Estimate

QUICK = replace(SETTINGS, max_entities=20, n_member_bootstrap=40, n_bootstrap=100)


class Given(StackExperiment):
    """Rows that are given, one list per member (told by the stack's batch size)."""

    card = KnownNorms.card

    def __init__(self, rows: Sequence[Sequence[dict[str, Any]]]) -> None:
        self.given = rows

    def on_stack(self, stack: Stack, settings: Settings, out: Tabulator) -> None:
        for fields in self.given[stack.batch_size]:
            if "reason" in fields:
                out.absent("norm_auc", **fields)
            else:
                key = {name: x for name, x in fields.items() if name not in ("value", "ci_low", "ci_high", "n")}
                interval = {name: fields.get(name) for name in ("value", "ci_low", "ci_high", "n")}
                out.estimate("norm_auc", Estimate(**interval), **key)


def controlled(
    world: World, rows: Sequence[Sequence[dict[str, Any]]], matched: Sequence[bool], control: Control
) -> Record:
    """The control's record where its members have these rows."""
    experiment, stack = Given(rows), world.study.stack
    records = []
    for seed, good in enumerate(matched):
        fit = Fit(accuracy=0.9 + 0.01 * seed, target_accuracy=0.95, rms_ratio=1.0)
        own = replace(stack, name=control.name, batch_size=seed)
        built = Member(
            control=control.name, seed=seed, stack=own, fit=fit, matched=good, reason=None if good else f"is off {seed}"
        )
        records.append(measure_member(built, (experiment,), SETTINGS))
    return over_members(control, records, SETTINGS)


def by_hand(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half-width; the members' own intervals, over the entities they share with the model, are left out."""
    k = len(values)
    mean = sum(values) / k
    s2 = sum((v - mean) ** 2 for v in values) / (k - 1)
    return mean, float(student.ppf(0.975, k - 1)) * math.sqrt(s2 * (1 + 1 / k))


VALUES = [0.5, 0.6, 0.9, 0.1]


def rows_of(values: Sequence[float]) -> list[list[dict[str, Any]]]:
    return [[{"value": v, "ci_low": v - 0.1, "ci_high": v + 0.2, "n": 7, "layer": 3}] for v in values]


def test_a_row_is_the_mean_with_the_interval_for_a_new_member(world: World) -> None:
    record = controlled(world, rows_of(VALUES), [True] * 4, HashLookup())
    (row,) = record.rows
    mean, half = by_hand(VALUES)
    assert (row.stack, row.layer, row.n, row.seed) == ("hash_lookup", 3, 4, SETTINGS.seed)
    assert row.value == pytest.approx(mean, abs=1e-12)
    assert (row.ci_low, row.ci_high) == pytest.approx((mean - half, mean + half), abs=1e-12)
    (fit,) = record.tables["controls"].to_dict("records")
    assert fit["accuracy"] == pytest.approx(0.915) and fit["n_matched"] == fit["n_members"] == 4
    assert fit["matched"] and fit["reason"] is None


def test_unmatched_members_do_not_count_where_three_are_matched(world: World) -> None:
    record = controlled(world, rows_of(VALUES), [True, True, True, False], HashLookup())
    mean, half = by_hand(VALUES[:3])
    (row,) = record.rows
    assert (row.value, row.ci_high, row.n) == pytest.approx((mean, mean + half, 3))
    (fit,) = record.tables["controls"].to_dict("records")
    assert fit["matched"] and (fit["n_members"], fit["n_matched"]) == (4, 3)
    assert fit["accuracy"] == pytest.approx(0.91)


def test_with_fewer_matched_ones_all_are_drawn_and_the_control_is_unmatched(world: World) -> None:
    record = controlled(world, rows_of(VALUES), [True, False, True, False], HashLookup())
    mean, _ = by_hand(VALUES)
    (row,) = record.rows
    assert (row.value, row.n) == pytest.approx((mean, 4))
    (fit,) = record.tables["controls"].to_dict("records")
    assert not fit["matched"] and fit["n_matched"] == 2 and fit["reason"] == "is off 1"
    assert fit["accuracy"] == pytest.approx(0.915)  # of the members that the rows are over


def test_what_some_members_lack_is_a_mean_over_the_others_and_what_all_lack_is_absent(world: World) -> None:
    value: dict[str, Any] = {"value": 0.5, "ci_low": 0.4, "ci_high": 0.6, "n": 7, "condition": "raw"}
    lacks: dict[str, Any] = {"reason": "there is none, said the first", "condition": "raw"}
    never: dict[str, Any] = {"reason": "never there", "condition": "adjusted", "layer": 2}
    record = controlled(
        world, [[lacks, never], [value, never], [value, {**never, "reason": "other"}]], [True] * 3, Additive()
    )
    (row,) = record.rows
    assert (row.condition, row.n, row.value) == ("raw", 2, 0.5)
    (absent,) = record.absent
    assert (absent.stack, absent.condition, absent.layer, absent.reason) == ("additive", "adjusted", 2, "never there")


def test_neurons_that_members_found_elsewhere_are_one_row_per_class(world: World) -> None:
    """But a layer's own row stays that layer's."""
    found = [
        [
            {
                "value": 0.1 * seed + 0.3 * (cls == "b"),
                "cls": cls,
                "layer": 1 + seed % 2,
                "neuron": 10 * seed + 1,
                "n": 5,
            }
            for cls in "ab"
        ]
        + [{"value": 0.7, "layer": 1, "n": 5}]
        for seed in range(3)
    ]
    record = controlled(world, found, [True] * 3, HashLookup())
    rows = {(row.cls, row.layer, row.neuron): (row.value, row.n) for row in record.rows}
    assert rows == {
        ("a", None, None): (pytest.approx(0.1), 3),
        ("b", None, None): (pytest.approx(0.4), 3),
        (None, 1, None): (pytest.approx(0.7), 3),
    }


# ------------------------------------------------------------------ real members


def test_every_row_of_real_members_is_the_literal_mean(world: World) -> None:
    experiments = stack_experiments((PathAblation(), KnownNorms()))
    target = Target.of(world.study.stack, QUICK)
    control = HashLookup()
    records = [measure_member(control.build(target, seed, QUICK), experiments, QUICK) for seed in range(3)]
    record = over_members(control, records, QUICK)
    values: dict[tuple[object, ...], list[float]] = defaultdict(list)
    for member in records:
        for row in member.tables["members"].astype(object).replace({np.nan: None, pd.NA: None}).to_dict("records"):
            key = tuple(row[name] for name in ("experiment", "statistic", "condition", "site", "source", "layer"))
            values[key].append(row["value"])
    assert len(record.rows) == len(values) > 20
    for row in record.rows:
        own = values[row.experiment, row.statistic, row.condition, row.site, row.source, row.layer]
        mean, half = by_hand(own)
        assert row.n == len(own)
        assert row.value == pytest.approx(mean, abs=1e-9)
        assert row.ci_high is not None and row.ci_high - row.value == pytest.approx(half, abs=1e-6)


def test_members_are_measured_with_fewer_resamples_and_without_what_only_the_study_asks(world: World) -> None:
    seen: list[int] = []

    class Watch(Given):
        def on_stack(self, stack: Stack, settings: Settings, out: Tabulator) -> None:
            seen.append(settings.n_bootstrap)
            raise NotApplicable("watched")

    built = HashLookup().build(Target.of(world.study.stack, QUICK), 0, QUICK)
    record = measure_member(built, (Watch([]),), QUICK)
    assert seen == [QUICK.n_member_bootstrap]
    assert set(record.tables["members_absent"]["reason"]) == {"watched"}
    assert record.tables["members"].empty
    (linear,) = stack_experiments((LinearStructure(),))
    assert isinstance(linear, LinearStructure) and linear.conditions == ("real",)
    names = [e.name for e in stack_experiments(EXPERIMENTS)]
    assert len(names) == 8 and "known_facts" not in names and "layer_probes" in names


@pytest.mark.parametrize("control", [HashLookup(), Additive()], ids=lambda control: control.name)
def test_where_no_member_can_be_built_everything_is_absent_for_that_reason(control: Control) -> None:
    experiments = stack_experiments((PathAblation(), KnownNorms()))
    members = [not_built(control, "sport", seed, experiments, QUICK, "one known name") for seed in range(2)]
    record = over_members(control, members, QUICK)
    assert not record.rows
    assert {a.reason for a in record.absent} == {"one known name"}
    assert {a.experiment for a in record.absent} == {"path_ablation", "known_norms"}
    (fit,) = record.tables["controls"].to_dict("records")
    assert not fit["matched"] and fit["n_matched"] == 0 and fit["reason"] == "one known name"
    without = no_lineup(control, "sport", experiments, QUICK, "one known name")
    assert {(a.experiment, a.statistic) for a in without.absent} == {(a.experiment, a.statistic) for a in record.absent}
