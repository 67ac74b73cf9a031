"""Plain JSON records: a list of objects whose keys are columns, long or wide."""

from __future__ import annotations

from typing import Any

from rote.facts.readers.columns import rows_of_columns
from rote.facts.readers.objects import objects_of
from rote.facts.rows import RawFact

LOOKS = '[{"entity": "…", "relation": "…", "attribute": "…"}] or [{"entity": "…", "sport": "…"}]'


def matches(data: Any) -> bool:
    """Whether a parsed document is in this layout."""
    return isinstance(data, list) and bool(data) and isinstance(data[0], dict)


def rows(data: list[Any], source: str) -> tuple[RawFact, ...]:
    """The objects as rows of a table; keys that an object lacks are empty cells."""
    items = objects_of(data, source)
    columns = list(dict.fromkeys(key for item in items for key in item))
    return rows_of_columns(columns, ([item.get(key) for key in columns] for item in items), source)
