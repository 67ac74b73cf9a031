"""Every experiment as plain data: what it asks, what it measures, and what the study published.

Nothing here computes. The measuring arm takes statistic names from these cards, the report takes its
questions, methods, sources and published values from them, and `docs/experiments.md` is their rendering.
"""

from __future__ import annotations

from rote.catalog.cards import CARDS, card
from rote.catalog.document import render_markdown
from rote.catalog.types import POSTS, ExperimentCard, Post, PublishedValue, Source, StatisticCard

__all__ = [
    "CARDS",
    "POSTS",
    "ExperimentCard",
    "Post",
    "PublishedValue",
    "Source",
    "StatisticCard",
    "card",
    "render_markdown",
]
