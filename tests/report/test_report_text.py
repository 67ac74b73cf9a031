"""What the report says, read in its text rendering."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_rows import RECORDS
from synthetic_run import BUNDLED, NEEDS_WINDOW, NO_WINDOW, PYTHIA, full_run, write_run
from synthetic_world import World

from rote.errors import RunError
from rote.experiments import ENTRIES
from rote.experiments import card as card_of
from rote.page.document import Table
from rote.records import Record, RunFolder
from rote.report import build_document, load_view, render_text, write_report

CARDS = tuple(entry.card for entry in ENTRIES)

TITLES = {card.name: card.title for card in CARDS}


def test_the_lead_gives_the_answer_with_its_numbers(texts: dict[str, str]) -> None:
    lead = texts["full"].split(TITLES["known_facts"])[0]
    for words in (
        "The model knows these facts and looks them up in MLPs 2 to 4.",
        "It knows 233 of 240 facts (97 %)",
        "right answer first for 97.0 % [94.0, 100.0] (n = 240)",
        "guessing from the last token of the name would give 46 %",
        "attention in layers 0 and 1 (above all L0H1, L1H1)",
        "without that of layer 0, accuracy falls to 50 %",
        "A plain sum of one part per token explains 99 %",
        "right for 42 % before them and 95 % after",
        "Without them the model gets 44 %, where a linear model on the two tokens gets 47 %",
        "L5H0 and L5H1 carry the answer to the end",
        "the effective model recalls 94.3 % [91.3, 97.3] (n = 120)",
        "with permuted MLP weights 40 %",
    ):
        assert words in lead


def test_the_drawing_names_the_layers_and_heads_with_their_accuracies(texts: dict[str, str]) -> None:
    drawing = texts["full"].split("[The circuit found")[1].split(TITLES["known_facts"])[0]
    stages = [
        "Name:",
        "Concatenate: layers 0 and 1",
        "Look up: MLPs 2 to 4",
        "Extract: L5H0 and L5H1",
        "Answer:",
    ]
    assert [drawing.index(stage) for stage in stages] == sorted(drawing.index(stage) for stage in stages)
    for gauge in ("without layer 1: 60 %", "before: 42 %", "after MLP 4: 95 %", "effective model: 94 %"):
        assert gauge in drawing


def test_a_section_for_every_experiment_with_question_method_and_source(texts: dict[str, str]) -> None:
    for card in CARDS:
        section = texts["full"].split(card.title)[1]
        assert card.question in section
        assert "Method: " + card.method in section
        assert f"Source: {card.source}." in section
    assert "What was not measured" not in texts["full"]


@pytest.mark.parametrize(
    ("experiment", "value"),
    [
        ("known_facts", "from the last token 45.5 % [42.5, 48.5] 45.5 % [42.5, 48.5]"),
        ("known_facts", "without any look-up, leave-one-out (n = 240)"),
        ("direct_effects", "L5H0 4.20 [4.10, 4.30] 4.20 [4.10, 4.30] 1"),
        ("head_attention", "Attention, asked: league (n = 120)"),
        ("value_inputs", "into head value"),
        ("key_or_value", "1 67.0 % [64.0, 70.0] 62.0 % [59.0, 65.0] 97.0 % [94.0, 100.0]"),
        ("readout", "a random subspace (control) 2.0 % [1.0, 3.0] 120"),
        ("concatenation", "plain sum of a part per token (R²) 0.9870 [0.9830, 0.9910] 120"),
        ("concatenation", "closed_form_difference stack model, relation sport blocks are sequential"),
        ("lookup_window", "accuracy with the window's MLPs ablated resample ablation 41.0 % [38.0, 44.0]"),
        ("effective_model", "accuracy permuted MLP weights 40.2 % [37.2, 43.2] 120"),
        ("layer_probes", "before 2 52.0 % [49.0, 55.0] 49.0 % [46.0, 52.0]"),
        ("path_ablation", "2 3 whole model additive ablation 0.053 nats [0.033, 0.073] 0.048 nats [0.028, 0.068] −2.4"),
        ("linear_structure", "2 0.650 [0.620, 0.680] 0.637 [0.607, 0.667] 0.325 [0.295, 0.355]"),
        ("known_norms", "0.25 SD [0.17, 0.33]"),
    ],
)  # fmt: skip
def test_tables_show_values_with_intervals(texts: dict[str, str], experiment: str, value: str) -> None:
    assert value in texts["full"].split(TITLES[experiment])[1].split("Source: ")[0]


def test_how_it_was_run_lists_every_field_of_the_study(texts: dict[str, str]) -> None:
    how = texts["full"].split("How it was run")[1]
    for field in ("model organisms/bundled", "versions.torch 2.13.0", "settings.n_bootstrap 2000", "seed 0"):
        assert field in how


def test_knowing_nothing_is_the_finding_and_nothing_else_is_drawn(texts: dict[str, str]) -> None:
    text = texts["knows_none"]
    assert "The model knows none of these facts." in text
    assert "There is no recall to take apart" in text
    assert "[The circuit found" not in text
    assert text.count("[Figure:") == 1, "the probabilities of the facts are the one figure"
    silent = text.split("What was not measured")[1]
    for card in CARDS[1:]:
        assert f"{card.name} " in silent
    assert silent.count("the model knows 0 of 240 facts; at least 24 are needed") == len(CARDS) - 1


def test_knowing_too_few_is_said_with_its_reason(texts: dict[str, str]) -> None:
    lead = texts["knows_few"].split(TITLES["known_facts"])[0]
    assert "Where the model looks these facts up could not be measured." in lead
    assert "the model knows 12 of 240 facts; at least 24 are needed." in lead
    assert "no MLP window" not in lead


def test_no_window_is_said_with_its_evidence(texts: dict[str, str]) -> None:
    text = texts["no_window"]
    assert "The model knows these facts, but no MLP window looks them up." in text
    assert text.count(NO_WINDOW) >= 2, "in the lead and in the section"
    assert "[The circuit found" not in text
    silent = text.split("What was not measured")[1]
    assert silent.count(NEEDS_WINDOW) == sum("lookup_window" in card.needs for card in CARDS)


def test_experiments_that_were_not_asked_for_are_said_to_be_so(texts: dict[str, str]) -> None:
    assert "where it looks them up was not asked for" in texts["only_facts"]
    assert texts["only_facts"].count("it was not asked for.") == len(CARDS) - 1


def test_published_values_stand_beside_measured_ones_for_pythia_only(texts: dict[str, str]) -> None:
    assert "Published for Pythia-2.8B" not in texts["full"]
    pythia = texts["pythia"]
    assert pythia.count("Published for Pythia-2.8B") == sum(bool(card.published) for card in CARDS)
    for line in (
        "baseline_majority 47.0 % 41.2 % [38.2, 44.2], n = 1,500 Fact Finding, post 2 (how far single tokens go)",
        "86 % effective_accuracy 86.0 % 94.3 % [91.3, 97.3], n = 120 Fact Finding, post 2 (the effective model)",
        "MLPs 2 to 6 look the sport up lookup_start 2 2 Fact Finding, post 2 (fact look-up)",
        "L16H20 comes first top_head 1 not measured Fact Finding, post 2 (attribute extraction)",
    ):
        assert line in pythia


def test_several_relations_get_a_part_each(tmp_path: Path) -> None:
    sport, league = World(), World(relation="league", seed=1)
    both = {}
    asking = [card for card in CARDS if card.needs_facts]  # what reads a text does so once, whatever the relations
    for card in asking:
        one, two = RECORDS[card.name](sport), RECORDS[card.name](league)
        both[card.name] = Record(rows=one.rows + two.rows, absent=one.absent + two.absent)
    text = " ".join(render_text(write_run(tmp_path, sport, both)).split())
    assert "looks them up in MLPs 2 to 4 for “sport”." in text
    assert "looks them up in MLPs 2 to 4 for “league”." in text
    assert text.count("## Relation: league") == len(asking)


def test_a_folder_that_is_no_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        write_report(tmp_path)
    folder = full_run(tmp_path / "run", BUNDLED)
    (folder / "summary.json").unlink()
    with pytest.raises(RunError, match="run the study again"):
        write_report(folder)


@pytest.mark.parametrize(
    "more", [{"facts": {"name": "capitals"}}, {"facts": "mine.csv"}, {"model": "EleutherAI/pythia-2.8b-deduped"}]
)
def test_published_values_need_the_studys_own_model_and_its_own_facts(tmp_path: Path, more: dict[str, object]) -> None:
    shown = render_text(full_run(tmp_path / "own", PYTHIA))
    assert "Published for Pythia-2.8B" in shown
    assert "Published for" not in render_text(full_run(tmp_path / "other", replace(PYTHIA, extra_study=more)))


def test_published_values_stand_beside_the_studys_relation_only(tmp_path: Path) -> None:
    text = render_text(full_run(tmp_path / "league", replace(PYTHIA, relation="league")))
    text = text.split(card_of("local_processing").title)[0]  # a text is of no relation
    lines = [line for line in text.splitlines() if "Fact Finding, post" in line and "Source" not in line]
    assert lines and all("not measured" in line or "see above" in line for line in lines)


def test_every_published_number_is_beside_a_measured_one_and_its_place_in_the_study(tmp_path: Path) -> None:
    document = build_document(load_view(RunFolder.read_only(full_run(tmp_path / "own", PYTHIA))))
    tables = {
        section.name: block
        for section in document.sections
        for block in section.blocks
        if isinstance(block, Table) and block.caption.startswith("Published for")
    }
    for card in CARDS:
        if card.published:
            rows = tables[card.name].rows
            assert [row[0] for row in rows] == [p.text for p in card.published]
            assert [row[4] for row in rows] == [str(p.source) for p in card.published]
    for name in ("known_facts", "readout", "lookup_window", "effective_model", "layer_probes", "linear_structure"):
        assert not any(row[3] == "not measured" for row in tables[name].rows), name
    probes = tables["layer_probes"].rows[0]
    assert probes[2:4] == ("50.0 %", "model: 52.0 % [49.0, 55.0], n = 120; effective: 49.0 % [46.0, 52.0], n = 120")
