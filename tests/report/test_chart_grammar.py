"""The grammar of charts: how rows become lines, and lines curves, bars, matrices and tables."""

from __future__ import annotations

from typing import Any

import pytest

from rote.page.lines import LAYER, STACK, By, Line, lines
from rote.page.shapes import bars, curve, figure, matrix, pivot, ranked, table
from rote.page.view import Measured

FIELDS = (
    "experiment", "stack", "statistic", "condition", "relation", "site", "source", "layer", "head", "neuron", "cls",
    "position",
)  # fmt: skip


def row(value: float, *, half: float | None = 0.1, n: int | None = 9, parameters: Any = None, **key: Any) -> Measured:
    given = {**dict.fromkeys(FIELDS), "experiment": "e", "statistic": "s", "unit": "ratio", **key}
    ends = (None, None) if half is None else (value - half, value + half)
    return Measured(value=value, low=ends[0], high=ends[1], n=n, p_adjusted=None, parameters=parameters or {}, **given)


# what tells rows apart


def test_words_name_and_order_what_they_know_and_nothing_is_lost() -> None:
    condition = By(of="condition", words={"b": "second", "a": "first"})
    found = lines([row(1, condition=c) for c in ("new", None, "a", "b")], condition)
    assert [line.name for line in found] == ["second", "first", "new", ""]
    assert [line.color for line in found] == [0, 1, 2, 3]
    only = lines([row(1, condition="a")], condition)
    assert [(line.name, line.color) for line in only] == [("first", 1)], (
        "a colour is a condition's, whoever else is there"
    )


def test_numbers_stand_by_size_and_what_has_none_last() -> None:
    layers = lines([row(1, layer=i) for i in (10, None, -1, 2)], LAYER)
    assert [line.name for line in layers] == ["input", "2", "10", "all together"]
    widths = By(of="width")
    assert [line.name for line in lines([row(1, parameters={"width": w}) for w in (2048, 16)], widths)] == [
        "16",
        "2,048",
    ]


def test_the_first_colours_and_the_second_styles() -> None:
    rows = [row(1, stack=s, condition=c) for s in ("effective", "model") for c in ("raw", None, "adjusted")]
    found = lines(rows, STACK, By(of="condition", words={"adjusted": "adjusted", "raw": "raw"}))
    assert [line.name for line in found[:3]] == ["whole model, adjusted", "whole model, raw", "whole model"]
    assert [line.style for line in found[:3]] == ["solid", "dot", "solid"]
    assert {line.color for line in found[:3]} == {4} and {line.color for line in found[3:]} == {0}


# charts


def test_a_curve_has_the_rows_with_a_place_in_their_order() -> None:
    found = lines([row(0.3, layer=2), row(0.1, layer=-1), row(0.9)], By(of="stack"))
    chart = curve("t", found, y="share", span=(0, 1))
    assert chart is not None and chart.series[0].x == (-1.0, 2.0) and chart.series[0].y == (0.1, 0.3)
    assert chart.x.ticks == ((-1.0, "input"), (2.0, "2"))
    assert chart.series[0].hover[1] == ("layer 2", "0.30 [0.20, 0.40], n = 9")
    assert (chart.y.low, chart.y.percent) == (0, False) and chart.y.high is not None and 1 < chart.y.high < 1.1
    assert curve("t", lines([row(0.9)], STACK), y="share") is None


def test_axes_follow_from_what_the_card_says_of_a_number() -> None:
    percent = curve("", lines([row(0.5, layer=0, shown="percent")], STACK), y="accuracy")
    nats = curve("", lines([row(0.5, layer=0, unit="nats")], STACK), y="loss")
    assert percent is not None and percent.y.percent and percent.y.title == "accuracy"
    assert nats is not None and not nats.y.percent and nats.y.title == "loss (nats)"


def test_lines_stand_apart_where_they_are_told_to() -> None:
    two = lines([row(1, layer=0, condition=c) for c in "ab"], By(of="condition"))
    chart = curve("", two, y="y", apart=0.2)
    assert chart is not None and [s.x for s in chart.series] == [(-0.1,), (0.1,)]


def test_no_logarithm_is_taken_of_what_has_none() -> None:
    x = By(of="width", title="width")
    rows = [row(v, half=h, parameters={"width": w}) for v, h, w in ((0.0, 0.1, 1), (2.0, 3.0, 2), (8.0, 1.0, 4))]
    chart = curve("", lines(rows, STACK), y="facts", x=x, scale="log", y_log=True)
    assert chart is not None and chart.x.log and chart.y.log and chart.series[0].y == (2.0, 8.0)
    assert chart.series[0].low == (None, 7.0), "an interval that reaches below 0 is left out"
    even = curve("", lines(rows, STACK), y="facts", x=x, scale="even")
    assert even is not None and even.series[0].x == (0.0, 1.0, 2.0)


def test_bars_leave_gaps_and_the_ranked_are_the_largest_whatever_their_sign() -> None:
    rows = [row(1, cls="x", stack="model"), row(2, cls="y", stack="effective")]
    chart = bars("", lines(rows, STACK), By(of="cls"), value="v")
    assert chart is not None and chart.categories == ("x", "y")
    assert [s.y for s in chart.series] == [(1, None), (None, 2)]
    top = ranked("", [row(v, cls=str(v)) for v in (1, -5, 3)], By(of="cls"), value="v", most=2)
    assert top is not None and top.categories == ("-5", "3")


def test_a_matrix_is_mirrored_where_its_pairs_have_no_order() -> None:
    a, b = By(of="site"), By(of="source")
    rows = [row(0.5, site="p", source="q", condition="linked"), row(0.00001, half=None, site="p", source="r")]
    chart = matrix(
        "", rows, y=a, x=b, unit="u", label=lambda r: "l", mirrored=True, mark=lambda r: "*" * bool(r.condition)
    )
    assert chart is not None and chart.rows == chart.columns == ("p", "q", "r")
    assert chart.values == ((None, 0.5, 0.00001), (0.5, None, None), (0.00001, None, None))
    assert chart.printed[0][1] == "0.50*"
    straight = matrix("", rows, y=a, x=b, unit="u", label=lambda r: "l")
    assert straight is not None and straight.values == ((0.5, 0.00001),)


def test_a_figure_without_charts_is_none() -> None:
    assert figure("c", "a", None, None) is None


# tables


@pytest.mark.parametrize(
    ("ns", "caption", "titles", "first"),
    [
        ((9, 9, 9, 9), "c (n = 9)", ("layer", "a", "b"), ("0", "1.00 [0.90, 1.10]", "1.00 [0.90, 1.10]")),
        ((9, 9, 8, 8), "c", ("layer", "a", "b", "n"), ("0", "1.00 [0.90, 1.10]", "1.00 [0.90, 1.10]", "9")),
        ((9, 8, 9, 8), "c", ("layer", "a (n = 9)", "b (n = 8)"), ("0", "1.00 [0.90, 1.10]", "1.00 [0.90, 1.10]")),
        ((9, 8, 9, 7), "c", ("layer", "a (n = 9)", "b"), ("0", "1.00 [0.90, 1.10]", "1.00 [0.90, 1.10], n = 8")),
        ((9, 9, None, 9), "c", ("layer", "a", "b (n = 9)"), ("0", "1.00 [0.90, 1.10], n = 9", "1.00 [0.90, 1.10]")),
    ],
    ids=["all", "rows", "columns", "cells", "some have none"],
)
def test_an_n_is_said_once(
    ns: tuple[int | None, ...], caption: str, titles: tuple[str, ...], first: tuple[str, ...]
) -> None:
    places = [(layer, c) for layer in (0, 1) for c in "ab"]
    rows = [row(1, layer=layer, condition=c, n=n) for (layer, c), n in zip(places, ns, strict=True)]
    found = pivot("c", lines(rows, By(of="condition")), LAYER)
    assert found is not None
    assert (found.caption, tuple(c.title for c in found.columns), found.rows[0]) == (caption, titles, first)


def test_a_unit_that_a_whole_column_has_stands_in_its_title() -> None:
    rows = [row(1, statistic="loss", unit="nats"), row(0.5, statistic="accuracy", shown="percent")]
    found = pivot("c", lines(rows, By(of="statistic")), LAYER)
    assert found is not None and [c.title for c in found.columns] == ["layer", "loss (nats)", "accuracy"]
    assert found.rows == (("all together", "1.00 [0.90, 1.10]", "50.0 % [40.0, 60.0]"),)
    mixed = pivot("c", (Line(name="value", rows=tuple(rows)),), By(of="statistic"))
    assert mixed is not None and mixed.rows[0] == ("loss", "1.00 nats [0.90, 1.10]")


def test_the_most_are_the_largest_of_the_first_column_and_a_cell_may_say_its_own() -> None:
    rows = [row(v, layer=i) for i, v in enumerate((1, -7, 3))]
    own = Line(name="rank", rows=(row(1, layer=0),), cell=lambda r: "first")
    found = pivot("c", (*lines(rows, STACK), own), LAYER, most=2, what="layers")
    assert found is not None and found.caption == "c: the 2 largest of 3 layers (n = 9)"
    assert [(line[0], line[-1]) for line in found.rows] == [("1", "–"), ("2", "–")]
    listed = table("c", rows, LAYER, most=9, what="layers")
    assert listed is not None and listed.caption == "c: all 3 layers" and listed.rows[0][0] == "1"
    assert pivot("c", (), LAYER) is None and table("c", (), LAYER) is None
