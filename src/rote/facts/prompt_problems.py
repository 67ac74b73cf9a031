"""Sentences about a relation whose facts cannot be put before a tokenizer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rote.facts.spans import Tokenizer
from rote.facts.table import Fact, LeftOut, cut, shortened
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


def class_problems(relation: str, class_tokens: Mapping[str, int], left_out: Sequence[LeftOut]) -> list[str]:
    """The sentence about fewer than two classes."""
    if len(class_tokens) > 1:
        return []
    reasons = Counter(left.reason for left in left_out).most_common(5)
    why = "".join(f"; left out {count} times: {reason}" for reason, count in reasons)
    seen = ", ".join(map(repr, class_tokens)) or "none"
    return [
        f"relation {relation!r} has {len(class_tokens)} classes that can be asked ({seen}); expected "
        f"at least two: add facts with other attributes{why}"
    ]


def shared_problems(
    tokenizer: Tokenizer, relation: str, pairs: Sequence[tuple[str, str]], class_tokens: Mapping[str, int]
) -> list[str]:
    """A sentence about every pair of classes with one first token."""
    problems = [
        f"attributes {a!r} and {b!r} of relation {relation!r} share their first token "
        f"{tokenizer.convert_ids_to_tokens([class_tokens[a]])[0]!r}; expected different ones, since an "
        "answer is recognised by its first token: reword or take out one of them"
        for a, b in pairs
    ]
    return shortened(problems, limit=200)
