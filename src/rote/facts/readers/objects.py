"""What the JSON layouts share: lists of objects, cells by path, templates from full prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rote.facts.cells import cell_answers
from rote.facts.intake import RawFact, broken
from rote.facts.rows import cell_text
from rote.facts.table import SLOT, cut


def each_object(items: Iterable[Any], row: Callable[[int, dict[str, Any]], RawFact], source: str) -> Iterator[RawFact]:
    """A row of every object; an item that is none is a broken line, and broken lines pass."""
    for number, item in enumerate(items, 1):
        if isinstance(item, dict):
            yield row(number, item)
        else:
            yield item if isinstance(item, RawFact) else no_object(number, item, source)


def no_object(number: int, item: Any, source: str) -> RawFact:
    """The broken line for an item that is no object."""
    return broken(f"{source}, item {number}: a {type(item).__name__}; expected an object like the first")


def first_has(data: Any, *keys: str) -> bool:
    """Whether `data` is a list whose first item is an object with these keys."""
    return isinstance(data, list) and bool(data) and isinstance(data[0], dict) and set(keys) <= set(data[0])


def cells(entity: object, attribute: object) -> dict[str, Any]:
    """Entity, attribute, aliases and problem of one object's two cells, as `RawFact` takes them."""
    name, name_problem = cell_text(entity, "entity")
    value, aliases, problem = cell_answers(attribute)
    return {"entity": name, "attribute": value, "aliases": aliases, "problem": name_problem or problem}


def template_of_prompt(prompt: object, subject: str) -> tuple[str | None, str]:
    """(template, problem): the prompt with its subject replaced by the slot.

    A prompt that holds the subject never or several times, or a slot of its own, gives a problem: which
    part of it is the name would be a guess.
    """
    if not isinstance(prompt, str):
        return None, f"the prompt is a {type(prompt).__name__}; expected text"
    count = prompt.count(subject) if subject else 0
    if count != 1 or SLOT in prompt:
        return None, f"the prompt {cut(prompt)!r} holds the subject {subject!r} {count} times; expected once"
    return prompt.replace(subject, SLOT), ""
