"""Studies that read a text: without facts, with them, interrupted; and what the command line says of either lacking."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from circuit_world import SETTINGS, cut, facts, model
from reading_world import SETTINGS as READING
from reading_world import SMALL, make_text, tokenizer
from transformers import AutoConfig, AutoModelForCausalLM

import rote
from rote.cli import main as cli
from rote.errors import FactsError, RunError, TextError
from rote.experiments import EXPERIMENTS, LocalProcessing
from rote.experiments.known_facts.measure import KnownFactsExperiment
from rote.pipeline.run import Run
from rote.report import lead_text, render_text

READS = (SMALL,)
FEW = LocalProcessing(n_strings=4, n_tokens=2, context=20, lengths=(1, 4))
BOTH = (KnownFactsExperiment(), FEW)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    config = AutoConfig.for_model(
        "llama", vocab_size=len(tokenizer()), hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.3,
    )  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    (folder / "text.txt").write_text(make_text().documents[0], "utf-8")
    (folder / "settings.json").write_text(json.dumps(asdict(READING)))
    return folder


def study(checkpoint: Path, folder: Path, **options: object) -> Run:
    given = {"text": checkpoint / "text.txt", "settings": READING, "experiments": READS, **options}
    return rote.study(rote.load_model(checkpoint), None, folder=folder, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return study(checkpoint, tmp_path_factory.mktemp("run"))


def test_a_study_needs_no_facts(run: Run) -> None:
    assert set(run.summary["experiment"]) == {"local_processing"}
    assert run.study["facts"] is None and run.study["relations"] == {} and run.study["controls"] == {}
    assert run.study["text"] == "text.txt" and len(run.study["text_sha256"]) == 64
    assert run.outcomes.empty
    words = " ".join(lead_text(run.path).split())
    assert "No facts were asked in this run" in words and "text.txt" in words
    assert "knows these facts" not in words
    page = " ".join(render_text(run.path).split())
    assert "How " in page and "recalls facts" not in page and "made on one half" not in page
    assert (run.path / "report.html").stat().st_size > 10_000


def test_the_same_study_has_nothing_left_to_do_and_another_text_is_refused(run: Run, checkpoint: Path) -> None:
    events: list[object] = []
    study(checkpoint, run.path, on_event=events.append)
    assert not events
    with pytest.raises(RunError, match="text_sha256"):
        study(checkpoint, run.path, text=make_text(seed=1, name="text.txt"))


def test_the_tables_are_the_same_bytes_again(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    again = study(checkpoint, tmp_path / "again")
    for name in ("summary.parquet", "absent.parquet", "records/local_processing/cosines.parquet"):
        assert (again.path / name).read_bytes() == (run.path / name).read_bytes()


def test_facts_and_text_together(tmp_path: Path) -> None:
    settings = replace(SETTINGS, n_bootstrap=50)
    table = cut(facts(), 12)
    text = make_text()
    found = rote.study(
        model(), table, folder=tmp_path / "run", text=text, settings=settings, experiments=BOTH, controls=()
    )
    assert set(found.summary["experiment"]) == {"known_facts", "local_processing"}
    assert found.summary[found.summary.experiment == "local_processing"]["relation"].isna().all()
    assert "of the facts" in lead_text(found.path) or "knows" in lead_text(found.path)
    assert "Do early layers look at nearby tokens only?" in render_text(found.path)


def test_without_a_text_it_is_absent_with_that_reason(tmp_path: Path) -> None:
    found = rote.study(
        model(), cut(facts(), 12), folder=tmp_path / "run", settings=SETTINGS, experiments=BOTH, controls=()
    )
    gone = found.absent[found.absent.experiment == "local_processing"]
    assert set(gone["statistic"]) == {s.name for s in LocalProcessing.card.statistics}
    assert set(gone["reason"]) == {"no text was given"}
    assert set(found.summary["experiment"]) == {"known_facts"}


def test_experiments_that_need_facts_are_named_where_there_are_none(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(FactsError, match=r"known_facts, direct_effects.*cannot do without.*local_processing"):
        study(checkpoint, tmp_path / "run", experiments=EXPERIMENTS)
    with pytest.raises(TextError, match="neither facts nor a text"):
        study(checkpoint, tmp_path / "run", text=None)
    with pytest.raises(TextError, match=r"short.*at least 2"):
        study(checkpoint, tmp_path / "run", text=make_text(20, name="short"))
    assert not (tmp_path / "run").exists()


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["rote", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return 0 if end.code is None else int(end.code)
    return 0


def test_the_command_line_studies_a_text(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    common = (
        "study", str(checkpoint), "--experiments", "local_processing", "--settings", str(checkpoint / "settings.json"),
        "--text", str(checkpoint / "text.txt"), "--out", str(tmp_path / "run"),
        *(part for word in ("n_strings=10", "n_tokens=4", "context=40", "lengths=1,3,10,20")
          for part in ("--set", f"local_processing.{word}")),
    )  # fmt: skip
    assert call(monkeypatch, *common, "--dry-run") == 0
    planned = capsys.readouterr().out
    assert "local_processing: about" in planned and "every fact" not in planned
    assert not (tmp_path / "run").exists()
    assert call(monkeypatch, *common) == 0
    said = capsys.readouterr().out
    assert "No facts were asked" in said and str(tmp_path / "run" / "report.html") in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "known_facts, direct_effects"),
        ({"--experiments": "known_facts,local_processing"}, "no facts were given, and known_facts cannot do without"),
        ({"--experiments": "local_processing", "--text": ""}, "neither facts nor a text"),
        ({"--experiments": "local_processing", "--text": "/no/such/text"}, "/no/such/text"),
        ({"--experiments": "local_processing", "--text": "short"}, "at least 2 are needed"),
    ],
    ids=["all experiments", "one that needs facts", "no text", "no such file", "too short"],
)
def test_what_is_lacking_is_refused_with_code_2(
    change: dict[str, str],
    words: str,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    short = tmp_path / "short.txt"
    short.write_text("the of and", "utf-8")
    options = {"--text": str(checkpoint / "text.txt"), "--out": str(tmp_path / "run"), **change}
    options = {name: str(short) if text == "short" else text for name, text in options.items() if text}
    code = call(monkeypatch, "study", str(checkpoint), *(part for option in options.items() for part in option))
    error = capsys.readouterr().err
    assert code == 2, error
    assert words in error and "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_dry_run_plans_facts_and_text_together() -> None:
    from rote.pipeline.estimate import plan

    planned = plan(model(), cut(facts(), 12), relation=None, settings=SETTINGS, experiments=BOTH, text=make_text())
    assert set(planned.texts) == {"local_processing"} and planned.texts["local_processing"] > 0
    assert "local_processing" not in planned.relations[0].seconds
    assert planned.seconds > sum(planned.relations[0].seconds.values())
    without = plan(model(), cut(facts(), 12), relation=None, settings=SETTINGS, experiments=BOTH)
    assert not without.texts and "local_processing: not applicable: no text was given" in without.text()
