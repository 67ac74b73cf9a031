"""json and jsonl files: parsed, then given to the first layout that recognises them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rote.errors import FactsError
from rote.facts.readers import counterfact, easyedit, known_1000, lre, records, rote_json
from rote.facts.readers.files import file_text
from rote.facts.rows import RawFact
from rote.facts.table import listed, shortened


@dataclass(frozen=True, kw_only=True)
class JsonLayout:
    """One published layout: how it is recognised and how it is read."""

    name: str
    looks: str
    matches: Callable[[Any], bool]
    rows: Callable[[Any, str], tuple[RawFact, ...]]


JSON_LAYOUTS: tuple[JsonLayout, ...] = (
    JsonLayout(name="rote", looks=rote_json.LOOKS, matches=rote_json.matches, rows=rote_json.rows),
    JsonLayout(name="LRE", looks=lre.LOOKS, matches=lre.matches, rows=lre.rows),
    JsonLayout(name="CounterFact", looks=counterfact.LOOKS, matches=counterfact.matches, rows=counterfact.rows),
    JsonLayout(name="EasyEdit", looks=easyedit.LOOKS, matches=easyedit.matches, rows=easyedit.rows),
    JsonLayout(name="known_1000", looks=known_1000.LOOKS, matches=known_1000.matches, rows=known_1000.rows),
    JsonLayout(name="records", looks=records.LOOKS, matches=records.matches, rows=records.rows),
)


def read_json(path: Path) -> tuple[RawFact, ...]:
    """One JSON document in any of `JSON_LAYOUTS`."""
    return rows_of_json(parse_json(file_text(path), str(path)), str(path))


def read_jsonl(path: Path) -> tuple[RawFact, ...]:
    """One JSON object per line, together in any layout that is a list; empty lines are skipped."""
    parsed = []
    problems: list[str] = []
    for number, line in enumerate(file_text(path).split("\n"), 1):
        if line.strip():
            try:
                parsed.append(parse_json(line, f"{path}, line {number}"))
            except FactsError as error:
                problems += error.problems
    if problems:
        raise FactsError(shortened(problems))
    return rows_of_json(parsed, str(path))


def parse_json(text: str, source: str) -> Any:
    """The parsed document; `FactsError` with the place where it breaks."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FactsError(
            f"{source} is no readable JSON ({error}); expected one complete JSON document: correct it there"
        ) from error


def rows_of_json(data: Any, source: str) -> tuple[RawFact, ...]:
    """Rows of a document by the first layout that matches; `FactsError` naming all layouts otherwise."""
    for layout in JSON_LAYOUTS:
        if layout.matches(data):
            return layout.rows(data, source)
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
