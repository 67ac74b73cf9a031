"""CounterFact (Meng et al. 2022) as published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rote.facts.intake import RawFact
from rote.facts.readers.objects import cells, each_object, first_has

LOOKS = (
    '[{"requested_rewrite": {"prompt": "… {} …", "relation_id": "P103", "subject": "…", "target_true": {"str": "…"}}}]'
)


def matches(data: Any) -> bool:
    """Whether a parsed document is in this layout."""
    return first_has(data, "requested_rewrite")


def rows(items: Iterable[Any], source: str) -> Iterator[RawFact]:
    """`subject` and the true target (never `target_new`), by `relation_id`; a relation asked by several
    prompts becomes one relation per prompt."""
    return each_object(items, _row, source)


def _row(number: int, item: dict[str, Any]) -> RawFact:
    rewrite = item.get("requested_rewrite")
    rewrite = rewrite if isinstance(rewrite, dict) else {}
    target = rewrite.get("target_true")
    target = target.get("str") if isinstance(target, dict) else target
    found = cells(rewrite.get("subject"), target)
    template = rewrite.get("prompt")
    relation = rewrite.get("relation_id")
    if not isinstance(template, str) or not isinstance(relation, str):
        found["problem"] = (
            found["problem"] or "requested_rewrite has no prompt or no relation_id; expected both as text"
        )
    return RawFact(
        **found,
        relation=relation.strip() if isinstance(relation, str) else "",
        where=f"case {item.get('case_id', number)}",
        template=template if isinstance(template, str) else None,
    )
