"""known_1000, the facts of causal tracing (Meng et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rote.facts.intake import RawFact
from rote.facts.readers.objects import cells, each_object, first_has, template_of_prompt

LOOKS = '[{"subject": "…", "attribute": "…", "prompt": "… the subject …", "relation_id": "P30"}]'


def matches(data: Any) -> bool:
    """Whether a parsed document is in this layout."""
    return first_has(data, "subject", "attribute", "prompt", "relation_id")


def rows(items: Iterable[Any], source: str) -> Iterator[RawFact]:
    """`subject` and `attribute` by `relation_id`, asked by `prompt` with its subject taken out.

    Not by `template`: in 478 of the published 1,209 facts the prompt goes on after it ("… in the continent"
    against "… in the continent of"), and the attribute continues the prompt. A relation asked in several
    wordings becomes one relation per wording, named `P30: {} is located in the continent of`; selecting
    `P30` takes them all.
    """
    return each_object(items, _row, source)


def _row(number: int, item: dict[str, Any]) -> RawFact:
    found = cells(item.get("subject"), item.get("attribute"))
    template, template_problem = template_of_prompt(item.get("prompt"), found["entity"])
    found["problem"] = found["problem"] or template_problem
    relation = item.get("relation_id")
    return RawFact(
        **found,
        relation=relation.strip() if isinstance(relation, str) else "",
        where=f"fact {item.get('known_id', number)}",
        template=template,
    )
