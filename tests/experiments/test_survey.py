"""`rote facts`: what is known of a table in each wording, beside the plain passes that a study would make."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from circuit_world import SETTINGS, facts, model

import rote
from rote.asking import ask
from rote.cli import main as cli
from rote.errors import FactsError, SettingsError
from rote.facts import Fact, Relation
from rote.organisms import BUNDLED
from rote.pipeline.questions import Questions
from rote.pipeline.survey import MOST_ASKED, Surveyed

SHOTS = (0, 2, 5)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return rote.survey(model(), facts(), shots=SHOTS, settings=SETTINGS)


def questions(shots: int) -> Questions:
    return Questions(model=model(), table=facts(), settings=replace(SETTINGS, shots=shots))


def test_every_count_is_what_a_study_in_that_wording_finds(table: pd.DataFrame) -> None:
    """The world has fewer facts than are asked at most: all but the most examples, in every wording."""
    shown = {f.entity for f in questions(5).examples("sport")}
    assert list(table["shots"]) == list(SHOTS)
    for row in table.itertuples():
        prompts = questions(row.shots).of("sport")
        known = ask(model(), prompts, SETTINGS)
        rest = np.array([entity not in shown for entity in prompts.entities])
        assert row.n_facts == rest.sum() == len(facts().facts) - 5
        assert (row.n_in_all, row.n_answers) == (len(prompts), 3)
        assert row.probability == (np.exp(known.log_prob) > 0.5)[rest].sum()
        assert row.top1 == known.correct[rest].sum()
        assert row.among_answers == (known.predicted_cls == prompts.cls)[rest].sum()
        assert row.commonest == max(np.bincount(prompts.cls[rest])) / rest.sum()
    assert table["probability"].max() > 0, "else nothing was compared"


def test_at_most_so_many_facts_are_asked_whatever_the_tables_order() -> None:
    every = rote.read_facts("athletes", relation="sport", prefix="")
    few = replace(every, facts=every.facts[::8][: MOST_ASKED + 60])
    turned = replace(few, facts=few.facts[::-1])
    (one,), (other,) = (rote.survey(model(), t, shots=[0], settings=SETTINGS).to_dict("records") for t in (few, turned))
    assert one == other and one["n_facts"] == MOST_ASKED and one["n_in_all"] == MOST_ASKED + 60


def test_a_wording_that_cannot_be_asked_is_a_row_with_its_reason() -> None:
    few = replace(facts(), facts=facts().facts[:3] + facts().facts[-1:])
    others = tuple(Fact(entity=f.entity, relation="league", attribute="MLB") for f in few.facts)
    league = Relation(name="league", template="Fact: {} plays in the league")
    both = replace(few, relations=(*few.relations, league), facts=few.facts + others)
    found = rote.survey(model(), both, shots=[0, 4], settings=SETTINGS).set_index(["relation", "shots"])
    assert pd.isna(found.loc[("sport", 0), "reason"])
    assert "as examples would leave 0" in found.loc[("sport", 4), "reason"]
    assert "has 1 classes" in found.loc[("league", 0), "reason"] and pd.isna(found.loc[("league", 0), "top1"])


def test_templates_are_for_one_relation_and_shots_are_numbers_in_range() -> None:
    asked = ["Fact: {} plays the sport of", "Fact: {} plays"]
    found = rote.survey(model(), facts(), shots=[0], templates=asked, settings=SETTINGS)
    assert list(found["template"]) == asked
    with pytest.raises(FactsError, match="one template asks one question"):
        rote.survey(model(), "athletes", templates=["{} plays"])
    with pytest.raises(FactsError, match="expected exactly one"):
        rote.survey(model(), facts(), templates=["he plays"])
    with pytest.raises(SettingsError, match="at most"):
        rote.survey(model(), facts(), shots=[1000])
    with pytest.raises(SettingsError, match="no number of shots"):
        rote.survey(model(), facts(), shots=[])


def command(monkeypatch: pytest.MonkeyPatch, *given: str) -> int:
    monkeypatch.setattr(sys, "argv", ["rote", "facts", str(BUNDLED), *given])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.fixture
def small(tmp_path: Path) -> str:
    rows = [(f.entity, "sport", f.attribute, "Fact: {} plays the sport of") for f in facts().facts[::6]]
    path = tmp_path / "small.csv"
    pd.DataFrame(rows, columns=["entity", "relation", "attribute", "template"]).to_csv(path, index=False)
    return str(path)


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "csv": pd.read_csv, "parquet": pd.read_parquet, "json": pd.read_json
}  # fmt: skip


@pytest.mark.parametrize("kind", list(READERS))
def test_the_command_writes_its_table_and_nothing_else(
    kind: str, small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, small, "--shots", "2,0", "--out", f"found.{kind}") == 0
    frame = READERS[kind](tmp_path / f"found.{kind}")
    assert list(frame.columns) == list(Surveyed.__dataclass_fields__) and list(frame["shots"]) == [0, 2]
    said = capsys.readouterr().out
    assert "sport   'Fact: {} plays the sport of'" in said and "p > ½" in said
    assert "most is known with: --relation 'sport'" in said
    assert {p.name for p in tmp_path.iterdir()} == {"small.csv", f"found.{kind}"}


def test_no_file_is_overwritten_least_of_all_the_facts(
    small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is asked: an answer that could not be stored would be lost."""
    monkeypatch.chdir(tmp_path)
    before = Path(small).read_bytes()
    assert command(monkeypatch, small, "--out", "small.csv") == 2
    assert "small.csv exists" in capsys.readouterr().err and Path(small).read_bytes() == before


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--shots", "some"], "expected numbers of examples"),
        (["--out", "found.xlsx"], "expected one of .csv, .parquet, .json"),
        (["--out", "nowhere/found.csv"], "a folder that exists"),
        (["--chat"], "has no chat template"),
        (["--template", "{} plays", "--template", "plays"], "expected exactly one {}"),
        (["--relation", "height"], "no relation 'height'"),
    ],
)
def test_what_cannot_be_surveyed_is_refused(
    given: list[str], says: str, small: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, small, *given) == 2
    assert says in capsys.readouterr().err
