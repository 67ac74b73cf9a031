"""Which controls may stand for their mechanism in a relation, and why the others may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from rote.records.outcomes import Position
from rote.records.picking import Cell


@dataclass(frozen=True, kw_only=True)
class Side:
    """The controls on one side of a cell: those with a value that may be used, and why each other may not."""

    positions: tuple[Position, ...]
    missing: tuple[str, ...] = ()


class References:
    """The controls of one relation, as controls.parquet describes them."""

    def __init__(self, controls: pd.DataFrame, relation: str) -> None:
        mine = controls[controls["relation"] == relation]
        self._rows = {str(row["control"]): row for row in mine.to_dict("records")}

    @property
    def built(self) -> bool:
        """Whether any control was built for this relation."""
        return bool(self._rows)

    def side(self, cell: Cell, names: Sequence[str]) -> Side:
        """The positions of the named controls; a control without a usable one is left out, with its reason.

        RunError where one has several rows that would decide.
        """
        positions: list[Position] = []
        missing: dict[str, list[str]] = {}
        for name in names:
            reason = self._unusable(name)
            position = cell.position(name) if reason is None else None
            if position is not None:
                positions.append(position)
            else:
                missing.setdefault(reason or cell.reason(name), []).append(name)
        why = (f"{', '.join(found)}: {reason}" for reason, found in missing.items())
        return Side(positions=tuple(positions), missing=tuple(why))

    def _unusable(self, name: str) -> str | None:
        row = self._rows.get(name)
        if row is None:
            return "was not built"
        if _true(row["matched"]) or _true(row["exempt"]):
            return None
        given = row.get("reason")
        return "unmatched" + (f" ({given})" if isinstance(given, str) and given else "")


def _true(value: object) -> bool:
    """True for True, also numpy's; False for False and for an empty entry."""
    return not pd.isna(value) and bool(value)  # type: ignore[call-overload]
