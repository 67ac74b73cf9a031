"""What was measured, told of another world: other names, more layers and heads, fewer facts known, other values.

The rows are those that the experiments wrote (`measured`); only the strings and numbers that a test is about are
others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from measured import records

from rote.records import Record, Row

LAYERS, HEADS = 6, 4  # of the bundled organism
CLASSES = ("baseball", "basketball", "football")


@dataclass(frozen=True, kw_only=True)
class World:
    """What a run is about; the defaults are what was measured.

    Attributes:
        classes: what the organism's classes are called, as far as they go.
        first_names: of the entities, in turn; their own where there are none.
        n_layers, n_heads: layers and heads beyond the organism's are copies of its own.
        shift: of every value, so that two runs differ: as many hundredths, in a pattern that differs from row to row.
    """

    model: str = "organisms/bundled"
    relation: str = "sport"
    classes: tuple[str, ...] = CLASSES
    first_names: tuple[str, ...] = ()
    n_layers: int = LAYERS
    n_heads: int = HEADS
    known_share: float = 1.0
    shift: int = 0
    extra_study: dict[str, Any] = field(default_factory=dict)

    @property
    def window(self) -> tuple[int, int]:
        found = {r.statistic: int(r.value) for r in records()["lookup_window"].rows if r.statistic.startswith("lookup")}
        return found["lookup_start"], found["lookup_stop"]

    @property
    def n_facts(self) -> int:
        return len(records()["known_facts"].tables["facts"])

    def word(self, text: str | None) -> str | None:
        """A relation, a class, or a condition that names one, as it is called here."""
        words = {self.relation: "sport", "sport": self.relation, **dict(zip(CLASSES, self.classes, strict=False))}
        before, colon, name = (text or "").rpartition(":")
        return f"{before}{colon}{words.get(name, name)}" if text else text

    def record(self, experiment: str) -> Record:
        """What the experiment wrote, told of this world."""
        found = records()[experiment]
        told = (_shifted(self, i, _renamed(self, r)) for i, r in enumerate(found.rows))
        return Record(
            rows=tuple(copy for row in told for copy in _copies(self, row)),
            absent=tuple(_renamed(self, gone) for gone in found.absent),
            tables={name: _table(self, frame) for name, frame in found.tables.items()},
        )


def _renamed(world: World, row: Any) -> Any:
    parameters = json.loads(row.parameters or "{}")
    if "relations" in parameters:
        parameters["relations"] = [world.word(name) for name in parameters["relations"]]
    names = {name: world.word(getattr(row, name)) for name in ("relation", "cls", "condition")}
    return replace(row, parameters=parameters or None, **names)


def _shifted(world: World, i: int, row: Row) -> Row:
    if not world.shift or row.ci_low is None or row.ci_high is None:
        return row
    by = world.shift * (i % 7 - 3) / 100
    return replace(row, value=row.value + by, ci_low=row.ci_low + by, ci_high=row.ci_high + by)


def _copies(world: World, row: Row) -> Iterator[Row]:
    """The row on every layer and head that its own stands for."""
    if row.layer is None or row.statistic == "top_head":
        yield row
        return
    for layer in range(row.layer, world.n_layers, LAYERS) if row.layer >= 0 else (row.layer,):
        heads = [None] if row.head is None else range(row.head, world.n_heads, HEADS)
        yield from (replace(row, layer=layer, head=head) for head in heads)


def _table(world: World, frame: pd.DataFrame) -> pd.DataFrame:
    told = frame.copy()
    for name in ("relation", "attribute", "cls", "prediction_cls"):
        if name in told:
            told[name] = [world.word(value) for value in told[name]]
    if world.first_names and "first" in told:
        first = [world.first_names[i % len(world.first_names)] for i in range(len(told))]
        told["entity"] = [f"{a} {b}" for a, b in zip(first, told["last"], strict=True)]
        told["first"] = first
    if "known" in told:
        told["known"] = np.arange(len(told)) < round(world.known_share * len(told))
    return told


def row(experiment: str, statistic: str, value: float, *, width: float = 0.03, **key: Any) -> Row:
    """A row by hand."""
    key = {"stack": "model", "n": 120, "unit": "fraction"} | key
    low, high = value - width, value + width
    if key["unit"] == "fraction":
        low, high = max(low, 0.0), min(high, 1.0)
    return Row(experiment=experiment, statistic=statistic, value=value, ci_low=low, ci_high=high, **key)
