"""Charts as plotly's data and layout: the one place where plotly's small markup is written and escaped."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rote.page.document import Axis, BarChart, Chart, Guide, Heatmap, Plane, Series, StripChart, XYChart

PALETTE = ("#1f5fa8", "#c2571a", "#2a7f62", "#7a4ea3", "#6b7280", "#b5386b", "#8a6a0c", "#0f7c8c")
GUIDE = "#6b7280"
_DASH = {"solid": "solid", "dot": "dot", "dash": "dash"}
_SYMBOL = {"solid": "circle", "dot": "circle-open", "dash": "diamond-open"}
_INK, _FAINT, _RULE = "#1f2937", "#4b5563", "#e5e7eb"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_DIVERGING = [[0, "#1f5fa8"], [0.25, "#8fb4dc"], [0.5, "#f8f8f6"], [0.75, "#eab08a"], [1, "#b84a0e"]]
_SEQUENTIAL = [[0, "#f8f8f6"], [0.5, "#8fb4dc"], [1, "#174a86"]]
_SHADES = [[0, "#f4c95d"], [0.35, "#f9e8bd"], [0.65, "#b9cfe8"], [1, "#1f5fa8"]]
# the golden ratio spreads successive points evenly without a random generator
_GOLDEN = 0.6180339887498949


def chart_height(chart: Chart) -> int:
    """Pixels: rows of bars, cells and strips keep their size, curves have one height."""
    match chart:
        case BarChart():
            per_row = 22 if chart.stacked or len(chart.series) == 1 else 12 * len(chart.series) + 8
            return 84 + max(per_row, 26) * len(chart.categories)
        case Heatmap():
            return 96 + min(max(34 * len(chart.rows) if chart.printed else 22 * len(chart.rows), 120), 620)
        case StripChart():
            return 84 + 74 * len(chart.categories)
        case XYChart():
            return 320
        case Plane():
            return 250


def plot_json(chart: Chart) -> dict[str, Any]:
    """{"data": traces, "layout": layout} for Plotly.newPlot."""
    match chart:
        case XYChart():
            return _xy(chart)
        case BarChart():
            return _bars(chart)
        case Heatmap():
            return _heatmap(chart)
        case StripChart():
            return _strips(chart)
        case Plane():
            return _plane(chart)


def color(index: int) -> str:
    return PALETTE[index % len(PALETTE)]


def _escape(text: str) -> str:
    return html.escape(text, quote=False)


def _lines(lines: Iterable[str]) -> str:
    return "<br>".join(_escape(line) for line in lines)


def _wrapped(label: str, width: int = 20) -> str:
    return _lines(textwrap.wrap(label, width, max_lines=3, placeholder=" …") or [""])


def _axis(axis: Axis) -> dict[str, Any]:
    found: dict[str, Any] = {
        "title": {"text": _escape(axis.title), "standoff": 8, "font": {"size": 13, "color": _FAINT}},
        "automargin": True,
        "gridcolor": _RULE,
        "linecolor": "#9ca3af",
        "zeroline": False,
        "ticks": "",
        "fixedrange": True,
    }
    if axis.ticks:
        found |= {
            "tickmode": "array",
            "tickvals": [place for place, _ in axis.ticks],
            "ticktext": [_wrapped(label) for _, label in axis.ticks],
        }
    if axis.log:
        found["type"] = "log"
    if axis.low is not None and axis.high is not None:
        found["range"] = [math.log10(end) if axis.log else end for end in (axis.low, axis.high)]
    if axis.percent:
        found["tickformat"] = ".0%"
    return found


def _layout(chart: Chart, x: dict[str, Any], y: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "font": {"family": _FONT, "size": 13, "color": _INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "margin": {"l": 8, "r": 12, "t": 14, "b": 8},
        "height": chart_height(chart),
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": False,
        "hoverlabel": {
            "bgcolor": "#ffffff",
            "bordercolor": "#9ca3af",
            "font": {"family": _FONT, "size": 13, "color": _INK},
            "align": "left",
        },
        "xaxis": x,
        "yaxis": y,
        **more,
    }


def _errors(series: Series) -> dict[str, Any] | None:
    if series.band or not any(v is not None for v in series.low):
        return None
    pairs = list(zip(series.y, series.low, series.high, strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": [h - y if y is not None and h is not None else 0 for y, _, h in pairs],
        "arrayminus": [y - lo if y is not None and lo is not None else 0 for y, lo, _ in pairs],
        "thickness": 1.2,
        "width": 3,
    }


def _hovering(series: Series) -> dict[str, Any]:
    # the text travels as data, so no name can be read as a part of the template
    return {"customdata": [_lines(h) for h in series.hover], "hovertemplate": "%{customdata}<extra></extra>"}


def _xy(chart: XYChart) -> dict[str, Any]:
    traces: list[dict[str, Any]] = [_band(s) for s in chart.series if s.band and any(v is not None for v in s.low)]
    for series in chart.series:
        trace = {
            "type": "scatter",
            "mode": "lines+markers" if series.joined else "markers",
            "x": list(series.x),
            "y": list(series.y),
            "line": {"color": color(series.color), "dash": _DASH[series.style], "width": 2},
            "marker": {"color": color(series.color), "size": 7, "symbol": _SYMBOL[series.style]},
            **_hovering(series),
        }
        errors = _errors(series)
        traces.append(trace | ({"error_y": errors | {"color": color(series.color)}} if errors else {}))
    shapes, notes = _guides(chart.guides, across="x")
    if chart.shaded:
        start, stop, label = chart.shaded
        shapes.insert(
            0,
            {
                "type": "rect",
                "xref": "x",
                "yref": "paper",
                "x0": start,
                "x1": stop,
                "y0": 0,
                "y1": 1,
                "fillcolor": "#f3ead9",
                "line": {"width": 0},
                "layer": "below",
            },
        )
        notes.append(_note(label, x=(start + stop) / 2, y=1.0, xref="x", yref="paper", yanchor="bottom"))
    layout = _layout(chart, _axis(chart.x), _axis(chart.y), shapes=shapes, annotations=notes)
    if notes:
        layout["margin"] |= {"t": 26}
    return {"data": traces, "layout": layout}


def _band(series: Series) -> dict[str, Any]:
    edges = [
        (x, lo, hi)
        for x, lo, hi in zip(series.x, series.low, series.high, strict=True)
        if lo is not None and hi is not None
    ]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _, _ in edges] + [x for x, _, _ in reversed(edges)],
        "y": [hi for _, _, hi in edges] + [lo for _, lo, _ in reversed(edges)],
        "fill": "toself",
        "fillcolor": _translucent(color(series.color)),
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _translucent(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.14)"


def _note(text: str, **place: Any) -> dict[str, Any]:
    return {"text": _escape(text), "showarrow": False, "font": {"size": 12, "color": _FAINT}, **place}


def _guides(guides: tuple[Guide, ...], *, across: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Dashed lines across the chart: `across="x"` draws them horizontally at y, "y" vertically at x."""
    shapes, notes = [], []
    for guide in guides:
        line = {"color": GUIDE, "width": 1.4, "dash": "dash"}
        if across == "x":
            ends = {"xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": guide.value, "y1": guide.value}
            place = {}  # named in the legend: a label on the line would lie on the points
        else:
            ends = {"xref": "x", "yref": "paper", "x0": guide.value, "x1": guide.value, "y0": 0, "y1": 1}
            place = {"yref": "paper", "x": guide.value, "y": 1, "xanchor": "center", "yanchor": "bottom"}
        shapes.append({"type": "line", "line": line, "layer": "below", **ends})
        if across == "y":
            notes.append(_note(guide.label, **place))
    return shapes, notes


def _bars(chart: BarChart) -> dict[str, Any]:
    places = list(range(len(chart.categories)))
    traces = []
    for series in chart.series:
        errors = _errors(series)
        trace = {
            "type": "bar",
            "orientation": "h",
            "y": places,
            "x": list(series.y),
            "marker": {"color": color(series.color), "line": {"color": "#ffffff", "width": 0.5}},
            **_hovering(series),
        }
        traces.append(trace | ({"error_x": errors | {"color": _INK}} if errors else {}))
    shapes, notes = _guides(chart.guides, across="y")
    rows = _axis(Axis(title="", ticks=tuple(zip(places, chart.categories, strict=True))))
    rows |= {"autorange": "reversed", "showgrid": False, "tickfont": {"size": 12}}
    layout = _layout(
        chart,
        _axis(chart.value) | {"zeroline": True, "zerolinecolor": "#9ca3af"},
        rows,
        barmode="stack" if chart.stacked else "group",
        bargap=0.28,
        shapes=shapes,
        annotations=notes,
    )
    if notes:
        layout["margin"] |= {"t": 26}
    return {"data": traces, "layout": layout}


def _heatmap(chart: Heatmap) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "type": "heatmap",
        "z": [list(row) for row in chart.values],
        "customdata": [[_lines(cell) for cell in row] for row in chart.hover],
        "hovertemplate": "%{customdata}<extra></extra>",
        "hoverongaps": False,
        "xgap": 1,
        "ygap": 1,
        "colorscale": _DIVERGING if chart.diverging else _SEQUENTIAL,
        "colorbar": {
            "title": {"text": _escape(chart.unit), "side": "right", "font": {"size": 13}},
            "thickness": 12,
            "outlinewidth": 0,
        },
    }
    if chart.diverging and chart.limit:
        trace |= {"zmin": -chart.limit, "zmax": chart.limit}
    elif chart.diverging:
        trace["zmid"] = 0
    else:
        trace["zmin"] = 0
    if chart.printed:
        trace |= {
            "text": [[_escape(t) for t in row] for row in chart.printed],
            "texttemplate": "%{text}",
            "textfont": {"size": 12},
            "showscale": False,
        }
    x = _axis(_ticked(chart.x, chart.columns)) | {"showgrid": False, "side": "bottom"}
    y = _axis(_ticked(chart.y, chart.rows)) | {"showgrid": False, "autorange": "reversed"}
    return {"data": [trace], "layout": _layout(chart, x, y)}


def _ticked(axis: Axis, labels: tuple[str, ...]) -> Axis:
    """Every label where there is room, else evenly spaced ones and the last."""
    step = -(-len(labels) // 12)
    shown = [i for i in range(len(labels)) if i % step == 0 and len(labels) - 1 - i >= step] + [len(labels) - 1]
    return Axis(title=axis.title, ticks=tuple((i, labels[i]) for i in shown))


def _strips(chart: StripChart) -> dict[str, Any]:
    traces = []
    for series in chart.points:
        spread = [y + 0.62 * ((i * _GOLDEN) % 1 - 0.5) for i, y in enumerate(series.y) if y is not None]
        marker = {"color": color(series.color), "size": 5, "opacity": 0.55, "symbol": _SYMBOL[series.style]}
        trace = {"type": "scatter", "mode": "markers", "x": list(series.x), "y": spread, "marker": marker}
        errors = _errors(replace(series, y=series.x))  # the intervals lie along the value, which is x here
        if errors:
            marker |= {"size": 7, "opacity": 1}
            trace["error_x"] = errors | {"color": color(series.color)}
        traces.append(trace | _hovering(series))
    places = enumerate(chart.categories)
    y = _axis(Axis(title="", ticks=tuple((float(i), label) for i, label in places)))
    y |= {"range": [len(chart.categories) - 0.5, -0.5], "showgrid": False}
    shapes, notes = _guides(chart.guides, across="y")
    layout = _layout(chart, _axis(chart.x), y, shapes=shapes, annotations=notes)
    layout["margin"] |= {"t": 26}
    return {"data": traces, "layout": layout}


def _plane(chart: Plane) -> dict[str, Any]:
    """The map in two shades, its border where it crosses one half, the points on top."""
    side = len(chart.values)
    line = [(i + 0.5) / side * 2 - 1 for i in range(side)]
    base = {"x": line, "y": line, "z": [list(row) for row in chart.values], "showscale": False, "hoverinfo": "skip"}
    shades = base | {"type": "heatmap", "zmin": 0, "zmax": 1, "colorscale": _SHADES}
    border = base | {
        "type": "contour",
        "contours": {"start": 0.5, "end": 0.5, "size": 1, "coloring": "none"},
        "line": {"color": _FAINT, "width": 1},
    }
    traces = [shades, border]
    for colour, fill in ((0, _SHADES[0][1]), (1, _SHADES[-1][1])):
        points = [(x, y) for x, y, c in chart.points if c == colour]
        marker = {"color": fill, "size": 6, "line": {"color": _INK, "width": 1}}
        places = {"x": [x for x, _ in points], "y": [y for _, y in points]}
        traces.append({"type": "scatter", "mode": "markers", "hoverinfo": "skip", "marker": marker, **places})
    bare = {"range": [-1, 1], "visible": False, "fixedrange": True}
    layout = _layout(chart, bare | {"constrain": "domain"}, bare | {"scaleanchor": "x", "constrain": "domain"})
    layout["margin"] = {"l": 2, "r": 2, "t": 2, "b": 2}
    return {"data": traces, "layout": layout}
