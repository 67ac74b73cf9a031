"""CounterFact in EasyEdit's layout: full prompts, no relation names."""

from __future__ import annotations

from typing import Any

from rote.facts.readers.objects import cells, first_has, objects_of, template_of_prompt
from rote.facts.rows import RawFact

LOOKS = '[{"prompt": "… the subject …", "subject": "…", "ground_truth": "…", "target_new": "…"}]'


def matches(data: Any) -> bool:
    """Whether a parsed document is in this layout."""
    return first_has(data, "prompt", "subject", "ground_truth")


def rows(data: list[Any], source: str) -> tuple[RawFact, ...]:
    """`subject` and `ground_truth` (never `target_new`); template = the prompt with its subject taken out.

    The layout names no relations, so facts with one template are one relation and the template is its name:
    two wordings of one relation stay apart. A prompt that does not hold its subject exactly once is left out.
    """
    found = []
    for number, item in enumerate(objects_of(data, source), 1):
        entity, attribute, problem = cells(item, item.get("subject"), item.get("ground_truth"))
        template, template_problem = template_of_prompt(item.get("prompt"), entity)
        found.append(
            RawFact(
                entity=entity,
                relation=template or "",
                attribute=attribute,
                where=f"case {item.get('case_id', number)}",
                template=template,
                problem=problem or template_problem,
            )
        )
    return tuple(found)
