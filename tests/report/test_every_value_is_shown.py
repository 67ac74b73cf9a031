"""Contracts of every card: somebody writes what it speaks of, and its section shows what was written.

All rows here were written by the experiments and toys themselves, in small.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import measured
import pandas as pd
import pytest

from rote.catalog import ExperimentCard
from rote.experiments import ENTRIES
from rote.experiments.known_facts import ENTRY as KNOWN_FACTS
from rote.page.document import Block, Figure, Paragraph, Part, Table
from rote.page.generic import generic
from rote.page.here import Draw
from rote.page.view import View
from rote.records import RunFolder
from rote.report import build_document, load_view
from rote.toys import TOYS

Cell = tuple[str, str | None]  # a statistic, and a condition as its card names it (None: without one)

# what no run here writes, not even as absent
NOT_WRITTEN = {
    ("head_attention", "attention", "other_relation"): "a reason, where a table asks about no other relation",
    **{
        ("effective_model", f"effective_{name}", condition): "all names of the bundled organism have two parts"
        for name in ("accuracy", "loss_nats", "agreement", "balanced_accuracy")
        for condition in ("exact_all_names", "exact_one_token")
    },
    **{
        ("known_facts", statistic.name, condition): "all names of the bundled organism have two words and two tokens"
        for statistic in KNOWN_FACTS.card.statistics
        for condition in statistic.conditions  # in their order: workers have to collect the same tests
        if condition not in ("all", "two_token")
    },
}
# what is absent here, with its reason
NOT_VALUED = {
    ("concatenation", "self_attention_forbidden_accuracy", None): "the bundled organism concatenates in one layer",
    ("lookup_window", "borders_decided", None): "so few names leave it open where the window ends",
    ("readout", "readout_accuracy", "both_first_mlps_ablated"): "no MLP lies before the bundled organism's window",
}
SECTIONS: dict[str, tuple[ExperimentCard, Draw]] = {
    **{e.name: (e.card, e.section) for e in ENTRIES if e.section is not None},
    **{card.name: (card, draw) for toy in TOYS for card, draw in toy.sections},
}
each_section = pytest.mark.parametrize("name", SECTIONS)


@cache
def view_of(name: str) -> View:
    toy = next((toy.name for toy in TOYS if name in {card.name for card in toy.cards}), None)
    path: Path = measured.toy(toy) if toy else measured.reading() if name == "local_processing" else measured.study()
    return load_view(RunFolder.read_only(path))


def cells(card: ExperimentCard) -> Iterator[Cell]:
    """Every statistic under every condition of its card."""
    for statistic in card.statistics:
        for condition in statistic.conditions or (None,):
            yield statistic.name, condition


def within(frame: pd.DataFrame, card: ExperimentCard, cell: Cell) -> pd.Series[bool]:
    """The rows of one cell; a statistic whose card has no conditions has them all."""
    statistic, condition = cell
    these = (frame["experiment"] == card.name) & (frame["statistic"] == statistic)
    if condition is None:
        return these
    return these & frame["condition"].map(lambda c: not pd.isna(c) and fnmatchcase(str(c), condition)).astype(bool)


def said(blocks: tuple[Block | Part, ...]) -> Iterator[str]:
    """All that can be read without a chart."""
    for block in blocks:
        match block:
            case Part():
                yield from said(block.blocks)
            case Paragraph():
                yield block.text
            case Figure():
                yield from (block.caption, block.alt)
            case Table():
                yield block.caption
                yield " ".join(column.title for column in block.columns)
                yield from (" ".join(row) for row in block.rows)


def unshown(view: View, card: ExperimentCard, draw: Draw) -> list[Cell]:
    """Cells with rows that the section could do without, or none of whose values can be read in it."""
    whole = draw(view)
    text = "\n".join(said(whole))
    found = []
    for cell in cells(card):
        rows = within(view.summary, card, cell)
        less = replace(view, summary=view.summary[~rows])
        values = replace(view, summary=view.summary[rows]).measured
        readable = any(measured.bare(r) in text and r.interval in text for r in values)
        if values and (draw(less) == whole or not readable):
            found.append(cell)
    return found


def test_every_statistic_is_written_under_every_condition_or_absent_with_its_reason() -> None:
    not_written, not_valued = set(), set()
    for card, _ in SECTIONS.values():
        view = view_of(card.name)
        for cell in cells(card):
            if not within(view.summary, card, cell).any():
                gone = view.absent[within(view.absent, card, cell)]
                (not_valued if len(gone) else not_written).add((card.name, *cell))
                assert (gone["reason"].str.len() > 10).all()
    assert not_written == set(NOT_WRITTEN)
    assert not_valued == set(NOT_VALUED)


@each_section
def test_the_section_shows_every_statistic_under_every_condition(name: str) -> None:
    card, draw = SECTIONS[name]
    assert not unshown(view_of(name), card, draw)


@each_section
def test_so_does_the_drawing_that_knows_only_the_card(name: str) -> None:
    card, _ = SECTIONS[name]
    assert not unshown(view_of(name), card, generic(card))


def test_the_check_sees_what_is_not_shown() -> None:
    """The positive control: a section that draws nothing, and one that leaves one condition out."""
    card, draw = SECTIONS["known_norms"]
    view = view_of("known_norms")
    assert unshown(view, card, lambda view: ()) == list(cells(card))

    def without_raw(view: View) -> tuple[Block | Part, ...]:
        return draw(replace(view, summary=view.summary[view.summary["condition"] != "raw"]))

    assert unshown(view, card, without_raw) == [("norm_auc", "raw"), ("norm_d", "raw")]


@pytest.mark.parametrize(("name", "statistic", "condition"), {**NOT_WRITTEN, **NOT_VALUED})
def test_what_nothing_here_has_a_value_of_would_be_shown(name: str, statistic: str, condition: str | None) -> None:
    """A row by hand, made from one that was written."""
    card, draw = SECTIONS[name]
    view = view_of(name)
    value = 1234.0 if card.statistic(statistic).unit == "count" else 0.1234
    like = view.summary[view.summary["experiment"] == name]
    like = like[like["statistic"] == statistic] if (like["statistic"] == statistic).any() else like
    row = like.iloc[[-1]].assign(statistic=statistic, condition=condition, value=value)
    more = replace(view, summary=pd.concat([view.summary, row], ignore_index=True))
    shown = "\n".join(said(draw(more)))
    assert draw(more) != draw(view) and any(figure in shown for figure in ("12.3 %", "0.123", "0.12 nats", "1,234"))


# conditions that a section asks for by their name, since it says something of each that no table of all could say
CHOSEN: dict[str, set[Cell]] = {
    "key_or_value": {("accuracy", "clean"), ("accuracy_cls", "clean")},  # the guide, and the caption
    "layer_probes": {("layer_alone", "least")},  # the line of the table that has no layer
    "local_processing": {
        ("truncated_cosine", "all"),  # lines over lengths, where the others are lines over kinds
    },
    "memorisation": {
        ("facts_agree", "two_correlated_facts"),  # the pictures, each with words of its own
        *(("accuracy_seen", c) for c in ("random_colours", "checkerboard_3", "checkerboard_with_exceptions")),
        ("accuracy_seen", "two_correlated_facts"),
        ("bits_per_parameter", "memorisation"),  # the one task that needs storing
    },
    "capacity": {("facts_stored", "trained"), ("facts_stored", "by_hand")},  # two tables
    "readout": {(name, "selection") for name in ("n_readout_heads", "flip_gain", "temperature")},  # the caption says it
}


@each_section
def test_a_condition_that_is_renamed_is_drawn_all_the_same(name: str) -> None:
    """Under its own name: no section loses what it has no word for."""
    card, draw = SECTIONS[name]
    view, lost = view_of(name), set()
    for cell in cells(card):
        rows = within(view.summary, card, cell)
        if cell[1] is not None and rows.any():
            renamed = view.summary.assign(condition=view.summary["condition"].where(~rows, "renamed"))
            text = "\n".join(said(draw(replace(view, summary=renamed))))
            lost |= set() if "renamed" in text else {cell}
    assert lost == CHOSEN.get(name, set())


def test_a_users_own_experiment_is_framed_and_drawn_from_its_card() -> None:
    view = view_of("brought")
    card = measured.Brought.card
    (section,) = [s for s in build_document(view).sections if s.name == card.name]
    assert section.title == card.title
    first, second, *blocks, absent, source = section.blocks
    assert isinstance(first, Paragraph) and (first.text, first.role) == (card.question, "question")
    assert isinstance(second, Paragraph) and (second.text, second.role) == (card.method, "method")
    assert isinstance(source, Paragraph) and source.text == "a user's own."
    assert isinstance(absent, Table) and absent.rows[0][::2] == ("not_here", "nobody has looked")
    charts = [chart for block in blocks if isinstance(block, Figure) for chart in block.charts]
    assert [type(chart).__name__ for chart in charts] == ["XYChart", "Heatmap", "BarChart"]
    curve, matrix, bars = charts
    assert [s.name for s in curve.series] == ["clean", "with one edge cut"] and curve.y.percent
    assert curve.series[0].y == (0.0, 0.1, 0.2, 0.3) and curve.series[0].x == (0.0, 1.0, 2.0, 3.0)
    assert matrix.values[3] == (3.0, 2.0, 1.0) and matrix.unit == "logit"
    assert bars.categories == ("baseball", "basketball", "football") and bars.value.title.endswith("(nats)")
    tables = [block for block in blocks if isinstance(block, Table)]
    assert [len(table.rows) for table in tables] == [8, 12, 3, 1]
    assert tables[3].rows == (("41",),)
    assert not unshown(view, card, generic(card))
