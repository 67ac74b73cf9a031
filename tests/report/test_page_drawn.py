"""What is drawn: the circuit as words and bars of the page itself, charts as plotly's figures."""

from __future__ import annotations

import math
import re

import plotly.graph_objects as go
import plotly.io
import pytest
from synthetic_run import HOSTILE_WORLD

from rote.page.document import Axis, Diagram, Document, Figure, Gauge, Lead, Section, Series, Stage, XYChart
from rote.page.html import html_of

BAR = re.compile(r'<p class="gauge"><span>([^<]*)</span><span class="bar" style="background-size: ([\d.]+)% 100%">')


def page(*, charts: tuple[XYChart, ...] = (), stages: tuple[Stage, ...] = ()) -> str:
    lead = Lead(headline="h", sentences=(), diagram=Diagram(title="t", alt="from top to bottom", stages=stages))
    figure = Figure(caption="c", alt="a", charts=charts)
    section = Section(name="s", title="S", blocks=(figure,) if charts else ())
    return html_of(Document(title="d", subtitle="", leads=(lead,), sections=(section,), footer=""))


def chart(*values: float) -> XYChart:
    hover = tuple(("point",) for _ in values)
    series = Series(name="n", x=tuple(map(float, range(len(values)))), y=values, hover=hover)
    return XYChart(title="", x=Axis(title="x"), y=Axis(title="y"), series=(series,))


def test_bars_are_as_long_as_their_shares_and_never_longer_than_their_frames() -> None:
    shares = {"whole": 1.0, "part": 0.4275, "none": 0.0, "below": -0.2, "above": 1.3}
    gauges = tuple(Gauge(label=name, fraction=share, text="") for name, share in shares.items())
    drawn = dict(BAR.findall(page(stages=(Stage(kind="lookup", title="Look up", gauges=gauges),))))
    assert {name: float(width) for name, width in drawn.items()} == {
        "whole": 100, "part": 42.75, "none": 0, "below": 0, "above": 100,
    }  # fmt: skip


def test_the_drawing_has_a_name_and_an_arrow_into_every_box_but_the_first() -> None:
    drawn = page(stages=tuple(Stage(kind="tokens", title=title, arrow=f"to {title}") for title in "abc"))
    assert '<ol class="drawing" role="list" aria-label="from top to bottom">' in drawn
    assert re.findall(r'class="(?:arrow|box-title)">([^<]*)<', drawn) == ["a", "to b", "b", "to c", "c"]


def test_long_and_hostile_names_stand_in_the_drawing_in_full(pages: dict[str, str]) -> None:
    chips = re.findall(r"<li>([^<]*)</li>", pages["hostile"].split('class="drawing"')[1].split("</ol>")[0])
    for name in HOSTILE_WORLD.classes:
        assert name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in {
            chip.replace("&#34;", '"').replace("&#39;", "'") for chip in chips
        }


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_number_that_json_cannot_hold_is_refused(value: float) -> None:
    assert '"y":[0.0,1.0]' in page(charts=(chart(0.0, 1.0),))
    with pytest.raises(ValueError, match="JSON"):
        page(charts=(chart(0.0, value),))


def test_a_look_chosen_for_the_readers_own_figures_does_not_reach_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    before, own = page(charts=(chart(0.0, 1.0),)), go.Figure().to_json()
    monkeypatch.setattr(plotly.io.templates, "default", "plotly_dark")
    assert go.Figure().to_json() != own
    assert page(charts=(chart(0.0, 1.0),)) == before
    assert before.count('class="plot-look"') == 1
