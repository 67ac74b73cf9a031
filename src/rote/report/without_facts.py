"""The first screen of a run that asked no facts: what can be said instead, and how to call the page."""

from __future__ import annotations

from rote.experiments.local_processing import section as local_processing
from rote.page.document import KeyFigure, Lead
from rote.page.view import View

FOOTER = (
    "Values in brackets are 95 % percentile intervals. All values: summary.parquet and summary.json beside this file."
)


def asked_facts(view: View) -> bool:
    """Whether the study had a table of facts."""
    return view.study.get("facts") is not None


def title_without_facts(view: View, model: str) -> str:
    return f"How {model} reads a text"


def lead_without_facts(view: View) -> Lead:
    """What the text told, or why it told nothing."""
    text = f" the text {view.study['text']}" if view.study.get("text") else " a text"
    about = f"No facts were asked in this run: it says what the model makes of{text}."
    rows = local_processing.cosines(view)
    if not rows:
        why = view.reasons("local_processing")
        reasons = tuple(reason if reason.endswith(".") else f"{reason}." for reason in why)
        return Lead(headline="Nothing was measured in this run.", sentences=(about, *reasons))
    length = local_processing.length_shown(local_processing.lengths_of(rows))
    here = sorted((r for r in rows if r.parameters.get("length") == length), key=lambda r: r.layer or 0)
    first, final = here[0], here[-1]
    words = local_processing.last(length).removeprefix("the ")
    headline = f"After layer {first.layer} the {words} alone give a cosine of {first.number} with the full context" + (
        f", after layer {final.layer} {final.number}." if final is not first else "."
    )
    figures = tuple(
        KeyFigure(label=f"cosine after layer {r.layer}", value=r.number, detail=f"{r.interval}, {words}")
        for r in (here[i] for i in sorted({0, len(here) // 2, len(here) - 1}))
    )
    return Lead(headline=headline, sentences=(about, local_processing.sentence(view)), figures=figures)
