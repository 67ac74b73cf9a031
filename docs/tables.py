"""`python docs/tables.py`: fill the tables of docs/lineup.md from the catalog, between their markers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from pathlib import Path

import markers

from rote.catalog import CONTROLS, HYPOTHESES, PREDICTIONS, predictions

PAGE = Path(__file__).parent / "lineup.md"
SIDES = (attrgetter("with_controls"), attrgetter("without_controls"))


def controls() -> str:
    """Every control: what is true of it, whether it is matched, and the hypotheses for which it is a reference."""
    lines = [
        "| control | true of it by construction | matched | with the property | without |",
        "|---|---|---|---|---|",
    ]
    for control in CONTROLS:
        with_, without = (_listed(p.hypothesis for p in PREDICTIONS if control.name in side(p)) for side in SIDES)
        code = f" ({control.letter})" if control.letter else ""
        matched = "exempt" if control.exempt else "yes"
        lines.append(f"| `{control.name}`{code} | {control.true_of_it} | {matched} | {with_} | {without} |")
    return "\n".join(lines)


def _listed(hypotheses: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(hypotheses)).replace("_", " ") or "–"


def cells() -> str:
    """Every cell: the hypothesis, the statistic, and the references on both sides."""
    lines = ["| hypothesis | statistic | with | without |", "|---|---|---|---|"]
    for hypothesis in HYPOTHESES:
        for p in predictions(hypothesis.name):
            sides = (", ".join(f"`{name}`" for name in side) for side in (p.with_controls, p.without_controls))
            condition = f" ({p.select.condition})" if p.select.condition else ""
            where = f"[`{p.statistic}`](experiments.md#{p.experiment}){condition}"
            lines.append(f"| {hypothesis.title} | {where} | {' | '.join(sides)} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {"controls": controls, "cells": cells}


def filled(text: str) -> str:
    """The page with its tables made anew; ValueError where a marker is missing."""
    return markers.filled(text, TABLES, "catalog")


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
