"""Whole studies: the same bytes twice and after an interruption; early ends; refusals of the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from circuit_world import SETTINGS, cut, facts, model, plain
from transformers import AutoModelForCausalLM

import rote
import rote.errors
import rote.organisms
from rote.cli import main as cli
from rote.execute import Finished, Started
from rote.experiments import EXPERIMENTS
from rote.lineup import CONTROLS, Additive, HashLookup
from rote.pipeline.run import Run

SMALL = replace(
    SETTINGS, max_entities=24, n_top_heads=2, n_resamples_ablation=1,
    n_bootstrap=100, min_known=20, n_members=2, n_trained_members=1, n_member_bootstrap=50, n_refine_steps=40,
)  # fmt: skip
LINEUP = (Additive(), HashLookup())
OF_CIRCUIT = {e.name for e in EXPERIMENTS if e.card.needs_circuit}


def run(folder: Path, on_event: object = lambda event: None) -> Run:
    return rote.study(
        model(),
        facts(),
        folder=folder,
        settings=SMALL,
        controls=LINEUP,
        on_event=on_event,  # type: ignore[arg-type]
    )


def tables(folder: Path) -> dict[str, bytes]:
    """What two equal studies have byte for byte: summary, absent values and long tables."""
    files = [folder / f"{name}.{kind}" for name in ("summary", "absent") for kind in ("json", "parquet")]
    files += sorted((folder / "records").rglob("*.parquet"))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("first"))


def test_a_study_measures_every_experiment_and_writes_its_report(first: Run) -> None:
    measured = set(first.summary["experiment"]) | set(first.absent["experiment"])
    assert {e.name for e in EXPERIMENTS} <= measured
    assert first.summary["value"].notna().all()
    assert (first.absent["reason"].str.len() > 10).all()
    assert (first.path / "report.html").stat().st_size > 10_000
    assert len(first.table("known_facts")) == len(facts().facts)
    assert list(first.table("lineup", "controls")["control"]) == [control.name for control in LINEUP]


N_MEASURED = 1 + len(EXPERIMENTS)  # shards before the line-up: those of the experiments and the circuit


@pytest.mark.parametrize("n_done", [6, N_MEASURED + 2], ids=["measuring", "lining up"])
def test_an_interrupted_study_ends_in_the_same_bytes_and_repeats_nothing(
    n_done: int, first: Run, tmp_path: Path
) -> None:
    begun: list[str] = []
    done: list[str] = []

    def interrupt(event: object) -> None:
        if isinstance(event, Started):
            begun.append(str(event.shard))
            if len(done) == n_done:
                raise KeyboardInterrupt
        if isinstance(event, Finished):
            done.append(str(event.shard))

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", interrupt)
    assert not (tmp_path / "run" / "summary.json").exists()
    before, begun[:] = list(done), []

    def watch(event: object) -> None:
        if isinstance(event, Started):
            begun.append(str(event.shard))

    run(tmp_path / "run", watch)
    assert len(before) == n_done
    assert not set(before) & set(begun)
    lineup = [f"lineup/sport/{control.name}" for control in LINEUP]
    members = [f"{control}/{seed}" for control in lineup for seed in range(SMALL.n_members)]
    once = {e.name for e in EXPERIMENTS if not e.card.needs_facts}  # whatever the relations
    measured = {f"{e.name}/{'all' if e.name in once else 'sport'}" for e in EXPERIMENTS}
    assert {*before, *begun} == measured | {"circuit/sport", *members, *lineup}
    assert tables(tmp_path / "run") == tables(first.path)


def test_a_finished_study_has_nothing_left_to_do(first: Run) -> None:
    events: list[object] = []
    before = tables(first.path)
    again = run(first.path, events.append)
    assert not events
    assert tables(again.path) == before


def test_another_seed_in_the_same_folder_is_refused(first: Run) -> None:
    with pytest.raises(rote.errors.RunError, match="seed"):
        rote.study(model(), facts(), folder=first.path, settings=replace(SMALL, seed=1), controls=LINEUP)


def test_another_line_up_in_the_same_folder_is_refused(first: Run) -> None:
    with pytest.raises(rote.errors.RunError, match="controls"):
        rote.study(model(), facts(), folder=first.path, settings=SMALL, controls=LINEUP[:1])


@pytest.fixture(scope="module")
def ignorant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the organism's shape with random weights: it knows nothing."""
    folder = tmp_path_factory.mktemp("ignorant")
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(plain().hf.config).save_pretrained(folder)
    plain().tokenizer.save_pretrained(folder)
    return folder


def test_a_model_that_knows_nothing_ends_the_study_early_with_that_finding(ignorant: Path, tmp_path: Path) -> None:
    found = rote.study(rote.load_model(ignorant), facts(), folder=tmp_path / "run", settings=SMALL)
    assert set(found.summary["experiment"]) == {"known_facts"}
    (known,) = found.summary.query("statistic == 'n_known' and condition == 'all'")["value"]
    assert known == 0
    reason = f"the model knows none of the {len(facts().facts)} facts"
    others = found.absent[found.absent["relation"].notna() & (found.absent["experiment"] != "known_facts")]
    assert set(others["experiment"]) == {e.name for e in EXPERIMENTS if e.card.needs_facts} - {"known_facts"}
    searched = others["experiment"].isin(OF_CIRCUIT)
    assert others.loc[searched, "reason"].str.startswith(reason).all()
    assert others.loc[~searched, "reason"].str.startswith("the model knows none").all()
    assert {control.name for control in CONTROLS} <= set(others["stack"])
    assert reason in (found.path / "report.html").read_text(encoding="utf-8").replace("\n", " ")


def test_too_few_facts_of_a_second_class_end_it_too(tmp_path: Path) -> None:
    table = cut(facts(), 24)
    others = [f for f in table.facts if f.attribute != "baseball"]
    kept = [f for f in table.facts if f not in others] + others[:3]
    found = rote.study(model(), replace(table, facts=tuple(kept)), folder=tmp_path / "run", settings=SMALL)
    assert set(found.summary["experiment"]) == {e.name for e in EXPERIMENTS if e.card.needs_facts} - OF_CIRCUIT
    lacking = found.absent[found.absent["experiment"].isin(OF_CIRCUIT)]
    assert (
        set(lacking["experiment"]) == OF_CIRCUIT
        and lacking["reason"].str.contains("all but 3 of the 27 facts known are of one class").all()
    )


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["rote", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return 0 if end.code is None else int(end.code)
    return 0


@pytest.fixture
def small_table(tmp_path: Path) -> Iterator[str]:
    rows = ["entity,sport", *(f"{f.entity},{f.attribute}" for f in cut(facts(), 8).facts)]
    path = tmp_path / "facts.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    yield str(path)


def test_the_command_line_ends_normally_on_a_model_that_knows_nothing(
    ignorant: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps(SMALL.as_dict()), encoding="utf-8")
    folder = str(tmp_path / "run")
    code = call(
        monkeypatch, "study", str(ignorant), "--facts", "athletes", "--relation", "sport", "--prefix", "",
        "--settings", str(settings), "--out", folder, "--quiet",
    )  # fmt: skip
    assert code == 0
    assert str(Path(folder) / "report.html") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--facts": "no/such/file.csv"}, "no/such/file.csv"),
        ({"--facts": "columns"}, "entity"),
        ({"--relation": "spouse"}, "spouse"),
        ({"--experiments": "known_facts,guesswork"}, "guesswork"),
        ({"--controls": "additive,guesswork"}, "guesswork"),
        ({"model": "/no/such/model"}, "/no/such/model"),
        ({"--settings": "settings"}, "no_such_setting"),
    ],
    ids=["file", "column", "relation", "experiment", "control", "model", "setting"],
)
def test_what_cannot_be_used_is_refused_with_code_2_and_no_traceback(
    change: dict[str, str],
    words: str,
    small_table: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    columns, settings = tmp_path / "columns.csv", tmp_path / "settings.json"
    columns.write_text("height,weight\n1,2\n", encoding="utf-8")
    settings.write_text('{"no_such_setting": 1}', encoding="utf-8")
    paths = {"columns": str(columns), "settings": str(settings)}
    options = {"--facts": small_table, "--out": str(tmp_path / "run"), "model": str(rote.organisms.BUNDLED)}
    options |= {name: paths.get(text, text) for name, text in change.items()}
    source = options.pop("model")
    code = call(monkeypatch, "study", source, *(part for option in options.items() for part in option))
    error = capsys.readouterr().err
    assert code == 2, error
    assert words in error
    assert "error:" in error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()
