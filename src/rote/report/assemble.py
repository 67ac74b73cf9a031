"""A run as a Document: the answer first, then the experiments, then how it was run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from rote.experiments.entry import Draw
from rote.page.document import Column, Document, Lead, Paragraph, Section, Table
from rote.page.view import View
from rote.report.circuit_found import circuit_found, relations_found
from rote.report.lead import lead_of
from rote.report.lineup.section import judgements, line_up_section
from rote.report.sections import experiment_sections, toy_sections
from rote.report.without_facts import FOOTER, asked_facts, lead_without_facts, title_without_facts
from rote.toys import Toy, toy

_MAX_LEADS = 3
_MAX_VALUE = 300
_FOOTER = (
    "Values in brackets are 95 % percentile intervals. Every choice was made on one half of the entities and "
    "reported on the other. All values: summary.parquet and summary.json beside this file. Method: the Fact "
    "Finding study (Nanda, Rajamanoharan, Kramár, Shah; December 2023)."
)


def build_document(view: View, sections: Mapping[str, Draw] | None = None) -> Document:
    """Everything the report says about one run; `sections` draw experiments that are not rote's own, by name."""
    if view.is_toy:
        return _of_toy(view, toy(str(view.study["toy"])))
    facts = asked_facts(view)
    relations = relations_found(view) if facts else ()
    leads = tuple(
        replace(
            lead_of(circuit_found(view, relation), of_several=len(relations) > 1),
            judgements=judgements(tuple(o for o in view.outcomes if o.relation in (relation, None))),
        )
        for relation in relations[:_MAX_LEADS]
    )
    if view.study.get("rehearsal"):
        leads = (_rehearsal(view),)
    line_up = line_up_section(view)
    model = str(view.study.get("model", "")) or "a language model"
    short = model.rstrip("/").rsplit("/", 1)[-1]
    experiments = len({row.experiment for row in view.measured})
    left = len(relations) - _MAX_LEADS
    further = f" {left} further relations follow below." if left > 0 else ""
    plural = "" if experiments == 1 else "s"
    return Document(
        title=f"How {short} recalls facts" if facts else title_without_facts(view, short),
        subtitle=f"Model {model}; {len(view.measured):,} values of {experiments} experiment{plural}{_beside(view)}."
        + further,
        leads=leads if facts else (lead_without_facts(view),),
        sections=(*experiment_sections(view, sections or {}), _how(view.study)),
        footer=_FOOTER if facts else FOOTER,
        front=(line_up,) if line_up else (),
    )


def _of_toy(view: View, toy: Toy) -> Document:
    return Document(
        title=toy.title,
        subtitle=f"{len(view.measured):,} values; {toy.subtitle}.",
        leads=(toy.lead(view),),
        sections=(*toy_sections(view, toy), _how(view.study)),
        footer=toy.footer,
    )


def _rehearsal(view: View) -> Lead:
    """Nothing that a rehearsal measured is a finding, so the first screen gives none."""
    return Lead(
        headline="This is a rehearsal: every fact counts as known, and nothing here is a finding.",
        sentences=(
            "It shows how long each part of a study takes and what memory it needs, for instance on random weights.",
            f"{len(view.measured):,} values were computed as in a study; no verdict can be taken from any of them.",
        ),
    )


def _beside(view: View) -> str:
    if not view.controls:
        return ""
    return f", beside {view.n_control_values:,} values of {len(view.controls)} controls"


def _how(study: Mapping[str, Any]) -> Section:
    rows = tuple(_flat("", study))
    table = Table(
        caption="The fields of study.json",
        columns=(Column(title="field"), Column(title="value")),
        rows=rows,
    )
    nothing = Paragraph(text="study.json holds no fields.", role="note")
    return Section(name="how_it_was_run", title="How it was run", blocks=(table if rows else nothing,))


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """Nested fields as dotted names; lists, and mappings that are empty, on one line."""
    if isinstance(value, Mapping) and (value or not prefix):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
        return
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    yield prefix, text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 1] + "…"
