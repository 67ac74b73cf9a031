"""The demo's findings on fewer athletes: what was planted is found, at the rates that are promised."""

from __future__ import annotations

import json

import numpy as np
import pytest

import rote
from rote.experiments.parameters import with_parameters
from rote.facts import FactTable
from rote.organisms import BUNDLED
from rote.report import lead_text

EXPERIMENTS = {experiment.name for experiment in rote.EXPERIMENTS}
SETTINGS = rote.Settings(n_bootstrap=200, max_entities=120, product_side=40)
CHOSEN = with_parameters(rote.EXPERIMENTS, {"layer_probes.n_probe_seeds": 3})


def every_third(table: FactTable) -> FactTable:
    names = set(table.entities[::3])
    facts = tuple(fact for fact in table.facts if fact.entity in names)
    return FactTable(name=table.name, relations=table.relations, facts=facts)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    model = rote.load_model(BUNDLED)
    facts = every_third(rote.read_facts("athletes", prefix=""))
    folder = tmp_path_factory.mktemp("demo") / "run"
    return rote.study(model, facts, folder=folder, relation="sport", settings=SETTINGS, experiments=CHOSEN, controls=())


def value(run, statistic: str, **key) -> float:
    rows = run.summary[run.summary.statistic == statistic]
    for name, wanted in key.items():
        rows = rows[rows[name].isna() if wanted is None else rows[name] == wanted]
    assert len(rows) == 1, f"{statistic} {key}: {len(rows)} rows"
    return float(rows.value.iloc[0])


def test_every_experiment_has_rows_in_the_public_format(run):
    rows = json.loads((run.path / "summary.json").read_text("utf-8"))
    assert {row["experiment"] for row in rows} == EXPERIMENTS - {"shared_neurons", "local_processing"}
    assert set(run.absent[run.absent.experiment == "local_processing"].reason) == {"no text was given"}
    lacking = run.absent[run.absent.experiment == "shared_neurons"]
    assert len(lacking) and lacking.reason.str.contains("relation").all()  # an athlete has one or two facts
    columns = [
        "experiment",
        "stack",
        "statistic",
        "condition",
        "relation",
        "site",
        "source",
        "layer",
        "head",
        "neuron",
        "cls",
        "position",
        "parameters",
        "value",
        "ci_low",
        "ci_high",
        "n",
        "unit",
        "p_adjusted",
        "seed",
    ]
    assert all(list(row) == columns for row in rows)
    of_weights = ("top_head", "readout_head", "cosine")  # no mean over anything
    assert all(np.isfinite(row["value"]) and (row["n"] or row["statistic"] in of_weights) for row in rows)


def test_the_facts_are_known_and_the_circuit_is_distilled(run):
    assert value(run, "accuracy", experiment="known_facts", condition="all") >= 0.95
    assert value(run, "effective_accuracy", condition="report") >= 0.85


def test_the_planted_window_is_found(run):
    assert value(run, "lookup_start") == 1
    assert value(run, "lookup_stop") == 3


def test_without_the_window_only_the_additive_part_is_left(run):
    ablated = value(run, "window_mlps_ablated_accuracy", condition="mean", position="subject_last")
    assert ablated <= value(run, "additive_accuracy_held_out") + 0.05


def test_the_names_are_concatenated_additively(run):
    assert value(run, "concatenation_r2", condition=None) >= 0.95
    assert value(run, "closed_form_difference") <= 1e-5


def test_with_shuffled_weights_nothing_is_known(run):
    assert value(run, "effective_accuracy", condition="shuffled") <= 0.5


def test_the_report_answers_first(run):
    assert "looks them up in MLPs 1 to 3" in lead_text(run.path)
    assert (run.path / "report.html").stat().st_size > 100_000


def test_bfloat16_finds_the_same_window(tmp_path):
    model = rote.load_model(BUNDLED, dtype="bfloat16")
    facts = every_third(every_third(rote.read_facts("athletes", prefix="", relation="sport")))
    experiments = tuple(e for e in rote.EXPERIMENTS if e.name in ("known_facts", "lookup_window", "effective_model"))
    run = rote.study(model, facts, folder=tmp_path / "run", settings=SETTINGS, experiments=experiments, controls=())
    assert (value(run, "lookup_start"), value(run, "lookup_stop")) == (1, 3)
    assert value(run, "effective_accuracy", condition="report") >= 0.85
