"""A run folder as a View: study.json, summary, absent values, verdicts, and long tables when a section asks for one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from rote.catalog import ExperimentCard
from rote.catalog.types import card_from
from rote.errors import RunError
from rote.experiments import ENTRIES
from rote.page.view import View
from rote.records import RunFolder
from rote.records.outcomes import Outcome, read_outcome
from rote.toys import TOYS


def load_view(run: RunFolder) -> View:
    """The tables of a finished run; RunError where the run is not finished."""
    if not run.finished:
        raise RunError(f"{run.path} has no summary yet: run the study again, it goes on where it was.")
    names = set(run.tables())

    def table(experiment: str, name: str) -> pd.DataFrame | None:
        return run.table(experiment, name) if (experiment, name) in names else None

    return View(
        study=run.study,
        summary=run.summary,
        absent=run.absent,
        table=table,
        outcomes=load_outcomes(run),
        cards=cards_of(run.study),
    )


def cards_of(study: Mapping[str, Any]) -> dict[str, ExperimentCard]:
    """The cards of rote's own experiments and toys, and of those that a user brought to a study."""
    own = [card for toy in TOYS for card in toy.cards]
    brought = [card_from(told["card"]) for told in study.get("own_experiments", {}).values()]
    return {card.name: card for card in (*(entry.card for entry in ENTRIES), *own, *brought)}


def load_outcomes(run: RunFolder) -> tuple[Outcome, ...]:
    """The verdicts; none where nothing has been judged. RunError where the file is not in the public format."""
    path = run.path / "outcomes.json"
    if not path.is_file():
        return ()
    try:
        return tuple(read_outcome(entry) for entry in json.loads(path.read_bytes()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path} cannot be read as a list of verdicts ({type(error).__name__}: {error}). "
            "Delete it and judge the run again."
        ) from error
