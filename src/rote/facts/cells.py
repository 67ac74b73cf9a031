"""Cells that hold right answers, one or several, or where a name is cut."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import numpy as np

from rote.facts.parts import outside
from rote.facts.rows import cell_text
from rote.facts.table import cut as shown

MOST_ANSWERS = 256
_EMPTY = "the attribute is empty"
_WHOLE = re.compile(r"([+-]?[0-9]{1,9})(?:\.0*)?")


def cell_answers(value: object) -> tuple[str, tuple[str, ...], str]:
    """An attribute's cell as (text, other answers that are right as well, problem); text or problem is "".

    Several right answers stand in a list, one in the other (`[["Rome"]]`) or not, or in its JSON text
    (`["politician", "political leader"]`). Text that is no JSON list is one answer as it stands.
    """
    listed = _listed(value)
    if listed is None:
        text, problem = cell_text(value, "attribute")
        return text, (), problem
    texts: dict[str, None] = {}
    for item in _flat(listed):
        text, problem = cell_text(item, "attribute")
        if problem and problem != _EMPTY:
            return "", (), f"{problem}, in a list of right answers"
        if text:
            texts[text] = None
    if len(texts) > MOST_ANSWERS:
        return "", (), f"the attribute is a list of {len(texts):,} right answers; at most {MOST_ANSWERS} are taken"
    first, *others = texts or [""]
    return first, tuple(others), "" if first else _EMPTY


def cell_cut(value: object, name: str) -> tuple[int | None, str]:
    """Where a name is cut as (characters of its first part, problem); None where the cell is empty, or is wrong."""
    text, problem = cell_text(value, "cut")
    if not text:
        return None, "" if problem == "the cut is empty" or not problem else problem
    found = _WHOLE.fullmatch(text)
    if found is None:
        return None, f"the cut is {shown(text, 40)!r}; expected a whole number, the characters of the name's first part"
    at = int(found[1])
    if name and not 0 < at < len(name):
        return None, outside(name, at)
    return at, ""


def _listed(value: object) -> list[object] | None:
    """The list that a cell is or spells; None where it is none."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return list(value)
    if not isinstance(value, str) or not value.strip().startswith("["):
        return None
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _flat(items: list[object]) -> Iterator[object]:
    """The items of lists within lists, in order; without recursion, since a file may nest them as deep as it likes."""
    waiting = items[::-1]
    while waiting:
        item = waiting.pop()
        if isinstance(item, (list, tuple, np.ndarray)):
            waiting += list(item)[::-1]
        else:
            yield item
