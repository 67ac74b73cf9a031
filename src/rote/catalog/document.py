"""The catalog as Markdown: the text of docs/experiments.md."""

from __future__ import annotations

from rote.catalog.cards import CARDS
from rote.catalog.types import POSTS, ExperimentCard, PublishedValue

_HEAD = """# The experiments

<!-- Generated from src/rote/catalog by `python -m rote.catalog docs/experiments.md`. -->

Each experiment with its question, its method, the statistics it reports and where it comes from. The method
is that of the *Fact Finding* study of how Pythia-2.8B recalls which sport an athlete plays (Neel Nanda,
Senthooran Rajamanoharan, János Kramár, Rohin Shah; December 2023), written down for any causal language
model and any table of facts. The words in brackets after a post's number say what that part of the post is
about. Published values are for Pythia-2.8B: the report shows them beside measured ones when those weights
are studied, and no computation uses them.

`model` means full forward passes, `effective` the small model distilled from the circuit. Every choice is
made on one half of the entities and every value is reported on the other. Intervals are 95 % percentile
intervals.
"""

_NEEDS = {
    "known_facts": "enough facts that the model knows",
    "two_token_names": "entities whose names are two tokens",
    "lookup_window": "a window of MLP layers that looks facts up",
}


def render_markdown() -> str:
    """docs/experiments.md: every card in study order, then the posts."""
    contents = "\n".join(f"- [`{c.name}`](#{c.name}): {c.title}" for c in CARDS)
    posts = "\n".join(f"{p.number}. {p.title}" for p in POSTS)
    return "\n".join([_HEAD, contents, "", *map(_render_card, CARDS), "## The posts", "", posts, ""])


def _render_card(card: ExperimentCard) -> str:
    needs = "; ".join(_NEEDS[need] for need in card.needs) or "nothing but the facts"
    lines = [
        f"## {card.name}",
        "",
        f"**{card.title}** {card.question}",
        "",
        card.method,
        "",
        f"Runs on: {', '.join(card.applies_to)}. Needs: {needs}. Source: {card.source}.",
        "",
        "| statistic | unit | meaning | formula |",
        "|---|---|---|---|",
        *(f"| `{s.name}` | {s.unit} | {s.meaning} | {s.formula} |" for s in card.statistics),
        "",
    ]
    if card.published:
        lines += ["Published for Pythia-2.8B:", "", *map(_render_published, card.published), ""]
    return "\n".join(lines)


def _render_published(published: PublishedValue) -> str:
    return f"- `{published.statistic}`: {published.text} (post {published.source.post})"
