"""Entities that a tokenizer writes alike: the model cannot tell them apart, whatever stands in the table."""

from __future__ import annotations

from collections.abc import Sequence

from rote.facts.table import Fact


def written_alike(asked: Sequence[tuple[Fact, tuple[int, ...]]]) -> list[str]:
    """Per fact and its name's tokens, why it is not kept beside the others, or "".

    The first of several with the same tokens and answer is kept, none where the answers differ.
    """
    first: dict[tuple[int, ...], Fact] = {}
    answers: dict[tuple[int, ...], set[str]] = {}
    for fact, name in asked:
        first.setdefault(name, fact)
        answers.setdefault(name, set()).add(fact.attribute)
    return [_reason(fact, first[name], answers[name]) for fact, name in asked]


def _reason(fact: Fact, first: Fact, answers: set[str]) -> str:
    if len(answers) > 1:
        seen = ", ".join(map(repr, sorted(answers)))
        return f"its name has the same tokens as another entity's, and the answers differ ({seen})"
    if fact is not first:
        return "its name has the same tokens as another entity's with the same answer; it is kept once"
    return ""
