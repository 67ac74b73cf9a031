"""A rehearsal runs every part of a study on random weights, says so everywhere, and gives no verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from circuit_world import SETTINGS, facts, model
from transformers import AutoConfig, AutoModelForCausalLM
from typer.testing import CliRunner

import rote
from rote.cli import main as cli
from rote.experiments import EXPERIMENTS
from rote.lineup import Additive
from rote.organisms import BUNDLED
from rote.report import lead_text

SMALL = replace(
    SETTINGS, max_entities=24, n_top_heads=2, n_resamples_ablation=1,
    n_bootstrap=100, min_known=20, n_members=2, n_trained_members=1, n_member_bootstrap=50, n_refine_steps=10,
)  # fmt: skip
PARTS = ("known_facts", "direct_effects", "readout", "lookup_window", "effective_model", "path_ablation", "known_norms")


@pytest.fixture(scope="module")
def random_model() -> rote.Model:
    config = AutoConfig.from_pretrained(BUNDLED)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = AutoModelForCausalLM.from_config(config).eval()
    return rote.load_model(module, tokenizer=model().tokenizer, name="random weights")


def study(random_model: rote.Model, folder: Path, *, rehearse: bool) -> rote.Run:
    parts = tuple(e for e in EXPERIMENTS if e.name in PARTS)
    return rote.study(
        random_model,
        facts(),
        folder=folder,
        settings=SMALL,
        experiments=parts,
        controls=(Additive(),),
        rehearse=rehearse,
    )


def test_a_rehearsal_runs_every_part_and_says_what_it_is(random_model: rote.Model, tmp_path: Path) -> None:
    run = study(random_model, tmp_path, rehearse=True)
    assert json.loads((tmp_path / "study.json").read_text())["rehearsal"] is True
    assert run.table("known_facts")["known"].all()
    assert set(run.summary["experiment"]) >= set(PARTS)
    assert {"effective", "additive"} <= set(run.summary["stack"]) | set(run.table("lineup", "controls")["control"])
    assert set(run.outcomes["verdict"]) == {"not applicable"}
    assert {"this is a rehearsal" in reason for reason in run.outcomes["reason"]} == {True}
    said = lead_text(tmp_path)
    assert "This is a rehearsal" in said and "knows these facts" not in said
    assert "This is a rehearsal" in (tmp_path / "report.html").read_text()


def test_without_a_rehearsal_random_weights_know_nothing(random_model: rote.Model, tmp_path: Path) -> None:
    run = study(random_model, tmp_path, rehearse=False)
    assert "rehearsal" not in json.loads((tmp_path / "study.json").read_text())
    assert not run.table("known_facts")["known"].any()
    assert "rehearsal" not in lead_text(tmp_path)


def test_a_rehearsal_and_a_study_never_share_a_folder(random_model: rote.Model, tmp_path: Path) -> None:
    study(random_model, tmp_path, rehearse=False)
    with pytest.raises(rote.errors.RunError, match="rehearsal"):
        study(random_model, tmp_path, rehearse=True)


def test_the_command_line_offers_a_rehearsal_and_the_kind_of_sweeps() -> None:
    text = CliRunner().invoke(cli.app, ["study", "--help"], env={"COLUMNS": "200"}).output
    assert "--rehearse" in text and "--sweeps" in text
