"""The answer of a toy's run in words, computed from its rows alone."""

from __future__ import annotations

from typing import Any

from rote.report.document import KeyFigure, Lead
from rote.report.numbers import percent
from rote.report.view import Measured, View

_FOOTER = (
    "Values in brackets are 95 % intervals: over networks by bootstrap, of shares of networks exact "
    "(Clopper–Pearson). All values: summary.parquet and summary.json beside this file. The questions are those of the "
    "Fact Finding study (Nanda, Rajamanoharan, Kramár, Shah; December 2023)."
)
_RULES = ("checkerboard", "modular_addition")
TASK_WORDS = {
    "memorisation": "by rote",
    "checkerboard": "checkerboard",
    "modular_addition": "modular addition",
    "untrained": "untrained",
}


def toy_words(view: View) -> dict[str, Any]:
    """Title, subtitle, leads and footer of the document."""
    capacity = view.study.get("toy") == "capacity"
    n = f"{len(view.measured):,} values; small networks from pairs of integers to classes."
    return {
        "title": "How many facts an MLP can store" if capacity else "Memorisation in the pure",
        "subtitle": n,
        "leads": (capacity_lead(view) if capacity else memorisation_lead(view),),
        "footer": _FOOTER,
    }


def exponent(view: View, axis: str, condition: str = "facts") -> Measured | None:
    return view.one("capacity", "exponent", condition=condition, source=axis)


def growth(row: Measured | None) -> str:
    """Faster than, slower than, or in proportion to its axis, as far as the interval tells."""
    if row is None or row.low is None or row.high is None:
        return "not measured"
    if row.low > 1:
        return "superlinear"
    return "sublinear" if row.high < 1 else "linear within the interval"


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


# exponents between these are called about proportional in the headline; the interval says the rest
_ABOUT_PROPORTIONAL = (0.8, 1.25)


def _headline(view: View) -> str:
    parameters, neurons = exponent(view, "parameters"), exponent(view, "neurons")
    together = exponent(view, "neurons and d_model together")
    if parameters is None or neurons is None:
        return "How many facts fit."
    low, high = _ABOUT_PROPORTIONAL
    pace = "in about proportion to" if low <= parameters.value <= high else "out of proportion to"
    words = f"Facts grow {pace} parameters: as neurons to the power {neurons.value:.2f} at a fixed width"
    return words + (f", {together.value:.2f} where the width grows along." if together else ".")


def capacity_lead(view: View) -> Lead:
    neurons, headline = exponent(view, "neurons"), _headline(view)
    sentences = [capacity_sentence(view), *_bits(view)]
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
    found = []
    if rows:
        low, high = min(r.value for r in rows), max(r.value for r in rows)
        inside = sum(1.5 <= r.value <= 2.5 for r in rows)
        found.append(
            f"At the edge the {len(rows)} configurations store {low:.2f} to {high:.2f} bits per trained parameter, "
            f"{inside} of them between 1.5 and 2.5 (the literature's figure is about 2)."
        )
    hand = view.rows("capacity", "bits_per_parameter", condition="by_hand")
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


def memorisation_lead(view: View) -> Lead:
    found = {task: view.one("memorisation", "structure_found", condition=task, parameters={}) for task in TASK_WORDS}
    rote, rules = found["memorisation"], [found[task] for task in _RULES if found[task]]
    held = rote is not None and rote.value <= 0.05 and all(r is not None and r.value >= 0.95 for r in rules)
    headline = (
        "What is learned by rote leaves no intermediate state to read; what follows a rule does."
        if held
        else "The tests do not tell rote from rule as they should: read the shares below."
    )
    sentences = []
    if rote:
        parts = [
            f"{percent(r.value)} {r.interval} of {r.count} networks that learned {TASK_WORDS[t]}"
            for t, r in found.items()
            if r and t != "untrained"
        ]
        sentences.append("The bit or an XOR is found on unseen pairs in " + ", in ".join(parts) + ".")
    sentences += _inside(view) + _bagging(view)
    figures = tuple(
        KeyFigure(
            label=f"structure found, {TASK_WORDS[task]}", value=row.number, detail=f"{row.interval}, n = {row.count}"
        )
        for task, row in found.items()
        if row
    )
    return Lead(headline=headline, sentences=tuple(sentences), figures=figures)


def first_configuration(view: View) -> dict[str, Any]:
    """The parameters of the configuration that is studied most."""
    settings = view.study.get("settings", {})
    names = (("neurons", "neurons"), ("layers", "layers"), ("embedding", "embeddings"), ("activation", "activations"))
    return {name: settings[key][0] for name, key in names if settings.get(key)}


def _inside(view: View) -> list[str]:
    def value(statistic: str, task: str, source: str | None = None) -> Measured | None:
        where = {"condition": task, "source": source, "parameters": first_configuration(view)}
        return view.one("memorisation", statistic, **where)

    integer, bit = value("integer_probe_accuracy", "memorisation"), value("bit_probe_accuracy", "memorisation")
    chance = value("integer_probe_accuracy", "memorisation", "permuted")
    if not (integer and bit and chance):
        return []
    return [
        f"Inside networks that learned by rote a linear probe names an unseen pair's integers for {integer.number} "
        f"(permuted: {chance.number}) and tells its bit for {bit.number}."
    ]


def _bagging(view: View) -> list[str]:
    where = {"condition": "memorisation"}
    whole = {**first_configuration(view), "share": 1.0}
    real = view.one("bagging", "subset_accuracy", source=None, parameters=whole, **where)
    null = view.one("bagging", "subset_accuracy", source="independent", parameters=whole, **where)
    errors = view.one("bagging", "error_correlation", source=None, parameters=first_configuration(view), **where)
    if not (real and null and errors):
        return []
    return [
        f"Its neurons' votes err almost independently (correlation {errors.number} {errors.interval}), but they are no "
        f"mere ensemble: together they give {real.number} right, and as strong but independent ones would give "
        f"{null.number} {null.interval}."
        if null.high is not None and real.value > null.high
        else f"Its neurons together give {real.number} right; as strong but independent ones would give {null.number}."
    ]
