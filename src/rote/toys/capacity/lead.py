"""The answer of `rote toy capacity` in words, computed from its rows alone."""

from __future__ import annotations

from rote.page.document import KeyFigure, Lead
from rote.page.view import Measured, View


def exponent(view: View, axis: str, condition: str = "facts") -> Measured | None:
    return view.one("capacity", "exponent", condition=condition, source=axis)


def steps_along(view: View, axis: str) -> list[Measured]:
    """The exponents between neighbouring sizes of an axis, the smallest first."""
    rows = view.rows("capacity", "exponent", condition="facts")
    return [r for r in rows if (r.source or "").startswith(f"{axis} ") and " to " in (r.source or "")]


def growth(row: Measured | None) -> str:
    """Whether larger networks hold more bits per parameter, as far as the interval of that exponent tells."""
    if row is None or row.low is None or row.high is None:
        return "not measured"
    if row.low > 0:
        return "more per parameter the larger"
    return "fewer per parameter the larger" if row.high < 0 else "as many per parameter, within the interval"


def capacity_sentence(view: View) -> str:
    """The answer: exponents in neurons, d_model and parameters with their intervals."""
    axes = (
        ("neurons", "neurons (d_model fixed)"),
        ("d_model", "d_model (neurons fixed)"),
        ("parameters", "parameters"),
        ("neurons and d_model together", "neurons when d_model grows with them"),
    )
    rows = [(words, exponent(view, axis)) for axis, words in axes]
    parts = [f"{words} to the power {row.value:.2f} {_interval(row)}" for words, row in rows if row]
    if not parts:
        return "The grid is too small for exponents."
    return "The facts stored grow as " + ", as ".join(parts) + "."


def _interval(row: Measured) -> str:
    return "" if row.low is None or row.high is None else f"[{row.low:.2f}, {row.high:.2f}]"


def _headline(view: View) -> str:
    neurons, steps = exponent(view, "neurons"), steps_along(view, "neurons")
    if neurons is None:
        return "How many facts fit."
    words = f"At a fixed width facts grow as neurons to the power {neurons.value:.2f} {_interval(neurons)}"
    if len(steps) > 1:
        ends = (steps[0], steps[-1])
        first, last = (f"{r.value:.2f} {_interval(r)} from {str(r.source)[len('neurons ') :]}" for r in ends)
        words += f": {first}, {last}"
    return words + "."


def _per_parameter(view: View) -> list[str]:
    row = exponent(view, "parameters", "bits_per_parameter")
    if row is None:
        return []
    return [f"Bits per parameter change as parameters to the power {row.value:.2f} {_interval(row)}: {growth(row)}."]


def capacity_lead(view: View) -> Lead:
    neurons, headline = exponent(view, "neurons"), _headline(view)
    sentences = [capacity_sentence(view), *_per_parameter(view), *_bits(view)]
    figures = [
        KeyFigure(label=f"exponent in {name}", value=f"{row.value:.2f}", detail=_interval(row))
        for name, row in (
            ("neurons", neurons),
            ("d_model", exponent(view, "d_model")),
            ("parameters", exponent(view, "parameters")),
        )
        if row
    ]
    return Lead(headline=headline, sentences=tuple(sentences), figures=tuple(figures))


def _bits(view: View) -> list[str]:
    rows = view.rows("capacity", "bits_per_parameter", condition="trained", source="trained")
    rows = tuple(r for r in rows if r.parameters["steps_times"] == 1)
    found = []
    if rows:
        low, high = min(r.value for r in rows), max(r.value for r in rows)
        inside = sum(1.5 <= r.value <= 2.5 for r in rows)
        found.append(
            f"At the edge the {len(rows)} configurations store {low:.2f} to {high:.2f} bits per trained parameter, "
            f"{inside} of them between 1.5 and 2.5 (2 for language models: Allen-Zhu and Li 2024)"
            + "".join(f"; {_network(r)}: {r.value:.2f}" for r in rows if not 1.5 <= r.value <= 2.5)
            + "."
        )
    longer = _longer(view)
    found += [longer] if longer else []
    hand = view.rows("capacity", "bits_per_parameter", condition="by_hand", source="mlp")
    if hand:
        largest = max(hand, key=lambda r: r.parameters["integers"])
        found.append(
            f"The construction by hand stores {largest.value:.2f} bits per parameter with "
            f"{largest.parameters['integers']} integers, on its way to log₂ 3 ≈ 1.58: trained networks store more."
            if rows and min(r.value for r in rows) > largest.value
            else f"The construction by hand stores {largest.value:.2f} bits per parameter with "
            f"{largest.parameters['integers']} integers, on its way to log₂ 3 ≈ 1.58."
        )
    return found


def _longer(view: View) -> str:
    """Whether more steps would have found more room."""
    rows = view.rows("capacity", "facts_stored", condition="trained")
    base = {_shape(r): r for r in rows if r.parameters["steps_times"] == 1}
    parts = [
        f"{r.value / base[_shape(r)].value:.2f} times as many facts with {_network(r)}"
        for r in rows
        if r.parameters["steps_times"] > 1 and _shape(r) in base
    ]
    times = max((r.parameters["steps_times"] for r in rows), default=1)
    return f"With {times} times the steps training finds room for " + ", ".join(parts) + "." if parts else ""


def _network(row: Measured) -> str:
    """Which network a row is of, in words."""
    of = row.parameters
    trained = " and trained embeddings" if of["embedding"] == "trained" else ""
    joined = ", " if trained else " and "
    return f"{of['neurons']} neurons{joined}d_model {of['d_model']}{trained}"


def _shape(row: Measured) -> tuple[tuple[str, object], ...]:
    return tuple(sorted((k, v) for k, v in row.parameters.items() if k != "steps_times"))
