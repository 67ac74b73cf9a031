"""Runs beside each other: differences with intervals from both, verdicts that differ first."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_lineup import lineup_run
from synthetic_run import BUNDLED, full_run, run_of_only
from synthetic_world import World

from rote.catalog import PREDICTIONS
from rote.errors import InputError, RunError
from rote.page.document import LineUp, Table
from rote.page.view import Measured
from rote.records import RunFolder
from rote.report import compare, load_view, render_comparison
from rote.report.comparison.differences import difference, difference_text, place, shared_rows
from rote.report.comparison.runs import compare_document, default_name, run_names

AB = ("a", "b")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same world twice: in the second the model stands 0.1 higher, and one verdict is another."""
    root = tmp_path_factory.mktemp("pair")
    first, second = lineup_run(root / "early"), lineup_run(root / "late", shift=0.1)
    entries = json.loads((second / "outcomes.json").read_text(encoding="utf-8"))
    entries[2]["verdict"] = "consistent"
    (second / "outcomes.json").write_text(json.dumps(entries), encoding="utf-8")
    return first, second


def row(value: float, low: float | None, high: float | None, **more: object) -> Measured:
    fields = {
        "experiment": "e", "stack": "effective", "statistic": "s", "condition": None, "relation": None, "site": None,
        "source": None, "layer": None, "head": None, "neuron": None, "cls": None, "position": None, "parameters": {},
        "n": 9, "unit": "ratio", "p_adjusted": None,
    } | more  # fmt: skip
    return Measured(value=value, low=low, high=high, **fields)  # type: ignore[arg-type]


# differences

numbers = st.floats(-50, 50)
widths = st.floats(0, 20)


@given(numbers, numbers, widths, widths, widths, widths)
def test_half_widths_add_in_quadrature_side_by_side(
    a: float, b: float, a_down: float, a_up: float, b_down: float, b_up: float
) -> None:
    first, later = row(a, a - a_down, a + a_up), row(b, b - b_down, b + b_up)
    found = difference(first, later, AB)
    # literally: the difference is lowest where the later value is lowest and the first highest
    assert found.value == pytest.approx(b - a)
    assert found.low == pytest.approx((b - a) - math.sqrt(b_down**2 + a_up**2), abs=1e-9)
    assert found.high == pytest.approx((b - a) + math.sqrt(b_up**2 + a_down**2), abs=1e-9)
    back = difference(later, first, AB)
    assert back.low is not None and found.high is not None
    assert back.low == pytest.approx(-found.high, abs=1e-9), "the other way round it is the mirror image"


def test_a_difference_without_an_interval_says_which_run_lacks_it() -> None:
    whole, bare = row(0.5, 0.4, 0.6), row(0.7, None, None)
    assert difference(whole, bare, AB).reason == "no interval in b"
    assert difference(bare, bare, AB).reason == "no interval in a and b"
    found = difference(bare, whole, AB)
    assert (found.low, found.high, found.reason) == (None, None, "no interval in a")
    assert not found.excludes_zero
    assert difference_text(bare.form, found) == "−0.200 (no interval in a)"


def test_a_star_marks_intervals_that_leave_out_zero_and_shares_differ_in_points() -> None:
    low, high = row(0.5, 0.49, 0.51), row(0.6, 0.59, 0.61)
    assert difference_text(low.form, difference(low, high, AB)) == "+0.100 [0.086, 0.114] *"
    assert not difference_text(low.form, difference(low, low, AB)).endswith("*")
    share = row(0.5, 0.49, 0.51, shown="percent")
    assert difference_text(share.form, difference(share, high, AB)).startswith("+10.0 pp [")


def test_a_run_beside_itself_differs_in_nothing(pair: tuple[Path, Path], tmp_path: Path) -> None:
    text = " ".join(render_comparison(pair[0], pair[0]).split())
    assert f"All {len(PREDICTIONS)} shared verdicts are the same." in text
    assert "The runs were set up alike." in text
    view = load_view(RunFolder.read_only(pair[0]))
    shared = shared_rows([view, view])
    assert len(shared) == len(view.measured)
    for first, second in shared.values():
        assert first is not None and second is not None
        found = difference(first, second, AB)
        assert found.value == 0 and not found.excludes_zero


def test_values_are_matched_by_what_they_are_whatever_their_order(tmp_path: Path) -> None:
    view = load_view(RunFolder.read_only(full_run(tmp_path / "a")))
    mixed = replace(view, summary=view.summary.sample(frac=1, random_state=0))
    shared = shared_rows([view, mixed])
    assert len(shared) == len(view.measured)
    assert all(a == b for a, b in shared.values())
    # a seed that alone tells rows apart leaves them without a counterpart
    twice = replace(view, summary=pd.concat([view.summary, view.summary.iloc[[0]].assign(seed=1, value=0.0)]))
    assert len(shared_rows([twice, view])) == len(view.measured) - 1


def test_every_statistic_of_both_runs_has_a_difference(pair: tuple[Path, Path]) -> None:
    views = [load_view(RunFolder.read_only(run)) for run in pair]
    both = {(r.experiment, r.statistic) for r in views[0].measured} & {
        (r.experiment, r.statistic) for r in views[1].measured
    }
    shown = set()
    for section in compare_document(*pair).sections:
        for block in section.blocks:
            if isinstance(block, Table) and section.name.startswith("differences_"):
                shown |= {(section.name.removeprefix("differences_"), line[0]) for line in block.rows}
    assert shown == both


def test_the_model_that_moved_differs_by_what_it_moved(pair: tuple[Path, Path]) -> None:
    table = next(
        b
        for s in compare_document(*pair).sections
        if s.name == "differences_nonlinear_excess"
        for b in s.blocks
        if isinstance(b, Table)
    )
    line = next(r for r in table.rows if r[0] == "inherited" and r[1] == "effective, relation sport")
    # widths 0.04 and 0.04: √(0.04² + 0.04²) = 0.057
    assert line[2:] == ("0.290 [0.250, 0.330], n = 120", "0.390 [0.350, 0.430], n = 120", "+0.10 [0.04, 0.16] *")


def test_very_many_values_are_cut_to_those_that_differ_most_and_it_is_said(tmp_path: Path) -> None:
    deep = replace(BUNDLED, n_layers=16, n_heads=8)
    runs = (full_run(tmp_path / "a", deep), full_run(tmp_path / "b", replace(deep, shift=1)))
    section = next(s for s in compare_document(*runs).sections if s.name == "differences_direct_effects")
    (table,) = section.blocks
    assert isinstance(table, Table)
    assert "direct_effect: the 40 of 288 that differ most" in table.caption
    assert sum(line[0] == "direct_effect" for line in table.rows) == 40


def test_the_place_of_a_value_names_all_that_tells_it_apart() -> None:
    found = place(row(0, None, None, condition="both", layer=3, head=1, neuron=7, parameters={"rank": 2}))
    assert found == "effective, condition both, layer 3, head 1, neuron 7, rank 2"


# verdicts


def test_verdicts_that_differ_lead_the_page_and_the_table(pair: tuple[Path, Path]) -> None:
    document = compare_document(*pair)
    (lead,) = document.leads
    assert lead.headline == f"1 of {len(PREDICTIONS)} shared verdicts differs."
    assert lead.sentences == (
        "Single-step detokenisation, excess inherited from earlier layers – early: inconsistent; late: consistent.",
    )
    (section,) = document.front
    verdicts = next(b for b in section.blocks if isinstance(b, Table) and b.caption.startswith("Verdicts"))
    assert [line[2] for line in verdicts.rows] == ["yes"] + [""] * (len(PREDICTIONS) - 1)
    assert verdicts.rows[0][-1] == "+0.10 [0.04, 0.16] *"
    standings = next(b for b in section.blocks if isinstance(b, Table) and b.caption.startswith("How each"))
    assert standings.rows[0] == (
        "Single-step detokenisation",
        "disputed (1 for, 1 against, 3 undecided)",
        "survives (2 for, 0 against, 3 undecided)",
    )


def test_the_line_ups_stand_side_by_side_on_one_scale(pair: tuple[Path, Path]) -> None:
    (section,) = compare_document(*pair).front
    figure = next(b for b in section.blocks if isinstance(b, LineUp))
    assert figure.runs == ("early", "late")
    moved = 0
    for group in figure.groups:
        for line in group.rows:
            assert len(line.strips) == 2
            models = [m.value for s in line.strips for m in s.marks if m.role == "model"]
            assert all(line.low < value < line.high for value in models)
            moved += len(models) == 2 and models[1] - models[0] == pytest.approx(0.1)
    assert moved > 10


def test_a_relation_that_only_one_run_has_leaves_the_other_side_empty(tmp_path: Path) -> None:
    first = lineup_run(tmp_path / "a")
    other = lineup_run(tmp_path / "b", World(relation="league"))
    (section,) = compare_document(first, other).front
    text = " ".join(render_comparison(first, other).split())
    assert "No verdict is shared by these runs." in text
    assert "## Relation: league" in text and "b: No such verdict in this run." in text
    assert len(section.blocks) == 4, "two tables and a part for each relation"


def test_runs_that_nobody_judged_are_compared_value_by_value(tmp_path: Path) -> None:
    runs = (full_run(tmp_path / "a"), full_run(tmp_path / "b", replace(BUNDLED, shift=1)))
    text = " ".join(render_comparison(*runs).split())
    assert "No line-up was judged in a and b." in text and "Neither run has been judged." in text
    assert "Differences: known facts" in text and "seed: 0 -> 1" in text


def test_three_runs_are_set_against_the_first(pair: tuple[Path, Path], tmp_path: Path) -> None:
    third = lineup_run(tmp_path / "last", shift=0.2)
    document = compare_document(*pair, third)
    assert document.title == "early, late and last compared"
    table = document.sections[0].blocks[0]
    assert isinstance(table, Table)
    assert [c.title for c in table.columns[-2:]] == ["late − early", "last − early"]


def test_runs_that_share_no_value_are_said_to_share_none(tmp_path: Path) -> None:
    runs = (run_of_only(tmp_path / "a", "known_norms"), run_of_only(tmp_path / "b", "head_attention"))
    assert "These runs share no value" in render_comparison(*runs)


# the file


def test_one_page_is_written_and_nothing_is_overwritten_unasked(pair: tuple[Path, Path], tmp_path: Path) -> None:
    page = compare(*pair, out=tmp_path / "c.html")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>") and 'class="lineup several"' in text and len(text) < 1_000_000
    assert "<script" not in text and "script-src &#39;none&#39;" in text and 'src="' not in text
    page.write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="exists; choose another file"):
        compare(*pair, out=page)
    assert page.read_text(encoding="utf-8") == "mine"
    assert compare(*pair, out=page, force=True).read_text(encoding="utf-8") == text
    with pytest.raises(InputError, match="cannot be written"):
        compare(*pair, out=tmp_path / "no" / "c.html")


def test_what_cannot_be_compared_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least two"):
        compare(pair[0], out=tmp_path / "c.html")
    with pytest.raises(RunError, match="not a run folder"):
        compare(pair[0], tmp_path, out=tmp_path / "c.html")
    assert not (tmp_path / "c.html").exists()


def test_names_tell_runs_apart_and_make_a_file_name() -> None:
    assert run_names(["x/a", "x/b"]) == ("a", "b")
    assert run_names(["x/run", "y/run"]) == ("x/run", "y/run")
    assert run_names(["x/run", "x/run"]) == ("run (1)", "run (2)")
    assert default_name(("x/run", "ü y")) == "compare-x-run--y.html"
    assert len(default_name(("a" * 200, "b" * 200))) < 80


def test_the_command_needs_no_torch(pair: tuple[Path, Path], tmp_path: Path) -> None:
    probe = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        f"sys.argv = ['rote', 'compare', {str(pair[0])!r}, {str(pair[1])!r}]\n"
        "from rote.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("comparison: compare-early-late.html\n")
    assert f"1 of {len(PREDICTIONS)} shared verdicts differs." in done.stdout
    again = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 2 and "exists" in again.stderr
