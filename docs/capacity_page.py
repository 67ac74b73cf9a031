"""`python docs/capacity_page.py RUN`: fill docs/organism_capacity.md from a run of `rote organism capacity`."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

from rote.page.document import Series, Table, XYChart
from rote.page.plot import PALETTE
from rote.page.view import View
from rote.pipeline.run import open_run
from rote.report.load import load_view
from rote.toys.organism_capacity import section as organism_capacity

PAGE = Path(__file__).parent / "organism_capacity.md"
FIGURE = Path(__file__).parent / "figures" / "organism_capacity.svg"
BEGIN, END = "<!-- from a run, by docs/capacity_page.py -->\n", "\n<!-- end of the run -->"
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 460, 340, 66, 46, 34, 14


def filled(page: str, view: View, seconds: float) -> str:
    """The page with everything that a run says between the markers; ValueError where these are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} has no markers {BEGIN!r} and {END!r}")
    return before + BEGIN + "\n".join(_lines(view, seconds)) + END + after


def _lines(view: View, seconds: float) -> list[str]:
    grid = {k: v for k, v in view.study["settings"].items() if k != "seed"}
    lines = [
        f"**{organism_capacity.sentence(view)}**",
        "",
        "![Facts held and bits per parameter](figures/organism_capacity.svg)",
        "",
    ]
    for block in organism_capacity.blocks(view):
        if isinstance(block, Table):
            lines += [f"{block.caption}:", "", *_table(block), ""]
    settings = ", ".join(f"`{name}` {json.dumps(value)}" for name, value in grid.items())
    return [*lines, f"Grid: {settings}; seed {view.study['settings']['seed']}; {seconds:,.0f} seconds of wall clock."]


def _table(table: Table) -> list[str]:
    titles = [c.title for c in table.columns]
    ruler = ["---:" if c.numeric else "---" for c in table.columns]
    return ["| " + " | ".join(row) + " |" for row in (titles, ruler, *table.rows)]


def drawn(charts: tuple[XYChart, ...]) -> str:
    """Charts side by side as one SVG."""
    parts = [_chart(chart, i * WIDTH) for i, chart in enumerate(charts)]
    size = f'width="{WIDTH * len(charts)}" height="{HEIGHT}" viewBox="0 0 {WIDTH * len(charts)} {HEIGHT}"'
    font = 'font-family="system-ui, sans-serif" font-size="12" fill="#1f2937"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>\n<rect width="100%" height="100%" fill="#ffffff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _chart(chart: XYChart, offset: float) -> str:
    tops = [v for s in chart.series for v in (*s.high, *s.y) if v is not None]
    x = (chart.x.low, chart.x.high)
    y = (chart.y.low, chart.y.high if chart.y.high is not None else 1.1 * max(tops))
    ticks = chart.y.ticks or tuple((v, f"{v:g}") for v in _round_steps(y[1]))

    def px(v: float) -> float:
        return offset + LEFT + (v - x[0]) / (x[1] - x[0]) * (WIDTH - LEFT - RIGHT)

    def py(v: float) -> float:
        return HEIGHT - BOTTOM - (v - y[0]) / (y[1] - y[0]) * (HEIGHT - BOTTOM - TOP)

    lines = [f'<text x="{offset + LEFT}" y="18" font-weight="600">{chart.title}</text>']
    for v, label in ticks:
        if y[0] <= v <= y[1]:
            lines.append(f'<path d="M{px(x[0]):.1f} {py(v):.1f}H{px(x[1]):.1f}" stroke="#e5e7eb"/>')
            lines.append(f'<text x="{px(x[0]) - 6:.1f}" y="{py(v) + 4:.1f}" text-anchor="end">{label}</text>')
    for v, label in chart.x.ticks:
        if x[0] <= v <= x[1]:
            lines.append(f'<text x="{px(v):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{label}</text>')
    lines.append(
        f'<text x="{(px(x[0]) + px(x[1])) / 2:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{chart.x.title}</text>'
    )
    for i, series in enumerate(chart.series):
        lines += _series(series, px, py)
        place = f'x="{offset + WIDTH - RIGHT - 8}" y="{HEIGHT - BOTTOM - 42 + 16 * i}" text-anchor="end"'
        lines.append(f'<text {place} fill="{PALETTE[series.color]}">{series.name}</text>')
    return "\n".join(lines)


def _series(series: Series, px: object, py: object) -> list[str]:
    colour, dash = PALETTE[series.color], ' stroke-dasharray="6 4"' if series.style == "dash" else ""
    points = [(px(a), py(b)) for a, b in zip(series.x, series.y, strict=True) if b is not None]  # type: ignore[operator]
    path = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
    lines = [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>']
    for a, low, high in zip(series.x, series.low, series.high, strict=True):
        if low is not None and high is not None:
            lines.append(f'<path d="M{px(a):.1f} {py(low):.1f}V{py(high):.1f}" stroke="{colour}"/>')  # type: ignore[operator]
    if not dash:
        lines += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{colour}"/>' for a, b in points]
    return lines


def _round_steps(top: float) -> list[float]:
    step = 10 ** math.floor(math.log10(top))
    step = next(s for s in (step / 5, step / 2, step, 2 * step) if top / s <= 6)
    return [round(i * step, 6) for i in range(int(top / step) + 1)]


def main(folder: str) -> None:
    run = open_run(folder)
    view = load_view(run.records)
    (figure,) = [b for b in organism_capacity.blocks(view) if hasattr(b, "charts")]
    FIGURE.parent.mkdir(exist_ok=True)
    FIGURE.write_text(drawn(figure.charts), encoding="utf-8")
    seconds = sum(entry["seconds"] for entry in run.records.timings)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), view, seconds), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
