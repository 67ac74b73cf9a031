"""Which facts are known: probabilities by class, and what tokens alone would give."""

from __future__ import annotations

import pandas as pd

from rote.page.document import Axis, Block, Column, Figure, Guide, Part, Series, StripChart, Table
from rote.page.shapes import per_relation
from rote.page.view import Measured, View

EXPERIMENT = "known_facts"
MAX_POINTS = 3000
_KNOWLEDGE = ("n_facts", "n_known", "accuracy", "accuracy_cls", "loss_nats")
_BASELINES = ("baseline_majority", "baseline_last", "baseline_first", "baseline_additive_fit")
_WORDS = {
    "n_facts": "facts asked",
    "n_known": "facts known",
    "accuracy": "right among all tokens",
    "accuracy_cls": "right among the classes",
    "loss_nats": "loss",
    "baseline_majority": "always the commonest class",
    "baseline_last": "from the last token",
    "baseline_first": "from the first token",
    "baseline_additive_fit": "linear fit on both tokens (in-sample)",
    "shared_first": "share their first token",
    "shared_last": "share their last token",
    "shared_both": "share both tokens",
}
_TABLES = (
    ("What the model knows", _KNOWLEDGE),
    ("What the tokens of a name give away without any look-up (leave-one-out)", _BASELINES),
    ("Entities whose tokens occur in other entities", ("shared_first", "shared_last", "shared_both")),
)
_NAMES = {"all": "all names", "two_token": "two-token names"}


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    found = list(_strips(view, relation))
    rows = tuple(r for r in view.rows(EXPERIMENT, relation=relation) if r.statistic in _WORDS)
    for caption, statistics in _TABLES:
        these = tuple(r for r in rows if r.cls is None and r.statistic in statistics)
        if these:
            found.append(_table(caption, these, ("",)))
    by_class = tuple(r for r in rows if r.cls is not None)
    if by_class:
        found.append(_table("Class by class", by_class, ("class", "")))
    return tuple(found)


def _table(caption: str, rows: tuple[Measured, ...], heads: tuple[str, ...]) -> Table:
    """A line per statistic (and class), a column per group of names."""
    groups = tuple(dict.fromkeys(r.condition for r in rows))
    lines: dict[tuple[str, ...], dict[str | None, Measured]] = {}
    for row in rows:
        key = (row.cls or "", _WORDS[row.statistic])[-len(heads) :]
        lines.setdefault(key, {})[row.condition] = row
    titles = (*heads, *(_NAMES.get(group or "", group or "value") for group in groups))
    return Table(
        caption=caption,
        columns=tuple(Column(title=title, numeric=i >= len(heads)) for i, title in enumerate(titles)),
        rows=tuple(
            (*key, *(cells[group].full if group in cells else "–" for group in groups)) for key, cells in lines.items()
        ),
    )


def _strips(view: View, relation: str | None) -> tuple[Block, ...]:
    facts = view.table(EXPERIMENT, "facts")
    if facts is None or facts.empty:
        return ()
    if relation is not None and "relation" in facts:
        facts = facts[facts["relation"] == relation]
    elif len(view.relations(EXPERIMENT)) > 1:
        return ()  # the parts of the single relations show every fact once
    if facts.empty:
        return ()
    total = len(facts)
    facts = facts.sort_values("prob", kind="stable")
    if total > MAX_POINTS:
        facts = facts.iloc[[round(i * (total - 1) / (MAX_POINTS - 1)) for i in range(MAX_POINTS)]]
    classes = tuple(facts["cls"].astype(str).value_counts().index)
    points = tuple(
        _points(facts[facts["known"].astype(bool) == known], classes, known=known) for known in (True, False)
    )
    drawn = "each fact one point" if total <= MAX_POINTS else f"{MAX_POINTS:,} of {total:,} facts, evenly by rank"
    chart = StripChart(
        title="",
        categories=classes,
        x=Axis(title="probability of the correct attribute", low=-0.02, high=1.02),
        points=tuple(p for p in points if p.y),
        guides=(Guide(value=0.5, label="known above ½"),),
    )
    n_known = int(facts["known"].astype(bool).sum())
    alt = f"Points for {n_known:,} known and {len(facts) - n_known:,} other facts."
    return (Figure(caption=f"Probability of the correct attribute by class, {drawn}.", alt=alt, charts=(chart,)),)


def _points(facts: pd.DataFrame, classes: tuple[str, ...], *, known: bool) -> Series:
    return Series(
        name="known" if known else "not known",
        x=tuple(float(p) for p in facts["prob"]),
        y=tuple(float(classes.index(str(c))) for c in facts["cls"]),
        hover=tuple(
            (str(entity), f"correct: {attribute}", f"p = {prob:.3g}, rank {rank}")
            for entity, attribute, prob, rank in zip(
                facts["entity"], facts["attribute"], facts["prob"], facts["rank"], strict=True
            )
        ),
        color=0 if known else 1,
        joined=False,
    )
