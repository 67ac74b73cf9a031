"""Every experiment and every hypothesis as plain data: what is asked and measured, what the study published, what
each hypothesis predicts of which control.

Nothing here computes. The measuring arm takes statistic names from these cards, the report takes its
questions, methods, sources and published values from them, and `docs/experiments.md` is their rendering.
"""

from __future__ import annotations

from rote.catalog.certification import Certificate, certificates
from rote.catalog.controls import CONTROLS, DOSES, ControlCard, control
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
from rote.catalog.types import (
    CIRCUIT,
    FACTS,
    MODEL,
    POSTS,
    STACK,
    TASK,
    TEXT,
    TOY,
    ExperimentCard,
    Post,
    PublishedValue,
    Source,
    StatisticCard,
)
