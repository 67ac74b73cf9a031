"""A Document as one offline HTML page: the leaf where text is escaped, by jinja2, without exception.

Nothing is loaded: plotly.js and the page's own script are inlined and allowed by their hashes alone, so
even a string that found its way into the markup could not run. Figures travel as JSON data.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from rote.page.document import BarChart, Chart, Document, Figure, LineUp, Part, Series, StripChart, Table, XYChart
from rote.page.plot import GUIDE, LOOK, chart_height, color, plotted
from rote.page.strips import place_strip

_UNIT = re.compile(r"(?<=\d) (?=(?:%|pp|nats|SD)(?!\w))|(?<=\bn) (?== \d)|(?<=\bn =) (?=\d)")


def html_of(document: Document) -> str:
    """The whole page as one string."""
    # a page without charts needs no script at all, and is a twentieth of the size
    scripts = (get_plotlyjs(), _asset("report.js")) if _has_charts(document) else ()
    template = _environment().get_template("report.html.j2")
    return template.render(
        document=document,
        style=Markup(_asset("report.css") + _asset("lineup.css")),
        scripts=tuple(map(Markup, scripts)),
        policy=_policy(*scripts),
    )


def _has_charts(document: Document) -> bool:
    blocks = [block for section in (*document.front, *document.sections) for block in section.blocks]
    return any(
        isinstance(b, Figure) for block in blocks for b in (block.blocks if isinstance(block, Part) else (block,))
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_units_kept,
    )
    environment.filters |= {
        "plotly_json": _plotly_json,
        "plotted": plotted,
        "height": chart_height,
        "legend": _legend,
        "place_strip": place_strip,
    }
    environment.globals |= {"charts_with_legend": _charts_with_legend, "look": LOOK}
    environment.tests |= {
        "table": lambda block: isinstance(block, Table),
        "figure": lambda block: isinstance(block, Figure),
        "lineup": lambda block: isinstance(block, LineUp),
        "curves": lambda chart: isinstance(chart, XYChart),
        "part": lambda block: isinstance(block, Part),
    }
    return environment


def _units_kept(value: Any) -> Any:
    """A number and its unit stay on one line, and so does an n."""
    return _UNIT.sub("\u00a0", value) if type(value) is str else value


def _asset(name: str) -> str:
    return files("rote.page").joinpath("templates", name).read_text(encoding="utf-8")


def _policy(*scripts: str) -> str:
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'"
    # heatmaps are drawn as data: images; everything else is text in the page
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _plotly_json(part: Any) -> Markup:
    """JSON that cannot leave its script element: no <, > or & stands in it; ValueError for a number without end."""
    text = json.dumps(part.to_plotly_json(), allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _series(chart: Chart) -> tuple[Series, ...]:
    match chart:
        case XYChart() | BarChart():
            return chart.series
        case StripChart():
            return chart.points
        case _:
            return ()


def _legend(chart: Chart) -> list[dict[str, Any]]:
    """Name, colour and line style of every series and guide, once each; empty where there is only one."""
    shape = "line" if isinstance(chart, XYChart) else "patch"
    entries = {
        s.name: {
            "name": s.name,
            "color": color(s.color),
            "style": s.style,
            "shape": shape if s.joined else "point",
        }
        for s in _series(chart)
        if s.name
    }
    if isinstance(chart, XYChart):
        for guide in chart.guides:
            entries[guide.label] = {"name": guide.label, "color": GUIDE, "style": "dash", "shape": "guide"}
    return list(entries.values()) if len(entries) > 1 else []


def _charts_with_legend(figure: Figure) -> tuple[list[dict[str, Any]], bool]:
    """The legend that all charts of a figure share, and whether they do."""
    legends = [_legend(chart) for chart in figure.charts]
    shared = len(legends) > 1 and bool(legends[0]) and all(legend == legends[0] for legend in legends)
    return (legends[0] if shared else [], shared)
