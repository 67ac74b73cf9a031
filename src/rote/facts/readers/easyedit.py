"""CounterFact in EasyEdit's layout: full prompts, no relation names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rote.facts.intake import RawFact
from rote.facts.readers.objects import cells, each_object, first_has, template_of_prompt

LOOKS = '[{"prompt": "… the subject …", "subject": "…", "ground_truth": "…", "target_new": "…"}]'


def matches(data: Any) -> bool:
    """Whether a parsed document is in this layout."""
    return first_has(data, "prompt", "subject", "ground_truth")


def rows(items: Iterable[Any], source: str) -> Iterator[RawFact]:
    """`subject` and `ground_truth` (never `target_new`); template = the prompt with its subject taken out.

    The layout names no relations, so facts with one template are one relation and the template is its name:
    two wordings of one relation stay apart. A prompt that does not hold its subject exactly once is left out.
    """
    return each_object(items, _row, source)


def _row(number: int, item: dict[str, Any]) -> RawFact:
    found = cells(item.get("subject"), item.get("ground_truth"))
    template, template_problem = template_of_prompt(item.get("prompt"), found["entity"])
    found["problem"] = found["problem"] or template_problem
    return RawFact(
        **found,
        relation=template or "",
        where=f"case {item.get('case_id', number)}",
        template=template,
    )
