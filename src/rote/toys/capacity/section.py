"""How many facts fit: facts against neurons, width and parameters, their exponents, bits per parameter."""

from __future__ import annotations

from collections.abc import Callable

from rote.page.document import Axis, Block, Column, Figure, Guide, Paragraph, Part, Series, Table, XYChart
from rote.page.shapes import VALUE, series, table
from rote.page.view import Measured, View
from rote.toys.capacity.lead import capacity_sentence, exponent, growth, steps_along

EXPERIMENT = "capacity"
_COUNTS = (("trained", "trained parameters"), ("mlp", "MLPs alone"), ("all", "MLPs and embeddings"))


def blocks(view: View) -> tuple[Block | Part, ...]:
    facts = view.rows(EXPERIMENT, "facts_stored", condition="trained")
    found: list[Block] = [Paragraph(text=capacity_sentence(view), role="finding")]
    grid = [r for r in facts if _plain(r, facts)]
    if len(grid) > 1:
        found.append(_growth(grid))
    if facts:
        found.append(_bits(view, facts))
    return (*found, *_exponents(view), *_configurations(view, facts), *_by_hand(view))


def _plain(row: Measured, rows: tuple[Measured, ...]) -> bool:
    """Whether a row belongs to the full grid: random embeddings, the first of layers and classes."""
    return all(
        row.parameters[name] == rows[0].parameters[name] for name in ("layers", "classes", "embedding", "steps_times")
    )


def _whole(row: Measured, name: str) -> int:
    return int(row.parameters[name])


def _growth(grid: list[Measured]) -> Figure:
    charts = (
        _lines(grid, x="neurons", line="d_model", title="facts against neurons"),
        _lines(grid, x="d_model", line="neurons", title="facts against d_model"),
    )
    return Figure(
        caption="Facts stored, both axes logarithmic: a straight line of slope 1 is proportional growth. Bars are 95 % "
        "intervals over networks.",
        alt="Facts stored rise with neurons and with d_model.",
        charts=charts,
    )


def log_axis(title: str, values: list[float]) -> Axis:
    """Ticks at powers of two, with room on either side."""
    ticks, tick = [], 1.0
    while tick < 2 * max(values):
        if tick > min(values) / 2:
            ticks.append((tick, f"{tick:,.0f}"))
        tick *= 2
    step = -(-len(ticks) // 8)
    return Axis(title=title, ticks=tuple(ticks[::step]), low=min(values) / 1.3, high=max(values) * 1.3, log=True)


def _lines(grid: list[Measured], *, x: str, line: str, title: str) -> XYChart:
    values = sorted({_whole(r, line) for r in grid})
    drawn = tuple(
        series(
            [r for r in grid if _whole(r, line) == value],
            name=f"{line} {value}",
            x=lambda r: float(r.parameters[x]),
            label=lambda r: f"{x} {r.parameters[x]}",
            color=i,
        )
        for i, value in enumerate(values)
    )
    ends = [end for r in grid for end in (r.value, r.low, r.high) if end]
    return XYChart(
        title=title,
        x=log_axis(x, [float(r.parameters[x]) for r in grid]),
        y=log_axis("facts stored", ends),
        series=drawn,
    )


def _bits(view: View, facts: tuple[Measured, ...]) -> Figure:
    rows = view.rows(EXPERIMENT, "bits_per_parameter", condition="trained", source="trained")
    stored = {_key(r): r for r in facts}
    kinds: dict[str, list[Measured]] = {}
    for row in rows:
        kinds.setdefault(_kind(row, facts), []).append(row)

    def x(row: Measured) -> float:
        return stored[_key(row)].value

    drawn: list[Series] = [
        series(these, name=kind, x=x, label=_label, color=i, joined=False)
        for i, (kind, these) in enumerate(kinds.items())
    ]
    hand = view.rows(EXPERIMENT, "bits_per_parameter", condition="by_hand", source="mlp")
    if hand:
        drawn.append(
            series(
                hand,
                name="by hand",
                x=lambda r: float(r.parameters["integers"]) ** 2,
                label=lambda r: f"{r.parameters['integers']} integers",
                color=4,
                style="dash",
            )
        )
    places = [place for s in drawn for place in s.x]
    top = max([2.6, *(v for s in drawn for v in (*s.high, *s.y) if v is not None)])
    chart = XYChart(
        title="",
        x=log_axis("facts stored", places),
        y=Axis(title="bits per trained parameter", low=0.0, high=top),
        series=tuple(drawn),
        guides=(Guide(value=2.0, label="2: the literature"), Guide(value=1.585, label="1.58: log₂ 3")),
    )
    caption = "Bits per trained parameter at the edge, each configuration a point, beside the construction by hand."
    return Figure(caption=caption, alt="Points around two bits per parameter.", charts=(chart,))


def _key(row: Measured) -> tuple[tuple[str, object], ...]:
    return tuple(sorted(row.parameters.items()))


def _kind(row: Measured, facts: tuple[Measured, ...]) -> str:
    p, first = row.parameters, facts[0].parameters
    if p["embedding"] != first["embedding"]:
        return "trained embeddings"
    if p["steps_times"] != 1:
        return "more steps"
    if p["layers"] != first["layers"]:
        return f"{p['layers']} layers"
    return "more classes" if p["classes"] != first["classes"] else "the grid"


def _label(row: Measured) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.parameters.items())


def _exponents(view: View) -> tuple[Table, ...]:
    rows = [r for r in view.rows(EXPERIMENT, "exponent", condition="facts") if " to " not in (r.source or "")]
    if not rows:
        return ()

    def other(row: Measured, condition: str) -> Measured | None:
        return exponent(view, row.source or "", condition)

    def cell(condition: str) -> Callable[[Measured], str]:
        def shown(row: Measured) -> str:
            found = other(row, condition)
            return "–" if found is None else f"{found.number} {found.interval}".strip()

        return shown

    steps = [*steps_along(view, "neurons"), *steps_along(view, "d_model")]
    caption = "Exponents: log–log slopes along one axis, everything else held fixed. What is exactly proportional to "
    tables = table(
        caption + "parameters has their exponent; bits per parameter then have 0",
        rows,
        ("axis", lambda r: r.source or "", False),
        ("of facts stored", cell("facts"), True),
        ("of parameters", cell("parameters"), True),
        ("of bits per parameter", cell("bits_per_parameter"), True),
        ("networks", lambda r: r.count, True),
        ("bits held", lambda r: growth(other(r, "bits_per_parameter")), False),
    )
    between = ("between", lambda r: r.source or "", False)
    return (
        (tables, table("Exponents of facts stored between neighbouring sizes", steps, between, *VALUE))
        if steps
        else (tables,)
    )


def _configurations(view: View, facts: tuple[Measured, ...]) -> tuple[Table, ...]:
    bits = {(_key(r), r.source): r for r in view.rows(EXPERIMENT, "bits_per_parameter", condition="trained")}
    if not facts:
        return ()

    def cell(row: Measured, source: str) -> str:
        found = bits.get((_key(row), source))
        if found is None:
            return "–"
        return f"{found.value:.2f} {found.interval}".strip() if source == "trained" else f"{found.value:.2f}"

    names = ("neurons", "d_model", "layers", "classes", "embedding", "steps_times")
    return (
        Table(
            caption=f"Facts stored and bits per parameter, mean of {facts[0].count} networks. A network's figure is "
            "the most that it was seen to store: a few per cent more were seen to fail",
            columns=(
                *(Column(title=name.replace("_times", ""), numeric=name != "embedding") for name in names),
                Column(title="facts stored", numeric=True),
                *(Column(title=f"bits per parameter: {words}", numeric=True) for _, words in _COUNTS),
            ),
            rows=tuple(
                (
                    *(_shown(row.parameters[name], name) for name in names),
                    f"{row.number} {row.interval}".strip(),
                    *(cell(row, source) for source, _ in _COUNTS),
                )
                for row in facts
            ),
        ),
    )


def _shown(value: object, name: str) -> str:
    return f"× {value}" if name == "steps_times" else str(value)


def _by_hand(view: View) -> tuple[Block, ...]:
    rows = view.rows(EXPERIMENT, "bits_per_parameter", condition="by_hand", source="mlp")
    all_ = {_key(r): r for r in view.rows(EXPERIMENT, "bits_per_parameter", condition="by_hand", source="all")}
    facts = {_key(r): r for r in view.rows(EXPERIMENT, "facts_stored", condition="by_hand")}
    if not rows:
        return ()
    cells: tuple[tuple[str, Callable[[Measured], str], bool], ...] = (
        ("integers in either place", lambda r: str(r.parameters["integers"]), True),
        ("facts of three classes, all right", lambda r: facts[_key(r)].number, True),
        ("bits per parameter", lambda r: f"{r.value:.3f}", True),
        ("vectors counted as well", lambda r: f"{all_[_key(r)].value:.3f}", True),
    )
    return (table("The construction by hand: N² + 6N + 3 parameters for N² facts of log₂ 3 bits", rows, *cells),)
