"""The frame of every section: question, method, drawing, published values, absent values, source."""

from __future__ import annotations

from collections.abc import Callable

from rote.experiments import CARDS, TOY_CARDS, TRAINED_CARDS
from rote.catalog import ExperimentCard
from rote.page.document import Block, Column, Paragraph, Part, Section, Table
from rote.toys.memorisation import bagging_section as bagging, section as memorisation
from rote.toys.capacity import section as capacity
from rote.experiments.class_neurons import section as class_neurons
from rote.experiments.concatenation import section as concatenation
from rote.experiments.direct_effects import section as direct_effects
from rote.experiments.effective_model import section as effective_model
from rote.experiments.head_attention import section as head_attention
from rote.experiments.key_or_value import section as key_or_value
from rote.experiments.known_facts import section as known_facts
from rote.experiments.known_norms import section as known_norms
from rote.experiments.layer_probes import section as layer_probes
from rote.experiments.linear_structure import section as linear_structure
from rote.experiments.local_processing import section as local_processing
from rote.experiments.lookup_window import section as lookup_window
from rote.experiments.nonlinear_excess import section as nonlinear_excess
from rote.toys.organism_capacity import section as organism_capacity
from rote.experiments.orthogonal_remainder import section as orthogonal_remainder
from rote.experiments.path_ablation import section as path_ablation
from rote.experiments.readout import section as readout
from rote.experiments.shared_neurons import section as shared_neurons
from rote.experiments.value_inputs import section as value_inputs
from rote.page.shapes import VALUE, Cell
from rote.page.shapes import table as values_table
from rote.report.published import published_table
from rote.page.view import Missing, View

Draw = Callable[[View], tuple[Block | Part, ...]]

SECTIONS: tuple[tuple[str, Draw], ...] = (
    (known_facts.EXPERIMENT, known_facts.blocks),
    (direct_effects.EXPERIMENT, direct_effects.blocks),
    (head_attention.EXPERIMENT, head_attention.blocks),
    (value_inputs.EXPERIMENT, value_inputs.blocks),
    (key_or_value.EXPERIMENT, key_or_value.blocks),
    (readout.EXPERIMENT, readout.blocks),
    (concatenation.EXPERIMENT, concatenation.blocks),
    (lookup_window.EXPERIMENT, lookup_window.blocks),
    (effective_model.EXPERIMENT, effective_model.blocks),
    (layer_probes.EXPERIMENT, layer_probes.blocks),
    (path_ablation.EXPERIMENT, path_ablation.blocks),
    (linear_structure.EXPERIMENT, linear_structure.blocks),
    (known_norms.EXPERIMENT, known_norms.blocks),
    (shared_neurons.EXPERIMENT, shared_neurons.blocks),
    (class_neurons.EXPERIMENT, class_neurons.blocks),
    (nonlinear_excess.EXPERIMENT, nonlinear_excess.blocks),
    (orthogonal_remainder.EXPERIMENT, orthogonal_remainder.blocks),
    (memorisation.EXPERIMENT, memorisation.blocks),
    (bagging.EXPERIMENT, bagging.blocks),
    (capacity.EXPERIMENT, capacity.blocks),
    (local_processing.EXPERIMENT, local_processing.blocks),
    (organism_capacity.EXPERIMENT, organism_capacity.blocks),
)
_MAX_ABSENT, _MAX_OWN = 40, 200


def experiment_sections(view: View) -> tuple[Section, ...]:
    """A section for every experiment with rows, and one table of those without, with their reasons."""
    draw = dict(SECTIONS)
    measured = {row.experiment for row in view.measured}
    cards = TOY_CARDS if view.is_toy else (*CARDS, *TRAINED_CARDS)
    sections = [_section(view, card, draw[card.name]) for card in cards if card.name in measured]
    told = dict.fromkeys((*(r.experiment for r in view.measured), *(m.experiment for m in view.missing)))
    sections += [_own(view, name) for name in told if name not in draw]
    silent = tuple(card for card in CARDS if card.name not in measured)
    if view.study.get("facts") is None:  # nobody asked for anything but these
        silent = tuple(card for card in silent if view.reasons(card.name))
    if silent and not view.is_toy:
        sections.append(_not_measured(view, silent))
    return tuple(sections)


def _section(view: View, card: ExperimentCard, draw: Draw) -> Section:
    blocks: list[Block | Part] = [
        Paragraph(text=card.question, role="question"),
        Paragraph(text=card.method, role="method"),
        *draw(view),
    ]
    if card.published and view.is_pythia:
        blocks.append(published_table(view, card))
    missing = tuple(m for m in view.missing if m.experiment == card.name)
    if missing:
        blocks.append(_absent_table(missing))
    blocks.append(Paragraph(text=f"{card.source}.", role="source"))
    return Section(name=card.name, title=card.title, blocks=tuple(blocks))


def _own(view: View, name: str) -> Section:
    """An experiment that has no section: its rows as they are."""
    rows, words = view.rows(name), name.replace("_", " ")
    caption = f"Its values{f', the first {_MAX_OWN} of {len(rows):,}' if len(rows) > _MAX_OWN else ''}"
    cells: tuple[Cell, ...] = (("statistic", lambda r: r.statistic, False), ("where", lambda r: r.where, False), *VALUE)
    blocks = [values_table(caption, rows[:_MAX_OWN], *cells)] if rows else []
    if missing := tuple(m for m in view.missing if m.experiment == name):
        blocks.append(_absent_table(missing))
    return Section(name=name, title=words[:1].upper() + words[1:], blocks=tuple(blocks))


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
