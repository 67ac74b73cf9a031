"""Charts as plotly's figures: the one place where plotly's small markup is written and escaped."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable
from typing import Any

import plotly.graph_objects as go

from rote.page.document import Axis, BarChart, Chart, Guide, Heatmap, Plane, Series, StripChart, XYChart

PALETTE = ("#1f5fa8", "#c2571a", "#2a7f62", "#7a4ea3", "#6b7280", "#b5386b", "#8a6a0c", "#0f7c8c")
GUIDE = "#6b7280"
_SYMBOL = {"solid": "circle", "dot": "circle-open", "dash": "diamond-open"}
_INK, _FAINT, _RULE, _EDGE = "#1f2937", "#4b5563", "#e5e7eb", "#9ca3af"
_FONT = {
    "family": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
    "size": 13,
    "color": _INK,
}
_DIVERGING = ("#1f5fa8", "#8fb4dc", "#f8f8f6", "#eab08a", "#b84a0e")
_SEQUENTIAL = ("#f8f8f6", "#8fb4dc", "#174a86")
_SHADES = ((0, "#f4c95d"), (0.35, "#f9e8bd"), (0.65, "#b9cfe8"), (1, "#1f5fa8"))
# the golden ratio spreads successive points evenly without a random generator
_GOLDEN = 0.6180339887498949
_NOTE_ROOM = 26

_AXIS = {
    "title": {"standoff": 8, "font": {"size": 13, "color": _FAINT}},
    "automargin": True,
    "gridcolor": _RULE,
    "showline": True,
    "linecolor": _EDGE,
    "zeroline": False,
    "zerolinecolor": _EDGE,
    "ticks": "",
    "fixedrange": True,
}
_WHISKER = {"thickness": 1.2, "width": 3}
# what every chart has in common: it stands once in the page, a chart itself says only what differs
LOOK = go.layout.Template(
    layout={
        "font": _FONT,
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "margin": {"l": 8, "r": 12, "t": 14, "b": 8},
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": False,
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": _EDGE, "font": _FONT, "align": "left"},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "bargap": 0.28,
        "shapedefaults": {"layer": "below", "line": {"color": GUIDE, "width": 1.4, "dash": "dash"}},
        "annotationdefaults": {"showarrow": False, "font": {"size": 12, "color": _FAINT}},
    },
    data={
        "scatter": [{"marker": {"size": 7}, "error_x": _WHISKER, "error_y": _WHISKER}],
        "bar": [{"marker": {"line": {"color": "#ffffff", "width": 0.5}}, "error_x": _WHISKER | {"color": _INK}}],
        "heatmap": [{"xgap": 1, "ygap": 1, "hoverongaps": False, "colorbar": {"thickness": 12, "outlinewidth": 0}}],
    },
)


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


def plotted(chart: Chart) -> go.Figure:
    """The chart as a figure of plotly's, to be shown with `LOOK`; ValueError for what plotly does not know."""
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


def _figure(chart: Chart, traces: list[Any], x: dict[str, Any], y: dict[str, Any], **more: Any) -> go.Figure:
    return go.Figure(traces, {"template": {}, "height": chart_height(chart), "xaxis": x, "yaxis": y, **more})


def _axis(axis: Axis, **more: Any) -> dict[str, Any]:
    """What is None stays as the template has it."""
    fixed = None if axis.low is None or axis.high is None else (axis.low, axis.high)
    return {
        "title": {"text": _escape(axis.title)},
        "tickvals": [place for place, _ in axis.ticks] or None,
        "ticktext": [_wrapped(label) for _, label in axis.ticks] or None,
        "type": "log" if axis.log else None,
        "range": [math.log10(end) for end in fixed] if fixed and axis.log else fixed,
        "tickformat": ".0%" if axis.percent else None,
        **more,
    }


def _rows(categories: tuple[str, ...], **more: Any) -> dict[str, Any]:
    """An axis of names, the first on top."""
    return _axis(Axis(title="", ticks=tuple(enumerate(categories))), showgrid=False, **more)


def _intervals(series: Series, values: tuple[float | None, ...]) -> dict[str, Any] | None:
    """Whiskers around the values: how far the ends of the intervals are away, 0 where one is missing."""
    if series.band or all(low is None for low in series.low):
        return None
    ends = list(zip(values, series.low, series.high, strict=True))
    return {
        "array": [high - v if v is not None and high is not None else 0 for v, _, high in ends],
        "arrayminus": [v - low if v is not None and low is not None else 0 for v, low, _ in ends],
    }


def _hovering(series: Series) -> dict[str, Any]:
    # the text travels as data, so no name can be read as a part of the template
    return {"customdata": [_lines(h) for h in series.hover], "hovertemplate": "%{customdata}<extra></extra>"}


def _xy(chart: XYChart) -> go.Figure:
    traces = [_band(s) for s in chart.series if s.band and any(v is not None for v in s.low)]
    for series in chart.series:
        traces.append(
            go.Scatter(
                mode="lines+markers" if series.joined else "markers",
                x=series.x,
                y=series.y,
                line={"color": color(series.color), "dash": series.style},
                marker={"color": color(series.color), "symbol": _SYMBOL[series.style]},
                error_y=_intervals(series, series.y),
                **_hovering(series),
            )
        )
    room = {"t": _NOTE_ROOM} if chart.shaded else None
    figure = _figure(chart, traces, _axis(chart.x), _axis(chart.y), margin=room)
    if chart.shaded:
        start, stop, label = chart.shaded
        words = {"annotation_text": _escape(label), "annotation_position": "outside top"}
        figure.add_vrect(start, stop, fillcolor="#f3ead9", line_width=0, **words)
    for guide in chart.guides:
        figure.add_hline(guide.value)  # named in the legend: a label on the line would lie on the points
    return figure


def _band(series: Series) -> go.Scatter:
    edges = [
        (x, lo, hi)
        for x, lo, hi in zip(series.x, series.low, series.high, strict=True)
        if lo is not None and hi is not None
    ]
    return go.Scatter(
        mode="lines",
        x=[x for x, _, _ in edges] + [x for x, _, _ in reversed(edges)],
        y=[hi for _, _, hi in edges] + [lo for _, lo, _ in reversed(edges)],
        fill="toself",
        fillcolor=color(series.color),
        opacity=0.14,
        line_width=0,
        hoverinfo="skip",
    )


def _upright(figure: go.Figure, guides: tuple[Guide, ...]) -> go.Figure:
    for guide in guides:
        figure.add_vline(guide.value, annotation_text=_escape(guide.label), annotation_position="top")
    return figure


def _bars(chart: BarChart) -> go.Figure:
    traces = [
        go.Bar(
            orientation="h",
            y=list(range(len(chart.categories))),
            x=series.y,
            marker_color=color(series.color),
            error_x=_intervals(series, series.y),
            **_hovering(series),
        )
        for series in chart.series
    ]
    value = _axis(chart.value, zeroline=True)
    rows = _rows(chart.categories, autorange="reversed", tickfont={"size": 12})
    room = {"t": _NOTE_ROOM} if chart.guides else None
    mode = "stack" if chart.stacked else "group"
    return _upright(_figure(chart, traces, value, rows, barmode=mode, margin=room), chart.guides)


def _heatmap(chart: Heatmap) -> go.Figure:
    both_ways = {"zmin": -chart.limit, "zmax": chart.limit} if chart.limit else {"zmid": 0}
    trace = go.Heatmap(
        z=chart.values,
        customdata=[[_lines(cell) for cell in row] for row in chart.hover],
        hovertemplate="%{customdata}<extra></extra>",
        colorscale=_DIVERGING if chart.diverging else _SEQUENTIAL,
        colorbar={"title": {"text": _escape(chart.unit), "side": "right", "font": {"size": 13}}},
        **(both_ways if chart.diverging else {"zmin": 0}),
    )
    if chart.printed:
        trace.update(
            text=[[_escape(cell) for cell in row] for row in chart.printed],
            texttemplate="%{text}",
            textfont_size=12,
            showscale=False,
        )
    x = _axis(_ticked(chart.x, chart.columns), showgrid=False, side="bottom")
    return _figure(chart, [trace], x, _axis(_ticked(chart.y, chart.rows), showgrid=False, autorange="reversed"))


def _ticked(axis: Axis, labels: tuple[str, ...]) -> Axis:
    """Every label where there is room, else evenly spaced ones and the last."""
    step = -(-len(labels) // 12)
    shown = [i for i in range(len(labels)) if i % step == 0 and len(labels) - 1 - i >= step] + [len(labels) - 1]
    return Axis(title=axis.title, ticks=tuple((i, labels[i]) for i in shown))


def _strips(chart: StripChart) -> go.Figure:
    traces = []
    for series in chart.points:
        whiskers = _intervals(series, series.x)  # the intervals lie along the value, which is x here
        size, opacity = (7, 1) if whiskers else (5, 0.55)
        traces.append(
            go.Scatter(
                mode="markers",
                x=series.x,
                y=[y + 0.62 * ((i * _GOLDEN) % 1 - 0.5) for i, y in enumerate(series.y) if y is not None],
                marker={
                    "color": color(series.color),
                    "size": size,
                    "opacity": opacity,
                    "symbol": _SYMBOL[series.style],
                },
                error_x=whiskers,
                **_hovering(series),
            )
        )
    rows = _rows(chart.categories, range=[len(chart.categories) - 0.5, -0.5])
    figure = _figure(chart, traces, _axis(chart.x), rows, margin={"t": _NOTE_ROOM})
    return _upright(figure, chart.guides)


def _plane(chart: Plane) -> go.Figure:
    """The map in two shades, its border where it crosses one half, the points on top."""
    side = len(chart.values)
    line = [(i + 0.5) / side * 2 - 1 for i in range(side)]
    base: dict[str, Any] = {"x": line, "y": line, "z": chart.values, "showscale": False, "hoverinfo": "skip"}
    shades = go.Heatmap(**base, zmin=0, zmax=1, xgap=0, ygap=0, colorscale=_SHADES)
    half = {"start": 0.5, "end": 0.5, "size": 1, "coloring": "none"}
    traces = [shades, go.Contour(**base, contours=half, line={"color": _FAINT, "width": 1})]
    for colour, fill in ((0, _SHADES[0][1]), (1, _SHADES[-1][1])):
        points = [(x, y) for x, y, c in chart.points if c == colour]
        marker = {"color": fill, "size": 6, "line": {"color": _INK, "width": 1}}
        x, y = [x for x, _ in points], [y for _, y in points]
        traces.append(go.Scatter(mode="markers", hoverinfo="skip", marker=marker, x=x, y=y))
    bare = {"range": [-1, 1], "visible": False, "constrain": "domain"}
    return _figure(chart, traces, bare, bare | {"scaleanchor": "x"}, margin={"l": 2, "r": 2, "t": 2, "b": 2})
