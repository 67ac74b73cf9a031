"""Every experiment and every hypothesis as plain data: what is asked and measured, what the study published, what
each hypothesis predicts of which control.

Nothing here computes. The measuring arm takes statistic names from these cards, the report takes its
questions, methods, sources and published values from them, and `docs/experiments.md` is their rendering.
"""

from __future__ import annotations

from rote.experiments import CARDS, TOY_CARDS, TRAINED_CARDS, card
from rote.catalog.certification import Certificate, certificates
from rote.catalog.controls import CONTROLS, DOSES, Control, control
from rote.report.reference import render_markdown
from rote.catalog.hypotheses import (
    HYPOTHESES,
    PREDICTIONS,
    STANDINGS,
    VERDICTS,
    Hypothesis,
    Prediction,
    Select,
    hypothesis,
    predictions,
    standing,
)
from rote.catalog.types import POSTS, TOY, ExperimentCard, Post, PublishedValue, Source, StatisticCard

__all__ = [
    "CARDS",
    "CONTROLS",
    "DOSES",
    "HYPOTHESES",
    "POSTS",
    "PREDICTIONS",
    "STANDINGS",
    "TOY",
    "TOY_CARDS",
    "TRAINED_CARDS",
    "VERDICTS",
    "Certificate",
    "Control",
    "ExperimentCard",
    "Hypothesis",
    "Post",
    "Prediction",
    "PublishedValue",
    "Select",
    "Source",
    "StatisticCard",
    "card",
    "certificates",
    "control",
    "hypothesis",
    "predictions",
    "render_markdown",
    "standing",
]
