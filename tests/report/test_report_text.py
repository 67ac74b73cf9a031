"""What the report says, read in its text rendering."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from measured import bare
from synthetic_run import BUNDLED, NEEDS_WINDOW, NO_READOUT, NO_WINDOW, PYTHIA, full_run, write_run
from synthetic_world import World

from rote.errors import RunError
from rote.experiments import ENTRIES
from rote.experiments import card as card_of
from rote.page.document import Table
from rote.page.numbers import percent
from rote.page.view import Measured, View
from rote.records import Record, RunFolder
from rote.report import build_document, load_view, render_text, write_report
from rote.report.circuit_found import circuit_found
from rote.report.lead import lead_of

CARDS = tuple(entry.card for entry in ENTRIES)

TITLES = {card.name: card.title for card in CARDS}


@pytest.fixture(scope="module")
def view(runs: dict[str, Path]) -> View:
    return load_view(RunFolder.read_only(runs["full"]))


def of(view: View, experiment: str, statistic: str, **where: object) -> Measured:
    (row,) = view.rows(experiment, statistic, **where)
    return row


def in_words(row: Measured) -> str:
    return f"{row.number} {row.interval} (n = {row.count})"


def test_the_lead_gives_the_answer_with_its_numbers(view: View, texts: dict[str, str]) -> None:
    lead = texts["full"].split(TITLES["known_facts"])[0]
    asked = ("n_known", "accuracy", "baseline_majority")
    known = {name: of(view, "known_facts", name, condition="all", cls=None) for name in asked}
    both = {r.layer: r for r in view.rows("readout", "readout_accuracy", condition="both")
            if r.parameters == {"readout": "heads", "ablation": "mean"}}  # fmt: skip
    start, stop = BUNDLED.window
    ablated = view.rows("concatenation", "attention_ablated_accuracy", condition="mean")
    worst = min(ablated, key=lambda r: r.value)
    r2 = of(view, "concatenation", "concatenation_r2", condition=None)
    without = of(view, "lookup_window", "window_mlps_ablated_accuracy", condition="mean", position="subject_last")
    effective = of(view, "effective_model", "effective_accuracy", condition="report")
    shuffled = of(view, "effective_model", "effective_accuracy", condition="shuffled")
    linear = of(view, "lookup_window", "additive_accuracy_held_out")
    assert without.value < 0.9 and shuffled.value < effective.value  # so that the sentences say something
    for words in (
        f"The model knows these facts and looks them up in MLPs {start} to {stop}.",
        f"It knows {known['n_known'].number} of {BUNDLED.n_facts} facts (100 %)",
        f"right answer first for {in_words(known['accuracy'])}",
        f"always saying the commonest class would give {percent(known['baseline_majority'].value)}",
        f"attention in layer {worst.layer} (above all L{worst.layer}H",
        f"without that of layer {worst.layer}, accuracy falls to {percent(worst.value)}",
        f"A plain sum over the two parts of the name explains {percent(r2.value)}",
        f"right for {percent(both[start - 1].value)} before them and {percent(both[stop].value)} after",
        f"Without them the model gets {percent(without.value)}, where a linear model on the two parts gets "
        f"{percent(linear.value)}",
        "L4H2 carries the answer to the end",
        f"the effective model recalls {in_words(effective)}",
        f"with permuted MLP weights {percent(shuffled.value)}",
    ):
        assert words in lead


def test_what_is_said_to_carry_the_answer_looks_at_the_name(view: View, texts: dict[str, str]) -> None:
    """Whatever leads by whole effect: it may get the answer at the end."""
    head = of(view, "direct_effects", "readout_head", value=1)
    asked = {"position": "subject_last", "condition": f"asked:{head.relation}"}
    looks = of(view, "head_attention", "attention", layer=head.layer, head=head.head, **asked)
    words = f"{head.name} carries the answer to the end of the prompt; {percent(looks.value)} of its attention goes to"
    assert words in " ".join(texts["full"].split()) and looks.value > 0.5
    at = (view.summary["statistic"] == "top_head") | (view.summary["statistic"] == "direct_effect")
    summary = view.summary.assign(head=view.summary["head"].where(~at, (view.summary["head"] + 1) % 4))
    moved = replace(view, summary=summary)
    assert of(moved, "direct_effects", "top_head", value=1).name != head.name
    sentences = lead_of(circuit_found(moved, head.relation), of_several=False).sentences
    assert any(sentence.startswith(f"Extract: {words}") for sentence in sentences)


def test_without_a_readout_nothing_is_said_to_carry_the_answer(texts: dict[str, str]) -> None:
    lead = " ".join(texts["no_readout"].split(TITLES["known_facts"])[0].split())
    assert "The model knows these facts, but no head reads them at the name's last token." in lead
    assert NO_READOUT in lead
    assert "Extract" not in lead and "to the end of the prompt" not in lead


def test_the_drawing_claims_nothing_of_what_was_not_asked_for(view: View) -> None:
    """Without the experiments that find heads and layers their stages have no more than their names."""

    def titles(view: View) -> list[str]:
        diagram = lead_of(circuit_found(view, "sport"), of_several=False).diagram
        assert diagram is not None
        return [stage.title for stage in diagram.stages]

    asked = ~view.summary["experiment"].isin(["direct_effects", "concatenation"])
    less = titles(replace(view, summary=view.summary[asked]))
    assert "Extract" in less and "Concatenate" in less
    assert "Extract: L4H2" in titles(view)[3] and titles(view)[1] == "Concatenate: layer 0"


def test_the_drawing_names_the_layers_and_heads_with_their_accuracies(view: View, texts: dict[str, str]) -> None:
    drawing = texts["full"].split("[The circuit found")[1].split(TITLES["known_facts"])[0]
    stages = ["Name:", "Concatenate: layer 0", "Look up: MLPs 1 to 3", "Extract: L4H2", "Answer:"]
    assert [drawing.index(stage) for stage in stages] == sorted(drawing.index(stage) for stage in stages)
    effective = of(view, "effective_model", "effective_accuracy", condition="report")
    for gauge in ("without layer 0: ", "before: ", "after MLP 3: ", f"effective model: {percent(effective.value)}"):
        assert gauge in drawing


def test_a_section_for_every_experiment_with_question_method_and_source(texts: dict[str, str]) -> None:
    for card in CARDS:
        section = texts["full"].split(card.title)[1]
        assert card.question in section
        assert "Method: " + card.method in section
        assert f"Source: {card.source}." in section
    assert "What was not measured" not in texts["full"]


# of these the tables show the largest
LARGEST = {"direct_effect", "source_effect", "value_effect", "total_effect"}


def test_tables_show_every_value_with_its_interval(view: View, texts: dict[str, str]) -> None:
    for card in CARDS:
        section = texts["full"].split(card.title)[1].split("Source: ")[0]
        for row in view.rows(card.name):
            of_kinds = card.name == "local_processing" and row.condition != "all"
            cut = row.statistic in LARGEST or (of_kinds and row.parameters.get("length", 10) != 10)
            assert cut or any(f"{number} {row.interval}".strip() in section for number in (row.number, bare(row))), row


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
    assert silent.count("the model knows 0 of 120 facts; at least 24 are needed") == len(CARDS) - 1


def test_knowing_too_few_is_said_with_its_reason(texts: dict[str, str]) -> None:
    lead = texts["knows_few"].split(TITLES["known_facts"])[0]
    assert "Where the model looks these facts up could not be measured." in lead
    assert "the model knows 6 of 120 facts; at least 24 are needed." in lead
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


def test_published_values_stand_beside_measured_ones_for_pythia_only(
    runs: dict[str, Path], texts: dict[str, str]
) -> None:
    assert "Published for Pythia-2.8B" not in texts["full"]
    pythia = texts["pythia"]
    assert pythia.count("Published for Pythia-2.8B") == sum(bool(card.published) for card in CARDS)
    view = load_view(RunFolder.read_only(runs["pythia"]))
    guess = of(view, "known_facts", "baseline_majority", condition="two_token")
    effective = of(view, "effective_model", "effective_accuracy", condition="report")
    for line in (
        f"baseline_majority 47.0 % {guess.full} Fact Finding, post 2 (how far single tokens go)",
        f"86 % effective_accuracy 86.0 % {effective.full} Fact Finding, post 2 (the effective model)",
        "MLPs 2 to 6 look the sport up lookup_start 2 1, n = 60 Fact Finding, post 2 (fact look-up)",
        "L16H20 comes first top_head 1 not measured Fact Finding, post 2 (attribute extraction)",
    ):
        assert line in pythia


def test_several_relations_get_a_part_each(tmp_path: Path) -> None:
    sport, league = World(), World(relation="league", shift=1)
    both = {}
    asking = [card for card in CARDS if card.needs_facts]  # what reads a text does so once, whatever the relations
    for card in asking:
        one, two = sport.record(card.name), league.record(card.name)
        both[card.name] = Record(rows=one.rows + two.rows, absent=one.absent + two.absent)
    text = " ".join(render_text(write_run(tmp_path, sport, both)).split())
    assert "looks them up in MLPs 1 to 3 for “sport”." in text
    assert "looks them up in MLPs 1 to 3 for “league”." in text
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
    for name in ("known_facts", "lookup_window", "effective_model", "layer_probes", "linear_structure"):
        assert not any(row[3] == "not measured" for row in tables[name].rows), name
    rows = zip(card_of("readout").published, tables["readout"].rows, strict=True)
    lacking = {(p.condition, p.layer) for p, row in rows if row[3] == "not measured"}
    # the organism has no MLP before its window, and its heads read no layer from 4 on (here 16 is a copy of 4)
    assert lacking == {("both_first_mlps_ablated", 6), ("both_first_mlps_ablated", None), ("full", 16)}
    view = load_view(RunFolder.read_only(tmp_path / "own"))
    first = {r.stack: r.full for r in view.rows("layer_probes", "probe_accuracy") if r.site.startswith("resid_pre")
             and r.layer == BUNDLED.window[0]}  # fmt: skip
    probes = tables["layer_probes"].rows[0]
    assert probes[2:4] == ("50.0 %", f"model: {first['model']}; effective: {first['effective']}")
