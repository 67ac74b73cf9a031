"""The line-up in the report: every control stands where its row says, and no section shows a control's row."""

from __future__ import annotations

import dataclasses
import json
import time
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
from synthetic_lineup import SILENT, UNMATCHED, kind_of, lineup_run
from synthetic_run import BUNDLED, HOSTILE, full_run

from rote.catalog import CONTROLS, PREDICTIONS
from rote.errors import RunError
from rote.judge import judge_run
from rote.page.document import LineUp, Mark, Strip, StripRow, Table
from rote.page.html import html_of
from rote.page.strips import PlacedStrip, place_strip
from rote.page.text import text_of
from rote.page.view import View
from rote.records import RunFolder
from rote.records.outcomes import Judged, Outcome, judged
from rote.report import build_document, load_view, write_report
from rote.report.lineup.figure import line_up_figure
from rote.report.lineup.section import judgements
from rote.report.lineup.values import line_up, row_of


def view_of(folder: Path) -> View:
    return load_view(RunFolder.read_only(folder))


@pytest.fixture(scope="module")
def view(runs: dict[str, Path]) -> View:
    return view_of(runs["lineup"])


def figure_of(view: View) -> LineUp:
    return line_up_figure((("", view),), BUNDLED.relation)


def strips(view: View) -> list[tuple[StripRow, Strip]]:
    return [(row, row.strips[0]) for group in figure_of(view).groups for row in group.rows]


def outcome(verdict: str, **more: object) -> Outcome:
    fields = {
        "hypothesis": "h", "experiment": "e", "statistic": "s", "condition": None, "relation": None,
        "value": None, "value_low": None, "value_high": None, "with_controls": (), "without_controls": (), "t": None,
        "reason": "",
    } | more  # fmt: skip
    return Outcome(verdict=verdict, **fields)  # type: ignore[arg-type]


# what is drawn


def test_a_row_for_every_verdict_and_a_mark_for_every_control_with_a_value(view: View) -> None:
    found = strips(view)
    assert len(found) == len(PREDICTIONS)
    for (_, strip), prediction in zip(found, PREDICTIONS, strict=True):
        roles = [mark.role for mark in strip.marks]
        assert len(roles) - roles.count("model") == len(CONTROLS) - 1, f"all but {SILENT}, which has no value"
        assert roles.count("with") == len([c for c in prediction.with_controls if c != UNMATCHED])
        assert roles.count("without") == len([c for c in prediction.without_controls if c != UNMATCHED])
        assert roles.count("trained") == 1


def test_every_mark_has_the_value_and_interval_of_its_row(view: View) -> None:
    for found in view.outcomes:
        for stood in line_up(view, found):
            frame = view.summary
            rows = frame[
                (frame["experiment"] == found.experiment)
                & (frame["statistic"] == found.statistic)
                & (frame["stack"] == stood.stack)
                & ((frame["condition"] == found.condition) if found.condition else frame["condition"].isna())
            ]
            assert (stood.value, stood.low, stood.high) in set(
                zip(rows["value"], rows["ci_low"], rows["ci_high"], strict=True)
            )


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=lambda p: p.cell)
def test_the_row_shown_is_the_one_that_the_prediction_names(view: View, prediction: object) -> None:
    found = next(
        o for o in view.outcomes if (o.hypothesis, o.statistic) == (prediction.hypothesis, prediction.statistic)
    )  # type: ignore[attr-defined]
    layer = {"all": None, "first": BUNDLED.window[0], "last": BUNDLED.window[1]}[prediction.select.layer]  # type: ignore[attr-defined]
    for control in ("hash_lookup", "trained"):
        row = row_of(view, found, control)
        assert row is not None and row.name == control
        rows = view.rows(found.experiment, found.statistic, stack=control, layer=layer)
        assert row.value in [r.value for r in rows]


def test_other_layers_of_a_control_are_not_taken_for_the_judged_row(tmp_path: Path) -> None:
    folder = lineup_run(tmp_path / "run")
    records = view_of(folder)
    judged_row = next(o for o in records.outcomes if o.statistic == "norm_auc")
    frame = records.summary
    one = frame[(frame["statistic"] == "norm_auc") & (frame["stack"] == "trained")].iloc[[0]]
    later = one.assign(layer=BUNDLED.window[1], value=9.0)
    other_site = one.assign(site="resid_post", layer=0, value=9.0)
    more = dataclasses.replace(records, summary=pd.concat([later, other_site, frame], ignore_index=True))
    found = row_of(more, judged_row, "trained")
    assert found is not None and found.value == one["value"].iloc[0] != 9.0
    earlier = dataclasses.replace(records, summary=pd.concat([one.assign(layer=0, value=9.0), frame]))
    moved = row_of(earlier, judged_row, "trained")
    assert moved is not None and moved.value == 9.0, "the first layer of the window is what is asked"
    assert row_of(earlier, judged_row, "hash_lookup") is None, "the first layer of all stacks, not of each its own"


def test_judged_without_a_line_up_is_reported_as_if_nothing_were_judged(tmp_path: Path) -> None:
    folder = full_run(tmp_path / "run")
    before = text_of(build_document(view_of(folder)))
    found = judge_run(folder)
    assert {o.verdict for o in found} == {"not applicable"}
    assert text_of(build_document(view_of(folder))) == before


def test_the_judge_and_the_report_speak_of_the_same_rows(tmp_path: Path) -> None:
    folder = lineup_run(tmp_path / "run")
    judge_run(folder)
    view = view_of(folder)
    assert len(view.outcomes) == len(PREDICTIONS)
    checked = 0
    for found in view.outcomes:
        stood = {s.stack: s for s in line_up(view, found)}
        for reference in (*found.with_controls, *found.without_controls):
            row = row_of(view, found, reference.name)
            assert row is not None and (row.value, row.low, row.high) == (
                reference.value,
                reference.low,
                reference.high,
            )
            checked += 1
        effective = row_of(view, found, "effective")
        assert (effective.value if effective else None) == found.value
        assert len(stood) == len(CONTROLS) - 1 + (found.value is not None), f"all but {SILENT}"
    assert checked > len(PREDICTIONS)


def test_what_is_unmatched_is_hollow_named_so_and_no_reference(view: View) -> None:
    for _, strip in strips(view):
        hollow = [mark for mark in strip.marks if mark.unmatched]
        assert [mark.name for mark in hollow] == ["h1k unmatched"]
        assert hollow[0].role == "other"
    page = html_of(build_document(view))
    assert page.count('<path d="M0-4.6 4.6 3.6H-4.6Z" class="lu-other lu-hollow"/>') >= len(PREDICTIONS)


def test_verdicts_are_said_in_words_and_blind_rows_are_grey(view: View) -> None:
    words = {"not decisive": ("cannot tell", "blind"), "consistent": ("consistent", "for")}
    for (_, strip), prediction in zip(strips(view), PREDICTIONS, strict=True):
        expected = words.get(kind_of(prediction))
        if expected and any(m.role == "model" for m in strip.marks):
            assert (strip.verdict, strip.tone) == expected
    page = html_of(build_document(view))
    blind = sum(o.verdict == "not decisive" for o in view.outcomes)
    assert page.count('class="lu-strip lu-blind"') == blind > 0
    assert page.count("? cannot tell") == blind


def test_the_scale_holds_the_model_and_every_reference(view: View) -> None:
    for row, strip in strips(view):
        for mark in strip.marks:
            if mark.role in ("model", "with", "without"):
                assert row.low < mark.value < row.high


def test_alternative_text_and_hover_hold_the_values(view: View) -> None:
    _, strip = strips(view)[0]
    assert "joint part of MLP → MLP paths: consistent. the model 0.780 [0.740, 0.820]" in strip.alt
    assert "hash and look-up (without it) 0.290 [0.240, 0.340], 20 members" in strip.alt
    assert "trained from shuffled: 0.55 [0.50, 0.60], 20 members" in [m.hover for m in strip.marks]


# how it is laid out


def mark(value: float, role: str, half: float | None, name: str = "hash +100") -> Mark:
    low, high = (None, None) if half is None else (value - half, value + half)
    return Mark(name=name, role=role, value=value, low=low, high=high, hover="")  # type: ignore[arg-type]


def placed(*marks: Mark) -> PlacedStrip:
    strip = Strip(verdict="", tone="for", note="", alt="", marks=marks)
    row = StripRow(title="", detail="", low=0, high=1, low_text="", high_text="", strips=(strip,))
    return place_strip(row, strip)


def test_marks_of_one_height_never_overlap_and_stay_inside() -> None:
    marks = [mark(i / 30, role, h) for role in ("with", "without", "other") for i in range(31) for h in (0.01, 0.2)]
    found = placed(mark(0.5, "model", 0.1), *marks)
    assert len(found.marks) == len(marks)
    for a, b in combinations(found.marks, 2):
        if a.y == b.y:
            assert a.stop < b.start or b.stop < a.start
    assert all(0 <= p.start <= p.x <= p.stop <= 100 and 0 < p.y < found.axis_y < found.height for p in found.marks)
    heights = {role: {p.y for p in found.marks if p.mark.role == role} for role in ("with", "without", "other")}
    assert max(heights["with"]) < min(heights["without"]) < max(heights["without"]) < min(heights["other"])


def test_what_lies_beyond_the_scale_is_at_its_edge_and_marked() -> None:
    found = placed(mark(0.5, "model", None), mark(-3, "other", 0.1), mark(7, "other", None), mark(0.2, "other", None))
    assert sorted((p.x, p.beyond) for p in found.marks) == [(0, "low"), (20, ""), (100, "high")]


# standings and the first screen


@pytest.mark.parametrize(
    ("verdicts", "standing"),
    [
        (("consistent", "not decisive", "in between"), "survives"),
        (("inconsistent", "unlike all controls"), "contradicted"),
        (("consistent", "inconsistent", "consistent"), "disputed"),
        (("not decisive", "not applicable", "in between"), "undecided"),
    ],
)
def test_standing_follows_from_the_counts(verdicts: tuple[str, ...], standing: str) -> None:
    (found,) = judged(outcome(v) for v in verdicts)
    assert isinstance(found, Judged) and found.standing == standing
    assert found.consistent + found.inconsistent + found.undecided == len(verdicts)


def test_the_first_screen_says_what_survives_and_what_could_not_tell(texts: dict[str, str]) -> None:
    lead = texts["lineup"].split("[The circuit found")[0]
    for words in (
        "The model knows these facts and looks them up in MLPs 1 to 3.",
        "Single-step detokenisation (disputed): for it: joint part of MLP → MLP paths; against it: excess inherited "
        "from earlier layers; between its controls: whole MLP → MLP paths; unlike all controls: last layer alone "
        "(1 consistent, 1 inconsistent, 3 undecided).",
        "Parallel layers (disputed): for it: joint part of MLP → MLP paths; against it: weakest layer alone",
        "Additive tokens (survives): for it: broken linear structure",
        "Tests that decide nothing (cannot tell): joint part of MLP → MLP paths (on partial hash and look-up), same "
        "neurons for a name's facts,",
    ):
        assert words in lead


def test_where_no_test_decides_the_lead_says_so() -> None:
    blind = outcome("not decisive", hypothesis="hash_and_lookup", experiment="layer_probes", statistic="early_rise")
    found = judgements((blind,))
    assert [(j.standing, j.about, j.text) for j in found] == [
        ("undecided", "Hash and look-up", "no test could decide."),
        ("cannot tell", "Tests that decide nothing", "early rise of the probe."),
    ]


def test_the_line_up_stands_between_lead_and_contents(pages: dict[str, str]) -> None:
    page = pages["lineup"]
    places = [page.index(s) for s in ('class="lead"', 'id="lineup"', "<nav", 'id="known_facts"')]
    assert places == sorted(places)
    assert '<section id="lineup"' not in pages["full"] and '<ul class="judgements"' not in pages["full"]


def test_the_tables_hold_every_verdict_and_every_control(view: View) -> None:
    (section,) = build_document(view).front
    tables = {t.caption: t for t in section.blocks if isinstance(t, Table)}
    standings, verdicts, values, matching = tables.values()
    assert len(verdicts.rows) == len(PREDICTIONS)
    assert {row[2] for row in verdicts.rows} == {"consistent", "inconsistent", "cannot tell", "in between",
                                                 "unlike all controls", "not applicable"}  # fmt: skip
    names = dict.fromkeys(p.hypothesis for p in PREDICTIONS)
    for row, name in zip(standings.rows, names, strict=True):
        assert sum(map(int, row[2:])) == sum(p.hypothesis == name for p in PREDICTIONS)
    assert len(values.rows) == len(CONTROLS) + 1
    silent = next(row for row in values.rows if row[0] == "shuffled weights")
    assert set(silent[1:]) == {"–"}
    unmatched = next(row for row in matching.rows if row[2] == "unmatched")
    assert unmatched[0] == "hash trained for 1,000 steps" and "not within 0.02" in unmatched[-1]
    assert next(row for row in matching.rows if row[0] == "class booster")[2:4] == ("exempt", "–")


# controls stay out of the sections


def test_sections_say_the_same_with_and_without_controls(tmp_path: Path) -> None:
    with_ = view_of(lineup_run(tmp_path / "with", per_control=3))
    studied = with_.summary["stack"].isin(("model", "effective"))
    without = dataclasses.replace(
        with_,
        summary=with_.summary[studied],
        absent=with_.absent[with_.absent["stack"].isin(("model", "effective"))],
    )
    assert (~studied).sum() > 100
    assert build_document(with_).sections == build_document(without).sections
    assert build_document(with_).leads == build_document(without).leads
    assert with_.rows("layer_probes", "probe_accuracy", stack="hash_lookup"), "whoever asks for a control gets it"
    assert {r.stack for r in with_.rows("layer_probes")} == {"model", "effective"}
    assert not any(SILENT in m.where for m in with_.missing)


def test_the_subtitle_counts_what_was_studied_and_what_stands_beside_it(view: View, texts: dict[str, str]) -> None:
    n_controls = int((~view.summary["stack"].isin(("model", "effective"))).sum())
    assert f"{len(view.measured):,} values of" in texts["lineup"]
    assert f"beside {n_controls} values of {len(CONTROLS)} controls." in texts["lineup"]
    assert "beside" not in texts["full"].split("The model knows")[0]


def test_thirty_thousand_rows_of_controls_do_not_slow_the_report(tmp_path: Path) -> None:
    folder = lineup_run(tmp_path / "run", per_control=2500)
    assert view_of(folder).n_control_values > 30_000
    start = time.perf_counter()
    page = write_report(folder)
    assert time.perf_counter() - start < 20  # 2.6 s on a quiet core
    assert page.stat().st_size < 6_000_000


# input that is not as expected


def test_outcomes_that_are_no_list_of_verdicts_are_refused_with_what_to_do(tmp_path: Path) -> None:
    folder = full_run(tmp_path / "run")
    for text in ("{", '{"hypothesis": "h"}', '[{"hypothesis": "h"}]', "[1]", "3"):
        (folder / "outcomes.json").write_text(text, encoding="utf-8")
        with pytest.raises(RunError, match=r"outcomes.json cannot be read as a list of verdicts.*judge the run again"):
            view_of(folder)


def test_hypotheses_and_controls_that_the_catalog_does_not_know_are_shown_and_escaped(tmp_path: Path) -> None:
    folder = lineup_run(tmp_path / "run")
    entries = json.loads((folder / "outcomes.json").read_text(encoding="utf-8"))
    mine = entries[0] | {"hypothesis": HOSTILE[0], "reason": HOSTILE[1]}
    mine["with_controls"] = [{"control": HOSTILE[2], "value": 0.5, "low": None, "high": None, "members": 1}]
    (folder / "outcomes.json").write_text(json.dumps([*entries, mine]), encoding="utf-8")
    view = view_of(folder)
    page = html_of(build_document(view))
    assert "<script>document.title" not in page and "<img" not in page and "<b>bold" not in page
    assert "document.title=&#39;broken&#39;" in page and "{{ 7 * 7 }}" in page
    text = text_of(build_document(view))
    assert HOSTILE[2] in text
    last = figure_of(view).groups[-1].rows[0].strips[0]
    assert sum(m.role == "other" for m in last.marks) > 5, "other controls are found by the place of the judged values"


def test_where_every_test_is_blind_they_are_counted_and_not_listed() -> None:
    blind = tuple(
        outcome("not decisive", hypothesis="hash_and_lookup", experiment=e, statistic=s)
        for e, s in (("layer_probes", "early_rise"), ("nonlinear_excess", "linear_share"))
    )
    assert judgements(blind)[-1].text == "all 2 of them; the reasons stand in the line-up below."
    seen = (*blind, outcome("consistent", hypothesis="hash_and_lookup", statistic="norm_auc"))
    assert judgements(seen)[-1].text == "early rise of the probe and linear neurons."
