"""Pure memorisation beside rules and untrained networks: structure found, probes, sparsity, and the four pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from rote.page.document import Axis, BarChart, Block, Column, Figure, Guide, Part, Plane, Series, Table
from rote.page.shapes import VALUE, percent_axis, table
from rote.page.view import Measured, View
from rote.toys.memorisation.lead import TASK_WORDS, first_configuration

EXPERIMENT = "memorisation"
_PROBES = (
    ("integer_probe_accuracy", "an integer"),
    ("bit_probe_accuracy", "the bit"),
    ("xor_probe_accuracy", "the XOR"),
)
_SPARSITY = (
    ("kurtosis_activations", "kurtosis of activations"),
    ("kurtosis_weights", "kurtosis of weights"),
    ("participation_ratio", "participation ratio"),
    ("dictionary_l0", "dictionary atoms per neuron"),
)
_PICTURES = (
    ("random_colours", "Random colours", ("",)),
    ("checkerboard_3", "A board of 3 × 3 squares", ("",)),
    ("checkerboard_with_exceptions", "The board with one exception in ten", ("",)),
    ("two_correlated_facts", "Two facts that agree for nine in ten points", ("first fact, ", "second fact, ")),
)
Cells = Sequence[tuple[str, Callable[[Measured], str], bool]]


def blocks(view: View) -> tuple[Block | Part, ...]:
    return (*_found(view), *_probes(view), *_inside(view), *_stored(view), *_pictures(view))


def configuration(row: Measured) -> str:
    """ "1 × 64, trained, relu": layers × neurons, embeddings, activation; or that a row is over all of them."""
    p = row.parameters
    if not p:
        return "all configurations"
    return f"{p['layers']} × {p['neurons']}, {p['embedding']}, {p['activation']}"


def task(row: Measured) -> str:
    return TASK_WORDS.get(row.condition or "", row.condition or "")


NETWORKS = "layers × neurons, embeddings, activation"
_LAYER = ("layer", lambda r: str(r.layer), True)
_WHERE: Cells = ((NETWORKS, configuration, False), ("learned", task, False))


def _found(view: View) -> tuple[Table, ...]:
    rows = sorted(view.rows(EXPERIMENT, "structure_found"), key=lambda r: bool(r.parameters))
    if not rows:
        return ()
    what = ("found", lambda r: {"bit": "the bit", "xor": "the XOR"}.get(r.source or "", "either"), False)
    pooled = [r for r in rows if not r.parameters or r.source is None]
    caption = "Networks in which the bit or the XOR of an unseen pair can be read (on the checkerboard both are one)"
    return (table(caption, pooled, *_WHERE, what, *VALUE),)


def _first(view: View, statistic: str, name: str, **where: Any) -> Measured | None:
    """The row of the configuration that is studied most, of its last layer."""
    rows = view.rows(EXPERIMENT, statistic, condition=name, parameters=first_configuration(view), **where)
    return rows[-1] if rows else None


def _bars(
    view: View, lines: Sequence[tuple[str, str, str | None]], axis: Axis, title: str, guides: tuple[Guide, ...]
) -> BarChart:
    """A bar per task for each (name, statistic, source)."""
    tasks = tuple(TASK_WORDS)
    drawn = []
    for color, (name, statistic, source) in enumerate(lines):
        rows = [_first(view, statistic, t, source=source) for t in tasks]
        drawn.append(
            Series(
                name=name,
                y=tuple(None if r is None else r.value for r in rows),
                low=tuple(None if r is None else r.low for r in rows),
                high=tuple(None if r is None else r.high for r in rows),
                hover=tuple(() if r is None else (f"{name}, {task(r)}", r.full) for r in rows),
                color=color,
            )
        )
    return BarChart(
        title=title,
        categories=tuple(TASK_WORDS[t] for t in tasks),
        value=axis,
        series=tuple(drawn),
        guides=guides,
    )


def _probes(view: View) -> tuple[Block, ...]:
    rows = view.rows(EXPERIMENT, *(statistic for statistic, _ in _PROBES))
    if not rows:
        return ()
    charts = tuple(
        _bars(
            view,
            [(words, statistic, source) for statistic, words in _PROBES],
            percent_axis("accuracy"),
            title,
            (),
        )
        for title, source in (("probe on unseen pairs", None), ("permuted targets", "permuted"))
    )
    figure = Figure(
        caption="What a linear probe reads off the hidden activations of pairs that were never trained on, in the "
        "first configuration, and the same for permuted targets, which is each probe's chance: for an XOR of halves "
        "below one half, since a sum fitted to seen pairs errs on the others.",
        alt="Accuracy per task of probes for an integer, the bit and the XOR.",
        charts=charts,
    )
    gains = view.rows(EXPERIMENT, "xor_gain")
    more = (table("XOR told better than before training", gains, *_WHERE, _LAYER, *VALUE),) if gains else ()
    return (
        figure,
        *more,
        _by_layer("Probes on unseen pairs (permuted targets in parentheses)", rows, _PROBES, _with_null(view)),
    )


def _with_null(view: View) -> Callable[[Measured], str]:
    def cell(row: Measured) -> str:
        where = {"condition": row.condition, "layer": row.layer, "parameters": row.parameters, "source": "permuted"}
        null = view.one(EXPERIMENT, row.statistic, **where)
        return f"{row.number} {row.interval}" + ("" if null is None else f" ({null.number})")

    return cell


def _by_layer(
    caption: str, rows: Sequence[Measured], columns: Sequence[tuple[str, str]], cell: Callable[[Measured], str]
) -> Table:
    """A line per configuration, task and layer, a column per statistic."""
    lines: dict[tuple[str, str, int | None], dict[str, Measured]] = {}
    for row in rows:
        if row.source is None:
            lines.setdefault((configuration(row), task(row), row.layer), {})[row.statistic] = row
    return Table(
        caption=caption,
        columns=(
            Column(title=NETWORKS),
            Column(title="learned"),
            Column(title="layer", numeric=True),
            *(Column(title=words, numeric=True) for _, words in columns),
        ),
        rows=tuple(
            (key[0], key[1], str(key[2]), *(cell(found[s]) if s in found else "–" for s, _ in columns))
            for key, found in lines.items()
        ),
    )


def _inside(view: View) -> tuple[Block, ...]:
    rows = view.rows(EXPERIMENT, *(statistic for statistic, _ in _SPARSITY))
    if not rows:
        return ()
    charts = tuple(
        _bars(view, [(words, statistic, None)], Axis(title=words), words, ())
        for statistic, words in _SPARSITY
        if any(r.statistic == statistic for r in rows)
    )
    figure = Figure(
        caption="How sparse the last hidden layer is, in the first configuration: heavy tails, dimensions used, atoms "
        "of a dictionary. Untrained networks are the null, networks that learned a rule the comparison.",
        alt="Four statistics per task.",
        charts=charts,
    )
    return (figure, _by_layer("Sparsity", rows, _SPARSITY, lambda r: f"{r.number} {r.interval}".strip()))


def _stored(view: View) -> tuple[Table, ...]:
    rows = [r for r in view.rows(EXPERIMENT, "accuracy_seen", "accuracy_unseen") if "layers" in r.parameters]
    bits = view.rows(EXPERIMENT, "bits_per_parameter")
    found = []
    if rows:
        names = {"accuracy_seen": "seen pairs", "accuracy_unseen": "unseen pairs"}
        pairs = ("pairs", lambda r: names[r.statistic], False)
        found.append(table("Accuracy", rows, *_WHERE, pairs, *VALUE))
    if bits:
        of = {"mlp": "the MLPs", "all": "MLPs and embeddings"}
        counted = ("parameters of", lambda r: of.get(r.source or "", ""), False)
        caption = "Bits stored per parameter (far below what fits: these networks are larger than their facts need)"
        found.append(table(caption, bits, _WHERE[0], counted, *VALUE))
    return tuple(found)


def _pictures(view: View) -> tuple[Block | Part, ...]:
    maps, points = view.table(EXPERIMENT, "maps"), view.table(EXPERIMENT, "points")
    if maps is None or points is None:
        return ()
    figures = []
    for name, words, facts in _PICTURES:
        these, on = maps[maps["picture"] == name], points[points["picture"] == name]
        if len(these):
            rows = view.rows(EXPERIMENT, "accuracy_seen", condition=name)
            right = "; ".join(f"{r.number} with {r.parameters['neurons']} neurons" for r in rows)
            agree = view.rows(EXPERIMENT, "facts_agree", condition=name)
            also = "".join(
                f" The two answers agree on {r.number} of the plane with {r.parameters['neurons']} neurons."
                for r in agree
            )
            figures.append(
                Figure(
                    caption=f"{words}: points to be learned, and what networks of one hidden layer make of the plane. "
                    f"Points given right: {right}.{also}",
                    alt=f"Maps of the plane in two shades, {words.lower()}.",
                    charts=_planes(these, on, facts),
                )
            )
    return (Part(title="Four pictures of the plane", blocks=tuple(figures)),) if figures else ()


def _planes(maps: pd.DataFrame, points: pd.DataFrame, facts: tuple[str, ...]) -> tuple[Plane, ...]:
    charts = []
    for (width, network, fact), places in maps.groupby(["width", "network", "fact"], sort=True):
        side = places["y"].nunique()
        values = places.sort_values(["y", "x"])["probability"].to_numpy(dtype=float).reshape(side, -1)
        on = points[points["fact"] == fact]
        shown = zip(on["x"].tolist(), on["y"].tolist(), on["colour"].tolist(), strict=True)
        charts.append(
            Plane(
                title=f"{facts[int(str(fact))]}{width} neurons, network {int(str(network)) + 1}",
                values=tuple(tuple(row) for row in values.tolist()),
                points=tuple((float(x), float(y), int(c)) for x, y, c in shown),
            )
        )
    return tuple(charts)
