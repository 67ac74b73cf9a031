"""Relations that were not asked for end no study: what cannot be asked is absent, and named, with its true reason."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from circuit_world import SETTINGS, facts, model

import rote
from rote.cli import main as cli
from rote.errors import FactsError
from rote.experiments import EXPERIMENTS
from rote.facts import Fact, FactTable, Relation
from rote.organisms import BUNDLED
from rote.pipeline.choosing import MOST_UNASKED
from rote.pipeline.request import Request, read_inputs

SMALL = replace(
    SETTINGS, max_entities=24, n_top_heads=2, n_resamples_ablation=1, n_bootstrap=50, min_known=20, seed=0
)  # fmt: skip
WATCHED = [e for e in EXPERIMENTS if e.name in ("known_facts", "head_attention", "shared_neurons")]


def beside(template: str, *attributes: str) -> FactTable:
    """The world's sports with a relation `other`, asked by a template, whose attributes go round."""
    table = facts()
    others = tuple(
        Fact(entity=f.entity, relation="other", attribute=attributes[i % len(attributes)])
        for i, f in enumerate(table.facts)
    )
    relation = Relation(name="other", template=template)
    return replace(table, relations=(*table.relations, relation), facts=table.facts + others)


def studied(table: FactTable, folder: Path, **given: object) -> rote.Run:
    return rote.study(
        model(), table, folder=folder, settings=SMALL, controls=(), **{"experiments": WATCHED, **given}  # type: ignore[arg-type]
    )  # fmt: skip


def reasons(run: rote.Run, experiment: str, **key: str) -> set[str]:
    absent = run.absent[run.absent["experiment"] == experiment]
    for name, value in key.items():
        absent = absent[absent[name] == value]
    return set(absent["reason"])


def test_a_relation_of_one_class_is_absent_beside_the_studied_one(tmp_path: Path) -> None:
    """A column of one value, such as where a table comes from."""
    run = studied(beside("Fact: {} plays in the league", "MLB"), tmp_path, relation="sport")
    assert set(run.summary["relation"]) == {"sport"}
    (reason,) = reasons(run, "shared_neurons", relation="other")
    assert "relation 'other' has 1 classes that can be asked ('MLB')" in reason
    # its question needs no answers: the heads are watched under it all the same
    asked = run.summary[run.summary["experiment"] == "head_attention"]["condition"]
    assert set(asked) == {"asked:sport", "asked:other"}


def test_a_relation_whose_question_does_not_fit_is_absent_and_the_heads_are_watched_under_the_others(
    tmp_path: Path,
) -> None:
    long = "Fact: " + "of the sport " * 300 + "{} plays in the league"
    run = studied(beside(long, "baseball", "football"), tmp_path, relation="sport")
    for found in (
        reasons(run, "head_attention", condition="asked:other"),
        reasons(run, "shared_neurons", relation="other"),
    ):
        assert len(found) == 1 and "at most" in next(iter(found))
    assert set(run.summary[run.summary["experiment"] == "head_attention"]["condition"]) == {"asked:sport"}


def test_of_several_relations_asked_for_the_one_that_cannot_be_asked_is_absent_everywhere(tmp_path: Path) -> None:
    table = beside("Fact: {} plays in the league", "MLB")
    run = studied(table, tmp_path / "all")
    assert set(run.summary["relation"]) == {"sport"}
    for experiment in WATCHED:
        assert any("has 1 classes" in reason for reason in reasons(run, experiment.name, relation="other"))
    assert "has 1 classes" in json.loads((tmp_path / "all" / "study.json").read_text())["relations_not_asked"]["other"]
    with pytest.raises(FactsError, match="has 1 classes"):
        studied(table, tmp_path / "strict", relation=["sport", "other"], leave_out=False)
    with pytest.raises(FactsError, match="has 1 classes"):
        studied(table, tmp_path / "alone", relation="other")


def many(tmp_path: Path, n: int, *, broken: bool = True) -> Path:
    """A table of n relations about the same people, and one more with a single answer."""
    people = [f.entity for f in facts().facts[:30]]
    answers = ("baseball", "basketball", "football")
    columns = {f"sport {k:02d}": [answers[(i + k) % 3] for i in range(len(people))] for k in range(n)}
    if broken:
        columns["source"] = ["football"] * len(people)
    rows = [
        (entity, name, answer, "Fact: {} plays the sport of")
        for name, column in columns.items()
        for entity, answer in zip(people, column, strict=True)
    ]
    path = tmp_path / "many.csv"
    pd.DataFrame(rows, columns=["entity", "relation", "attribute", "template"]).to_csv(path, index=False)
    return path


def request(table: Path, **given: object) -> Request:
    return Request(model=str(BUNDLED), facts=str(table), leave_out=True, controls="none", **given)  # type: ignore[arg-type]


def test_many_relations_are_never_studied_unasked(tmp_path: Path) -> None:
    table = many(tmp_path, MOST_UNASKED)
    with pytest.raises(rote.errors.InputError) as refused:
        read_inputs(request(table))
    said = str(refused.value)
    assert "--relation 'sport 00'" in said and "30 facts, 3 answers: sport 07" in said and "answers: source" not in said
    with pytest.raises(FactsError, match="none was chosen"):
        rote.study(model(), str(table), folder=tmp_path / "run", settings=SMALL)
    assert not (tmp_path / "run").exists()
    # as many as may be, those that are named, and questions alone are no such case
    for fine in (
        request(many(tmp_path, MOST_UNASKED - 1)),
        request(table, relation=("sport 00", "sport 01")),
        request(table, experiments="known_facts"),
    ):
        read_inputs(fine)


def test_what_a_study_will_lack_is_said_before_it_begins(tmp_path: Path) -> None:
    table = many(tmp_path, 2)
    (note,) = read_inputs(request(table)).notes
    assert note.startswith("1 relation cannot be asked and is left out: 'source' (relation 'source' has 1 classes")
    (note,) = read_inputs(request(table, relation=("sport 00",))).notes
    assert note.startswith("1 relation beside the studied ones cannot be asked: what needs it is absent: 'source'")
    assert read_inputs(request(table, relation=("sport 00",), experiments="known_facts")).notes == ()
    assert read_inputs(request(many(tmp_path, 2, broken=False))).notes == ()


def test_a_whole_table_is_asked_in_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = many(tmp_path, 12), tmp_path / "run"
    given = ["study", str(BUNDLED), "--facts", str(table), "--experiments", "known_facts", "--controls", "none"]
    monkeypatch.setattr(sys, "argv", ["rote", *given, "--leave-out", "--out", str(out)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0, capsys.readouterr().err
    assert "note: 1 relation cannot be asked and is left out: 'source'" in capsys.readouterr().err
    run = rote.open_run(out)
    assert len(set(run.summary["relation"])) == 12
    assert reasons(run, "known_facts", relation="source")
