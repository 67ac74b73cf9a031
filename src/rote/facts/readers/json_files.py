"""json and jsonl files: parsed, then given to the first layout that recognises them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from rote.errors import FactsError
from rote.facts.intake import RawFact, broken
from rote.facts.readers import counterfact, easyedit, known_1000, lre, records, rote_json
from rote.facts.readers.files import file_text, text_lines
from rote.facts.table import listed


@dataclass(frozen=True, kw_only=True)
class JsonLayout:
    """One published layout: how it is recognised and how it is read."""

    name: str
    looks: str
    matches: Callable[[Any], bool]
    rows: Callable[[Any, str], Iterable[RawFact]]


JSON_LAYOUTS: tuple[JsonLayout, ...] = (
    JsonLayout(name="rote", looks=rote_json.LOOKS, matches=rote_json.matches, rows=rote_json.rows),
    JsonLayout(name="LRE", looks=lre.LOOKS, matches=lre.matches, rows=lre.rows),
    JsonLayout(name="CounterFact", looks=counterfact.LOOKS, matches=counterfact.matches, rows=counterfact.rows),
    JsonLayout(name="EasyEdit", looks=easyedit.LOOKS, matches=easyedit.matches, rows=easyedit.rows),
    JsonLayout(name="known_1000", looks=known_1000.LOOKS, matches=known_1000.matches, rows=known_1000.rows),
    JsonLayout(name="records", looks=records.LOOKS, matches=records.matches, rows=records.rows),
)


def read_json(path: Path) -> Iterable[RawFact]:
    """One JSON document in any of `JSON_LAYOUTS`; `FactsError` where it is none, or in no layout."""
    return rows_of_json(parse_json(file_text(path), str(path)), str(path))


def read_jsonl(path: Path) -> Iterable[RawFact]:
    """One JSON object per line, in any layout that is a list; empty lines are skipped.

    The layout is that of the first object. Plain records are read twice, first for their keys, so that one line at a
    time is in memory. `FactsError` where the file is no UTF-8, or in no layout.
    """
    whole = (item for item in _items(path) if not isinstance(item, RawFact))
    head = list(islice(whole, 1))
    if not head:
        return chain(_items(path), _none(path))
    if records.matches(head) and not any(layout.matches(head) for layout in JSON_LAYOUTS[:-1]):
        return records.rows_of_items(records.columns_of(_items(path)), _items(path), str(path))
    return rows_of_json(head, str(path), _items(path))


def _none(path: Path) -> Iterator[RawFact]:
    """Nothing after broken lines, and the refusal of an empty list where there were none either."""
    if next(_items(path), None) is None:
        yield from rows_of_json([], str(path))


def _items(path: Path) -> Iterator[Any]:
    """What every line holds; a line that is no JSON as a broken line."""
    for number, line in enumerate(text_lines(path), 1):
        if line.strip():
            try:
                yield parse_json(line, f"{path}, line {number}")
            except FactsError as error:
                yield broken(error.problems[0])


def parse_json(text: str, source: str) -> Any:
    """The parsed document; `FactsError` with the place where it breaks, and for an object with a key twice."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise FactsError(
            f"{source} is no readable JSON ({error}); expected one complete JSON document: correct it there"
        ) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's pairs; json alone would silently keep the last of two equal keys."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        raise ValueError(f"an object has the keys {listed(twice, 5)} more than once")
    return found


def rows_of_json(data: Any, source: str, items: Iterable[Any] | None = None) -> Iterable[RawFact]:
    """Rows of a document by the first layout that matches; `FactsError` naming all layouts otherwise.

    `items` are read instead of `data`, which then shows the layout alone.
    """
    for layout in JSON_LAYOUTS:
        if layout.matches(data):
            return layout.rows(data if items is None else items, source)
    known = "; ".join(f"{layout.name}: {layout.looks}" for layout in JSON_LAYOUTS)
    raise FactsError(f"{source} holds {_seen(data)}; expected one of these layouts: {known}")


def _seen(data: Any) -> str:
    if isinstance(data, dict):
        return f"one object with {_keys(data)}"
    if not isinstance(data, list):
        return f"a single {type(data).__name__}"
    if not data:
        return "an empty list"
    if isinstance(data[0], dict):
        return f"a list of objects with {_keys(data[0])}"
    return f"a list of {type(data[0]).__name__} values"


def _keys(data: dict[str, Any]) -> str:
    return f"the keys {listed(data, 8)}"
