"""The chart grammar: lines into curves, bars, matrices and tables.

A section says `By` what its rows are told apart; percent axes and units follow from the rows, whose card says how they
are shown. A value without a word goes by its own name, so that a new condition is never lost. Where there are no rows
there is no block (None), and a section need not ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from rote.page.document import Axis, BarChart, Chart, Column, Figure, Guide, Heatmap, Paragraph, Series, Table, XYChart
from rote.page.here import Here
from rote.page.lines import LAYER, By, Line
from rote.page.view import Measured

Scale: TypeAlias = Literal["plain", "even", "log"]

_VALUE = (("value", "number"), ("95 % interval", "interval"), ("n", "count"))
_MANY = 8  # columns up to which a matrix prints its values


def curve(
    title: str,
    found: Sequence[Line],
    *,
    y: str,
    x: By = LAYER,
    scale: Scale = "plain",
    y_log: bool = False,
    span: tuple[float, float] | None = None,
    joined: bool = True,
    band: bool = False,
    apart: float = 0.0,
    guides: Iterable[Guide] = (),
    shaded: tuple[float, float, str] | None = None,
) -> XYChart | None:
    """The lines over `x`, a number, without rows that have none.

    Args:
        scale: of x; "even" puts its values side by side, whatever their distance.
        y_log: values of which there is no logarithm are left out.
        span: what the y axis shows at least.
        band: intervals of solid lines as bands.
        apart: how far the lines stand from each other, so that equal values do not hide each other.
    """
    kept = [
        replace(line, rows=tuple(r for r in line.rows if x.value(r) is not None and (r.value > 0 or not y_log)))
        for line in found
    ]
    rows = [row for line in kept for row in line.rows]
    if not rows:
        return None
    places = {value: i if scale == "even" else value for value, i in x.places(rows).items() if value is not None}
    drawn = []
    for i, line in enumerate(kept):
        own = sorted(line.rows, key=lambda r: places[x.value(r)])
        if y_log:
            own = [replace(r, low=None, high=None) if r.low is not None and r.low <= 0 else r for r in own]
        at = tuple(float(places[x.value(r)] + apart * (i - (len(kept) - 1) / 2)) for r in own)
        points = _series(line, own, lambda r: f"{x.title} {x.called(r)}")
        drawn.append(replace(points, x=at, joined=joined, band=band and line.style == "solid"))
    ends = [end for r in rows for end in _ends(r) if end > 0]
    return XYChart(
        title=title,
        x=log_axis(x.title, list(places)) if scale == "log" else _x_axis(x, places),
        y=log_axis(y, ends) if y_log else value_axis(y, rows, span),
        series=tuple(points for points in drawn if points.x),
        guides=tuple(guides),
        shaded=shaded,
    )


def bars(
    title: str,
    found: Sequence[Line],
    by: By,
    *,
    value: str,
    span: tuple[float, float] | None = None,
    stacked: bool = False,
    whiskers: bool = True,
    guides: Iterable[Guide] = (),
) -> BarChart | None:
    """A bar of every line for each value of `by`, its first on top; stacked bars of one value stand end to end."""
    rows = [row for line in found for row in line.rows]
    if not rows:
        return None
    present = {by.value(r) for r in rows}
    categories = [value for value in by.places(rows) if value in present]
    drawn = []
    for line in found:
        own = {by.value(r): r for r in line.rows}
        made = _series(line, [own.get(category) for category in categories], by.called)
        drawn.append(made if whiskers else replace(made, low=(), high=()))
    return BarChart(
        title=title,
        categories=tuple(map(by.word, categories)),
        value=value_axis(value, rows, span),
        series=tuple(drawn),
        stacked=stacked,
        guides=tuple(guides),
    )


def ranked(title: str, rows: Sequence[Measured], by: By, *, value: str, most: int) -> BarChart | None:
    """One bar for each of the largest."""
    return bars(title, (Line(name=value, rows=largest(rows, most)),), by, value=value)


def matrix(
    title: str,
    rows: Sequence[Measured],
    *,
    y: By,
    x: By,
    unit: str,
    label: Callable[[Measured], str],
    limit: float | None = None,
    mirrored: bool = False,
    mark: Callable[[Measured], str] = lambda row: "",
) -> Heatmap | None:
    """Every row as a cell, hovered by its label; mirrored ones stand on both sides. `mark` follows a printed value."""
    cells = {(y.value(r), x.value(r)): r for r in rows} | (
        {(x.value(r), y.value(r)): r for r in rows} if mirrored else {}
    )
    if not cells:
        return None
    down, across = y.places(rows), x.places(rows)
    if mirrored:
        down = across = {value: i for i, value in enumerate(dict.fromkeys((*y.words, *down, *across)))}
    downs = sorted({place for place, _ in cells}, key=down.__getitem__)
    acrosses = sorted({place for _, place in cells}, key=across.__getitem__)
    grid = [[cells.get((a, b)) for b in acrosses] for a in downs]
    printed = tuple(tuple("" if r is None else _bare(r) + mark(r) for r in line) for line in grid)
    return Heatmap(
        title=title,
        x=Axis(title=x.title),
        y=Axis(title=y.title),
        columns=tuple(map(x.word, acrosses)),
        rows=tuple(map(y.word, downs)),
        values=tuple(tuple(None if r is None else r.value for r in line) for line in grid),
        hover=tuple(tuple(() if r is None else (label(r), r.full) for r in line) for line in grid),
        unit=unit,
        limit=limit,
        printed=printed if len(acrosses) <= _MANY else (),
    )


def _bare(row: Measured) -> str:
    """The number without its unit; what is 0 in all its digits as such."""
    text = row.number.removesuffix(row.form.suffix)
    return text if any(c in "123456789" for c in text) else "0"


def figure(caption: str, alt: str, *charts: Chart | None) -> Figure | None:
    drawn = tuple(chart for chart in charts if chart is not None)
    return Figure(caption=caption, alt=alt, charts=drawn) if drawn else None


def pivot(caption: str, found: Sequence[Line], *by: By, most: int | None = None, what: str = "") -> Table | None:
    """A row for each value of `by`, a column for each line, every cell with its interval.

    An n that all share stands in the caption; else that of each row in a column, or that of each column in its title.
    With `most`, only so many rows, of the largest first: by the first column.
    """
    found = [line for line in found if line.rows]
    cells = [{tuple(b.value(r) for b in by): r for r in line.rows} for line in found]
    rows = [row for column in cells for row in column.values()]
    if not rows:
        return None
    places = [b.places(rows) for b in by]
    keys = sorted(dict.fromkeys(key for column in cells for key in column), key=lambda key: _at(places, key))
    if most is not None:
        caption += f": {shown_of(min(most, len(keys)), len(keys), what)}"
        keys = sorted(keys, key=lambda key: -abs(cells[0][key].value) if key in cells[0] else 0.0)[:most]
    grid = [[column.get(key) for column in cells] for key in keys]
    counted = [[row if line.cell is None else None for line, row in zip(found, cells, strict=True)] for cells in grid]
    counts = [_counts(cells) for cells in counted]
    every = set().union(*counts)
    in_rows = len(every) > 1 and all(len(ns) == 1 for ns in counts)
    columns = [
        _column(line, of, told=len(every) == 1 or in_rows)
        for line, of in zip(found, zip(*grid, strict=True), strict=True)
    ]
    if in_rows:
        columns.append((Column(title="n", numeric=True), [_of(ns) for ns in counts]))
    return Table(
        caption=caption + (f" (n = {_of(every)})" if len(every) == 1 and _of(every) else ""),
        columns=(*(Column(title=b.title) for b in by), *(column for column, _ in columns)),
        rows=tuple(
            (*(b.word(value) for b, value in zip(by, key, strict=True)), *(text[i] for _, text in columns))
            for i, key in enumerate(keys)
        ),
    )


def _column(line: Line, rows: Sequence[Measured | None], *, told: bool) -> tuple[Column, list[str]]:
    """Its title, with the unit that all its values have, and its cells; n in either, unless told elsewhere."""
    units, counts = {r.form.suffix for r in rows if r is not None}, _counts(rows)
    unit = next(iter(units)) if len(units) == 1 and line.cell is None and not units & {"", " %"} else ""
    shared = _of(counts) if len(counts) == 1 and line.cell is None and not told else ""

    def cell(row: Measured) -> str:
        if line.cell is not None:
            return line.cell(row)
        counted = "" if told or shared or row.n is None else f", n = {row.count}"
        return f"{row.number.removesuffix(unit)} {row.interval}".strip() + counted

    of = ", ".join(filter(None, (unit.strip(), f"n = {shared}" if shared else "")))
    title = f"{line.name} ({of})" if of else line.name
    return Column(title=title, numeric=True), ["–" if row is None else cell(row) for row in rows]


def _at(places: Sequence[Mapping[Any, int]], key: Sequence[Any]) -> list[int]:
    return [place[value] for place, value in zip(places, key, strict=True)]


def _counts(rows: Iterable[Measured | None]) -> set[int | None]:
    return {row.n for row in rows if row is not None}


def table(caption: str, rows: Sequence[Measured], *by: By, most: int | None = None, what: str = "") -> Table | None:
    """A line for each row: what it is of, its value, interval and n. With `most`, only so many, the largest first."""
    if not rows:
        return None
    shown = rows if most is None else largest(rows, most)
    cells = [(title, name) for title, name in _VALUE if any(getattr(row, name) for row in shown)]
    return Table(
        caption=caption if most is None else f"{caption}: {shown_of(len(shown), len(rows), what)}",
        columns=(*(Column(title=b.title) for b in by), *(Column(title=title, numeric=True) for title, _ in cells)),
        rows=tuple((*(b.called(row) for b in by), *(getattr(row, name) for _, name in cells)) for row in shown),
    )


def first_order(here: Here, *by: By) -> Table | None:
    """First-order effects against exact ones; nothing where there are none."""
    chosen = By(of="condition", words={"random": "at random", "top": "largest effects"}, title="chosen")
    return table(
        "Correlation of gradient × change with exact effects", here.rows("first_order_correlation"), *by, chosen
    )


def finding(text: str) -> Paragraph | None:
    return Paragraph(text=text, role="finding") if text else None


def _series(line: Line, rows: Sequence[Measured | None], place: Callable[[Measured], str]) -> Series:
    """Points with intervals; hovering shows the line, the place, and the value with interval and n."""
    return Series(
        name=line.name,
        y=tuple(None if r is None else r.value for r in rows),
        low=tuple(None if r is None else r.low for r in rows),
        high=tuple(None if r is None else r.high for r in rows),
        hover=tuple(() if r is None else tuple(part for part in (line.name, place(r), r.full) if part) for r in rows),
        color=line.color,
        style=line.style,
    )


def _x_axis(by: By, places: Mapping[Any, float]) -> Axis:
    """Ticks at the values, at most about sixteen."""
    first, step = min(places.values()), -(-len(places) // 16)
    ticks = tuple((float(at), by.word(v)) for v, at in places.items() if step == 1 or at == first or at % step == 0)
    return Axis(title=by.title, ticks=ticks, low=first - 0.4, high=max(places.values()) + 0.4)


def _ends(row: Measured) -> tuple[float, ...]:
    return tuple(end for end in (row.value, row.low, row.high) if end is not None)


def _of(counts: set[int | None]) -> str:
    """The n that all share; nothing where that is none."""
    (count,) = counts
    return "" if count is None else f"{count:,}"


def value_axis(title: str, rows: Sequence[Measured], span: tuple[float, float] | None = None) -> Axis:
    """Percent where the card says so, else with the unit; at least `span`."""
    first = rows[0]
    if first.shown == "percent":
        return Axis(title=title, low=-0.02, high=1.04, percent=True)
    ends = [end for row in rows for end in _ends(row)]
    low, high = (None, None) if span is None else (min(span[0], *ends), max(span[1], *ends))
    if low is not None and high is not None:
        high += 0.02 * (high - low)  # so that points at the end are whole
    named = first.unit in ("nats", "logit", "SD", "bits")
    return Axis(
        title=f"{title} ({first.unit})" if named else title, low=low, high=high, percent=first.shown == "points"
    )


def log_axis(title: str, values: Sequence[float]) -> Axis:
    """Ticks at powers of two, with room on either side."""
    ticks = [2.0**i for i in range(-20, 41) if min(values) / 2 < 2.0**i < 2 * max(values)]
    step = -(-len(ticks) // 8)
    named = tuple((tick, f"{tick:,.0f}" if tick >= 1 else f"{tick:g}") for tick in ticks[::step])
    return Axis(title=title, ticks=named, low=min(values) / 1.3, high=max(values) * 1.3, log=True)


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def largest(rows: Iterable[Measured], count: int) -> tuple[Measured, ...]:
    """By size of the effect, whatever its sign."""
    return tuple(sorted(rows, key=lambda r: -abs(r.value))[:count])


def shown_of(shown: int, total: int, what: str) -> str:
    return f"the {shown} largest of {total:,} {what}" if shown < total else f"all {total} {what}"
