"""The frame of every section: question, method, drawing, published values, absent values, source."""

from __future__ import annotations

from collections.abc import Mapping

from rote.catalog import ExperimentCard, StatisticCard
from rote.experiments import ENTRIES
from rote.page.document import Block, Column, Paragraph, Part, Section, Table
from rote.page.generic import generic
from rote.page.here import Draw
from rote.page.view import Missing, View
from rote.report.published import published_table
from rote.toys import Toy

_MAX_ABSENT = 40


def experiment_sections(view: View, own: Mapping[str, Draw]) -> tuple[Section, ...]:
    """A section for every experiment with rows, and one table of those without, with their reasons."""
    measured = {row.experiment for row in view.measured}
    sections = [_section(view, e.card, e.section or generic(e.card)) for e in ENTRIES if e.name in measured]
    told = dict.fromkeys((*(r.experiment for r in view.measured), *(m.experiment for m in view.missing)))
    brought = [view.cards.get(name) or _unknown(view, name) for name in told if name not in {e.name for e in ENTRIES}]
    sections += [_section(view, card, own.get(card.name) or generic(card)) for card in brought]
    silent = tuple(e.card for e in ENTRIES if e.name not in measured)
    if view.study.get("facts") is None:  # nobody asked for anything but these
        silent = tuple(card for card in silent if view.reasons(card.name))
    if silent:
        sections.append(_not_measured(view, silent))
    return tuple(sections)


def toy_sections(view: View, toy: Toy) -> tuple[Section, ...]:
    """A section for each of a toy's cards that has rows."""
    measured = {row.experiment for row in view.measured}
    return tuple(_section(view, card, draw) for card, draw in toy.sections if card.name in measured)


def _section(view: View, card: ExperimentCard, draw: Draw) -> Section:
    told = (Paragraph(text=card.question, role="question"), Paragraph(text=card.method, role="method"))
    blocks: list[Block | Part] = [*(paragraph for paragraph in told if paragraph.text), *draw(view)]
    if card.published and view.is_pythia:
        blocks.append(published_table(view, card))
    missing = tuple(m for m in view.missing if m.experiment == card.name)
    if missing:
        blocks.append(_absent_table(missing))
    if card.source:
        blocks.append(Paragraph(text=f"{card.source}.", role="source"))
    return Section(name=card.name, title=card.title, blocks=tuple(blocks))


def _unknown(view: View, name: str) -> ExperimentCard:
    """A card for rows that no card of this run speaks of."""
    told = {row.statistic: row.unit for row in view.rows(name)}
    statistics = (StatisticCard(name=s, unit=unit or "", meaning="", formula="") for s, unit in told.items())
    title = name.replace("_", " ").capitalize()
    return ExperimentCard(name=name, title=title, question="", method="", source="", statistics=tuple(statistics))


def _not_measured(view: View, silent: tuple[ExperimentCard, ...]) -> Section:
    def reason(card: ExperimentCard) -> str:
        return " ".join(view.reasons(card.name)) or "This run holds no rows of it; it was not asked for."

    table = Table(
        caption="Experiments without values",
        columns=(Column(title="experiment"), Column(title="question"), Column(title="why there is no value")),
        rows=tuple((card.name, card.question, reason(card)) for card in silent),
    )
    return Section(name="not_measured", title="What was not measured", blocks=(table,))


def _absent_table(missing: tuple[Missing, ...]) -> Table:
    """Values that do not exist, those with the same statistic and reason together."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for item in missing:
        grouped.setdefault((item.statistic or "", item.reason), []).append(item.where)
    rows = []
    for (statistic, reason), places in grouped.items():
        where = [place for place in dict.fromkeys(places) if place]
        shown = "; ".join(where[:3]) + (f"; and {len(where) - 3} more" if len(where) > 3 else "")
        rows.append((statistic, shown, reason))
    return Table(
        caption="Values that could not be computed",
        columns=(Column(title="statistic"), Column(title="where"), Column(title="reason")),
        rows=tuple(rows[:_MAX_ABSENT]),
    )
