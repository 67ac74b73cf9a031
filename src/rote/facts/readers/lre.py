"""Relation files of the LRE data set (Hernandez et al. 2023), one relation per file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rote.errors import FactsError
from rote.facts.intake import RawFact
from rote.facts.readers.objects import cells, each_object

LOOKS = '{"name": "…", "prompt_templates": ["… {} …"], "samples": [{"subject": "…", "object": "…"}]}'


def matches(data: Any) -> bool:
    """Whether a parsed document is in this layout."""
    return isinstance(data, dict) and "samples" in data


def rows(data: dict[str, Any], source: str) -> Iterator[RawFact]:
    """Every sample as a fact of the relation `name`, asked by the first of `prompt_templates`.

    `FactsError` where the document lacks what the layout needs.
    """
    templates = data.get("prompt_templates")
    problems = []
    if not isinstance(data.get("name"), str) or not data["name"].strip():
        problems.append(f"{source}: the relation's name is {data.get('name')!r}; expected text, {LOOKS}")
    if not isinstance(templates, list) or not templates or not isinstance(templates[0], str):
        problems.append(f"{source}: prompt_templates is {templates!r}; expected a list of templates, {LOOKS}")
    if not isinstance(data["samples"], list):
        problems.append(f"{source}: samples is a {type(data['samples']).__name__}; expected a list, {LOOKS}")
    if problems or not isinstance(templates, list):
        raise FactsError(problems)

    def row(number: int, item: dict[str, Any]) -> RawFact:
        return RawFact(
            **cells(item.get("subject"), item.get("object")),
            relation=data["name"].strip(),
            where=f"sample {number}",
            template=templates[0],
        )

    return each_object(data["samples"], row, source)
