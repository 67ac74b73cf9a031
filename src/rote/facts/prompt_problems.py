"""Sentences about a relation whose facts cannot be put before a tokenizer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rote.facts.table import Fact, LeftOut, cut
from rote.facts.tally import Tally


def fact_problems(relation: str, not_asked: Sequence[tuple[Fact, str]], n_facts: int) -> list[str]:
    """What is wrong with single facts, by kind, and what to do about them."""
    if not not_asked:
        return []
    tally = Tally()
    for fact, reason in not_asked:
        tally.add(f"{fact.where or 'fact'} ({cut(fact.entity, 60)!r})", reason)
    facts = "fact" if n_facts == 1 else "facts"
    return [
        *tally.lines(),
        f"{tally.count:,} of {n_facts:,} {facts} of relation {cut(relation)!r} cannot be asked of this model: reword "
        "or take out what is named above, or study the others with --leave-out (leave_out=True)",
    ]


def class_problems(relation: str, classes: Sequence[str], left_out: Sequence[LeftOut]) -> list[str]:
    """The sentence about fewer than two classes."""
    if len(classes) > 1:
        return []
    reasons = Counter(left.reason for left in left_out).most_common(5)
    why = "".join(f"; left out {count} times: {reason}" for reason, count in reasons)
    seen = ", ".join(map(repr, classes)) or "none"
    return [
        f"relation {relation!r} has {len(classes)} classes that can be asked ({seen}); expected "
        f"at least two: add facts with other attributes{why}"
    ]
