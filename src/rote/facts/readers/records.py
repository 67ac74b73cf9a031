"""Plain JSON records: a list of objects whose keys are columns, long or wide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rote.facts.intake import RawFact
from rote.facts.readers.columns import rows_of_columns
from rote.facts.readers.objects import no_object

LOOKS = '[{"entity": "…", "relation": "…", "attribute": "…"}] or [{"entity": "…", "sport": "…"}]'


def matches(data: Any) -> bool:
    """Whether a parsed document is in this layout."""
    return isinstance(data, list) and bool(data) and isinstance(data[0], dict)


def rows(data: Sequence[Any], source: str) -> Iterator[RawFact]:
    """The objects as rows of a table; keys that an object lacks are empty cells. `FactsError` as `rows_of_columns`."""
    return rows_of_items(columns_of(data), data, source)


def columns_of(items: Iterable[Any]) -> list[str]:
    """Every key once, in order of first appearance."""
    return list(dict.fromkeys(key for item in items if isinstance(item, dict) for key in item))


def rows_of_items(columns: Sequence[str], items: Iterable[Any], source: str) -> Iterator[RawFact]:
    """Rows of objects with known keys, one at a time; broken lines pass. `FactsError` as `rows_of_columns` says."""
    return rows_of_columns(columns, _cells(columns, items, source), source)


def _cells(columns: Sequence[str], items: Iterable[Any], source: str) -> Iterator[list[Any] | RawFact]:
    for number, item in enumerate(items, 1):
        if isinstance(item, dict):
            yield [item.get(key) for key in columns]
        else:
            yield item if isinstance(item, RawFact) else no_object(number, item, source)
