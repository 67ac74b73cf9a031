"""Facts held against parameters, one line for each number of exposures, and the exponent in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rote.page.document import Axis, Block, Column, Figure, Paragraph, Part, Series, Table, XYChart
from rote.page.view import Measured, View

EXPERIMENT = "organism_capacity"
_AGAINST = {"parameters": "all parameters", "block_parameters": "parameters without embeddings"}
_STATISTICS = {"capacity_exponent": "facts held", "bits_exponent": "bits stored"}


def blocks(view: View) -> tuple[Block | Part, ...]:
    held = view.rows(EXPERIMENT, "facts_held")
    if not held:
        return ()
    bits = view.rows(EXPERIMENT, "bits_held")
    figure = Figure(
        caption="Left: the most facts that a width comes to know, against its parameters, both on logarithmic scales; "
        "the dashed line is the most facts that were given. Right: the most bits stored for each parameter. One point "
        "per width, mean over seeds; whiskers are 95 % Student intervals over seeds.",
        alt="Facts held and bits per parameter against parameters, a line for each number of exposures.",
        charts=(_facts_chart(view, held), _bits_chart(bits)),
    )
    return (
        Paragraph(text=sentence(view), role="finding"),
        figure,
        _exponent_table(view),
        _held_table(held, bits),
        *(_known_table(view, e) for e in exposures_of(held)),
    )


def exposures_of(rows: Sequence[Measured]) -> list[int]:
    return sorted({int(r.parameters["exposures"]) for r in rows})


def sentence(view: View) -> str:
    """The answer: the exponent and the bits per parameter at the most exposures."""
    held = view.rows(EXPERIMENT, "facts_held")
    most = max(exposures_of(held))
    found = _exponent(view, most, "capacity_exponent", "parameters")
    bits = [r for r in view.rows(EXPERIMENT, "bits_held") if r.parameters.get("exposures") == most]
    best = max(bits, key=lambda r: r.value)
    end = f"; at most {best.number} bits for each parameter are stored (width {best.parameters['d_model']})."
    if found is None:
        return f"With {most} exposures of each fact no exponent can be given{end}"
    growth = (
        "more than in proportion" if found.low is not None and found.low > 1
        else "less than in proportion" if found.high is not None and found.high < 1
        else "in a way that cannot be told from proportional"
    )  # fmt: skip
    return (
        f"With {most} exposures of each fact, facts held grow as parameters to the power {found.number} "
        f"{found.interval}, {growth}{end}"
    )


def _exponent(view: View, exposures: int, statistic: str, condition: str) -> Measured | None:
    rows = view.rows(EXPERIMENT, statistic, condition=condition)
    return next((r for r in rows if r.parameters.get("exposures") == exposures), None)


def _log_ticks(values: Sequence[float]) -> tuple[tuple[float, str], ...]:
    """1, 2 and 5 times powers of ten within the range."""
    low, high = min(values), max(values)
    found = [m * 10**p for p in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for m in (1, 2, 5)]
    return tuple((math.log10(v), f"{v:,}") for v in found if low / 2 <= v <= high * 2)


def _line(rows: Sequence[Measured], index: int, exposures: int, *, logarithmic: bool) -> Series:
    ordered = sorted((r for r in rows if r.parameters["exposures"] == exposures), key=lambda r: r.parameters["d_model"])

    def scaled(values: list[float | None]) -> tuple[float | None, ...]:
        return tuple(None if v is None else (math.log10(v) if v > 0 else None) if logarithmic else v for v in values)

    low, high = scaled([r.low for r in ordered]), scaled([r.high for r in ordered])
    both = [a is not None and b is not None for a, b in zip(low, high, strict=True)]
    return Series(
        name=f"{exposures} exposures",
        x=tuple(math.log10(r.parameters["parameters"]) for r in ordered),
        y=scaled([r.value for r in ordered]),
        low=tuple(v if b else None for v, b in zip(low, both, strict=True)),
        high=tuple(v if b else None for v, b in zip(high, both, strict=True)),
        hover=tuple(
            (
                f"{exposures} exposures",
                f"width {r.parameters['d_model']}, {r.parameters['parameters']:,} parameters",
                r.full,
            )
            for r in ordered
        ),
        color=index,
    )


def _x_axis(rows: Sequence[Measured]) -> Axis:
    sizes = [float(r.parameters["parameters"]) for r in rows]
    return Axis(
        title="parameters",
        ticks=_log_ticks(sizes),
        low=math.log10(min(sizes)) - 0.05,
        high=math.log10(max(sizes)) + 0.05,
    )


def _facts_chart(view: View, rows: Sequence[Measured]) -> XYChart:
    given = max(int(r.parameters["n_facts"]) for r in view.rows(EXPERIMENT, "n_known"))
    known = [r.value for r in rows if r.value > 0]
    y = Axis(
        title="facts held",
        ticks=_log_ticks([*known, given]),
        low=math.log10(min(known, default=1)) - 0.15,
        high=math.log10(given) + 0.15,
    )
    ceiling = sorted({math.log10(r.parameters["parameters"]) for r in rows})
    top = Series(
        name=f"most facts given, {given:,}",
        x=(ceiling[0], ceiling[-1]),
        y=(math.log10(given),) * 2,
        low=(None, None),
        high=(None, None),
        hover=((f"{given:,} facts were given",),) * 2,
        color=4,
        style="dash",
    )
    lines = tuple(_line(rows, i, e, logarithmic=True) for i, e in enumerate(exposures_of(rows)))
    return XYChart(title="facts held", x=_x_axis(rows), y=y, series=(*lines, top))


def _bits_chart(rows: Sequence[Measured]) -> XYChart:
    lines = tuple(_line(rows, i, e, logarithmic=False) for i, e in enumerate(exposures_of(rows)))
    return XYChart(title="bits for each parameter", x=_x_axis(rows), y=Axis(title="bits", low=0.0), series=lines)


def _exponent_table(view: View) -> Table:
    rows = []
    for statistic, what in _STATISTICS.items():
        for condition, against in _AGAINST.items():
            for r in view.rows(EXPERIMENT, statistic, condition=condition):
                left = ", ".join(map(str, r.parameters.get("widths_left_out", []))) or "none"
                rows.append((what, against, str(r.parameters["exposures"]), r.number, r.interval, r.count, left))
    titles = ("of", "against", "exposures", "exponent", "95 % interval", "widths", "widths left out ¹")
    return Table(
        caption="Exponents (¹ widths that knew over 90 % of the most facts given, and could have held more)",
        columns=tuple(Column(title=title, numeric=i >= 2) for i, title in enumerate(titles)),
        rows=tuple(rows),
    )


def _held_table(held: Sequence[Measured], bits: Sequence[Measured]) -> Table:
    per = {(r.parameters["d_model"], r.parameters["exposures"]): r for r in bits}
    rows = []
    for r in sorted(held, key=lambda r: (r.parameters["exposures"], r.parameters["d_model"])):
        p = r.parameters
        beside = per.get((p["d_model"], p["exposures"]))
        rows.append(
            (
                str(p["exposures"]), str(p["d_model"]), f"{p['parameters']:,}", f"{p['block_parameters']:,}",
                f"{r.number} {r.interval}".strip(),
                "–" if beside is None else f"{beside.number} {beside.interval}".strip(),
            )
        )  # fmt: skip
    titles = ("exposures", "width", "parameters", "without embeddings", "facts held", "bits per parameter")
    return Table(
        caption="The most that a width comes to hold, mean over seeds",
        columns=tuple(Column(title=title, numeric=True) for title in titles),
        rows=tuple(rows),
    )


def _known_table(view: View, exposures: int) -> Table:
    rows = [r for r in view.rows(EXPERIMENT, "n_known") if r.parameters["exposures"] == exposures]
    counts = sorted({r.parameters["n_facts"] for r in rows})
    by = {(r.parameters["d_model"], r.parameters["n_facts"]): r for r in rows}
    return Table(
        caption=f"Facts known with {exposures} exposures, by width (rows) and facts given (columns), mean over seeds",
        columns=(Column(title="width"), *(Column(title=f"{n:,} facts", numeric=True) for n in counts)),
        rows=tuple(
            (str(d), *(by[d, n].number if (d, n) in by else "–" for n in counts)) for d in sorted({d for d, _ in by})
        ),
    )
