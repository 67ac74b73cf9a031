"""The section on running text, and the first screen of a run that asked no facts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_run import BUNDLED, PYTHIA, text_run, write_run

from rote.experiments.local_processing.section import length_shown
from rote.page.view import Measured, View
from rote.records import Absent, Record, RunFolder
from rote.report import lead_text, load_view, render_text, write_report

KINDS = ("newline", "full_stop", "comma", "common_word", "alphabetic", "other")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_run(tmp_path_factory.mktemp("text") / "run")


@pytest.fixture(scope="module")
def view(folder: Path) -> View:
    return load_view(RunFolder.read_only(folder))


def cosines(view: View, length: int, condition: str = "all") -> list[Measured]:
    """By layer."""
    rows = view.rows("local_processing", "truncated_cosine", condition=condition)
    return sorted((r for r in rows if r.parameters["length"] == length), key=lambda r: r.layer or 0)


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_first_screen_says_what_a_text_can_tell(folder: Path, view: View) -> None:
    said = words(lead_text(folder))
    assert said.startswith(f"After layer 0 the last 10 tokens alone give a cosine of {cosines(view, 10)[0].number}")
    assert "No facts were asked in this run: it says what the model makes of the text valid.txt." in said
    last = cosines(view, 20)[-1]
    assert f"With the last 20 tokens alone it is {last.number} {last.interval} after the last layer." in said
    page = words(render_text(folder))
    assert "How bundled reads a text" in page
    assert "facts" not in page.split("How it was run")[0].replace("No facts were asked", "")


def test_every_layer_and_category_is_in_a_table(folder: Path, view: View) -> None:
    page = render_text(folder)
    for row in (r for kind in ("all", *KINDS) for r in cosines(view, 10, kind)):
        assert f"{row.number} {row.interval}" in page
    for shown in ("the token alone", "last 20 tokens"):
        assert shown in page
    names = ("newline", "full stop", "comma", "common word", "other letters", "all other")
    for kind, name in zip(KINDS, names, strict=True):
        (count,) = view.rows("local_processing", "n_tokens", condition=kind)
        assert f"{name} (n = {count.number})" in page
    assert "keep the positions that they had" in words(page) and "stands before every context" in words(page)
    assert "What was not measured" not in page


def test_every_figure_has_its_curves_with_bands(folder: Path, view: View) -> None:
    page = write_report(folder).read_text("utf-8")
    plots = [part.split("</script>")[0] for part in page.split('class="plot-data">')[1:]]
    over_layers, over_lengths, kinds = (json.loads(plot)["data"] for plot in plots)
    lines = [[t for t in traces if t.get("mode") == "lines+markers"] for traces in (over_layers, over_lengths, kinds)]
    lengths, n_layers = (1, 2, 3, 5, 7, 9, 10, 20), len(cosines(view, 10))
    assert [len(found) for found in lines] == [len(lengths), n_layers, len(KINDS)]
    assert all(len(t["x"]) == n_layers for t in lines[0]) and all(len(t["x"]) == len(lengths) for t in lines[1])
    assert lines[1][0]["y"] == pytest.approx([cosines(view, k)[0].value for k in lengths])


def test_in_a_run_with_facts_the_facts_lead_and_the_text_has_its_section(tmp_path: Path) -> None:
    records = {name: BUNDLED.record(name) for name in ("known_facts", "local_processing")}
    folder = write_run(tmp_path / "both", BUNDLED, records)
    assert "No facts were asked" not in lead_text(folder) and "knows" in lead_text(folder)
    assert "Do early layers look at nearby tokens only?" in render_text(folder)


def test_published_values_stand_beside_the_studys_own_model_without_its_facts(tmp_path: Path, view: View) -> None:
    page = words(render_text(text_run(tmp_path / "pythia", PYTHIA)))
    assert "above 0.9 after layer 0 with ten tokens" in page
    assert cosines(view, 10)[0].full in page.split("Published")[1]
    assert "Published" not in words(render_text(text_run(tmp_path / "other")))


def test_a_run_of_which_nothing_could_be_measured_says_why(tmp_path: Path) -> None:
    gone = Absent(experiment="local_processing", stack="model", statistic="truncated_cosine", reason="no positions")
    world = replace(BUNDLED, extra_study={"facts": None})
    folder = write_run(tmp_path / "run", world, {"local_processing": Record(absent=(gone,))})
    said = words(lead_text(folder))
    assert said.startswith("Nothing was measured in this run.") and "no positions." in said
    assert "no positions" in render_text(folder).split("What was not measured")[1]


def test_the_length_to_speak_of_is_ten_or_what_is_nearest_below() -> None:
    assert length_shown([1, 2, 10, 20]) == 10
    assert length_shown([1, 2, 9, 20]) == 9
    assert length_shown([20, 50]) == 20
