"""The answer of organism_capacity in words, computed from its rows and its table alone."""

from __future__ import annotations

from rote.page.document import KeyFigure, Lead
from rote.page.view import View
from rote.toys.organism_capacity.section import EXPERIMENT, sentence


def organism_lead(view: View) -> Lead:
    """What the organisms held."""
    table = view.table(EXPERIMENT, "organisms")
    n_organisms = 0 if table is None else len(table)
    about = f"{n_organisms} small transformers were trained on random facts, each fact read equally often."
    rows = view.rows(EXPERIMENT, "capacity_exponent", condition="parameters")
    figures = tuple(
        KeyFigure(label=f"exponent, {r.parameters['exposures']} exposures", value=r.number, detail=r.interval)
        for r in rows
    )
    return Lead(headline=sentence(view), sentences=(about,), figures=figures)
