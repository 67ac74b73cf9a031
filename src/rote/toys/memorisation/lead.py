"""The answer of `rote toy memorisation` in words, computed from its rows alone."""

from __future__ import annotations

from typing import Any

from rote.page.document import KeyFigure, Lead
from rote.page.numbers import percent
from rote.page.view import Measured, View

_RULES = ("checkerboard", "modular_addition")
TASK_WORDS = {
    "memorisation": "by rote",
    "checkerboard": "checkerboard",
    "modular_addition": "modular addition",
    "untrained": "untrained",
}


def memorisation_lead(view: View) -> Lead:
    where: dict[str, Any] = {"source": None, "parameters": {}}
    found = {task: view.one("memorisation", "structure_found", condition=task, **where) for task in TASK_WORDS}
    rote, rules = found["memorisation"], [found[task] for task in _RULES if found[task]]
    held = rote is not None and rote.value <= 0.05 and all(r is not None and r.value >= 0.95 for r in rules)
    headline = (
        "On pairs never seen, nothing that joins the integers can be read after learning by rote; after a rule it can."
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
        sentences.append(
            "The bit or an XOR is found on unseen pairs in " + ", in ".join(parts) + ". By rote the bit of an unseen "
            "pair is a coin, so that share can only be the test's rate of false alarms."
        )
    sentences += _joined(view) + _inside(view) + _bagging(view) + _deep(view) + _sparse(view)
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


def _value(view: View, statistic: str, task: str, source: str | None = None) -> Measured | None:
    """A value of the configuration that is studied most, of its last layer."""
    rows = view.rows("memorisation", statistic, condition=task, source=source, parameters=first_configuration(view))
    return rows[-1] if rows else None


def _joined(view: View) -> list[str]:
    parts = []
    for task, words in (("memorisation", "learning by rote"), ("checkerboard", "the checkerboard")):
        gain, reached = (_value(view, name, task) for name in ("xor_gain", "xor_probe_accuracy"))
        if gain and reached:
            parts.append(f"{words} by {gain.number} {gain.interval} to {reached.number}")
    if not parts:
        return []
    asked = "Against the same networks before training, an XOR of the integers is told right more often after "
    return [asked + ", after ".join(parts) + "."]


def _inside(view: View) -> list[str]:
    integer, bit = (_value(view, f"{name}_probe_accuracy", "memorisation") for name in ("integer", "bit"))
    before, chance = (
        _value(view, "integer_probe_accuracy", task, source)
        for task, source in (("untrained", None), ("memorisation", "permuted"))
    )
    if not (integer and bit and chance and before):
        return []
    return [
        f"Inside networks that learned by rote a linear probe names an integer of an unseen pair for {integer.number} "
        f"(before training: {before.number}; permuted: {chance.number}) and tells the pair's bit for {bit.number}."
    ]


def _bagging(view: View) -> list[str]:
    where = {"condition": "memorisation"}
    first = first_configuration(view)
    whole = {**first, "share": 1.0}
    real = view.one("bagging", "subset_accuracy", source=None, parameters=whole, **where)
    null = view.one("bagging", "subset_accuracy", source="independent", parameters=whole, **where)
    spread = view.one("bagging", "vote_count_variance", source=None, parameters=first, **where)
    errors = view.one("bagging", "error_correlation", source=None, parameters=first, **where)
    if not (real and null and errors and spread):
        return []
    return [
        f"Its neurons' votes are no independent ones: two errors correlate by {errors.number} {errors.interval}, so "
        f"that the number of wrong votes varies {spread.number} {spread.interval} times as much as of independent "
        f"votes; their sum is right for {real.number}, that of as strong but independent ones for {null.number} "
        f"{null.interval}."
        if spread.high is not None and spread.high < 1
        else f"Its neurons together give {real.number} right; as strong but independent ones would give {null.number}."
    ]


def _deep(view: View) -> list[str]:
    """In a deeper network the last layer's neurons each say the answer."""
    layers = max(view.study.get("settings", {}).get("layers", (1,)))
    deep = {**first_configuration(view), "layers": layers}
    vote = view.one("bagging", "vote_accuracy", source=None, condition="memorisation", parameters=deep)
    if layers == 1 or vote is None:
        return []
    return [
        f"With {layers} layers a single neuron of the last one is right for {vote.number} {vote.interval} of the "
        "facts: it repeats the answer, which the layers before have put together."
    ]


def _sparse(view: View) -> list[str]:
    parts = []
    for statistic, words in (
        ("kurtosis_activations", "kurtosis of activations"),
        ("participation_ratio", "participation ratio"),
        ("dictionary_l0", "dictionary atoms per neuron"),
    ):
        rote, before = _value(view, statistic, "memorisation"), _value(view, statistic, "untrained")
        if rote and before:
            parts.append(f"{words} {rote.number} ({before.number})")
    return [f"Sparsity by rote (before training): {', '.join(parts)}."] if parts else []
