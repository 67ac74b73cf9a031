"""Answers as token ids behind a prompt: their spellings, which of them are one class, what all of them begin with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rote.facts.spans import Tokenizer, tokens_of
from rote.facts.table import Fact

MOST_ANSWER_TOKENS = 256

Tokens = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """A relation's answers.

    Attributes:
        classes: names of the classes, sorted; a class is named by its facts' commonest attribute.
        tokens: of every spelling of each class, behind `start`; the name's own first.
        start: the tokens with which all of them begin; they belong to the prompt.
        class_of: index into `classes` of every spelling's text.
        usual: all tokens of every spelling's text, with `start`.
        longest: how many tokens the longest of them has.
    """

    classes: tuple[str, ...]
    tokens: tuple[tuple[Tokens, ...], ...]
    start: Tokens
    class_of: Mapping[str, int]
    usual: Mapping[str, Tokens]
    longest: int


def right_answers(fact: Fact) -> tuple[str, ...]:
    """The texts that count as a fact's answer: its attribute, then its aliases."""
    return (fact.attribute, *fact.aliases)


def continuation(tokenizer: Tokenizer, text: str, ids: Sequence[int], joint: str, answer: str) -> Tokens | str:
    """The tokens of an answer as a prompt's continuation, or the reason why there are none.

    They are those of the whole text behind the prompt's own, which it must begin with.
    """
    whole, _ = tokens_of(tokenizer, text + joint + answer)
    if whole == list(ids):
        return f"the answer {answer!r} has no tokens of its own"
    if whole[: len(ids)] != list(ids):
        return f"the answer {answer!r} merges with the prompt's last token"
    found = tuple(whole[len(ids) :])
    if tokenizer.unk_token_id in found:
        return f"the tokenizer's vocabulary does not have the answer {answer!r}"
    if len(found) > MOST_ANSWER_TOKENS:
        return f"its answer has {len(found)} tokens; at most {MOST_ANSWER_TOKENS} are taken"
    return found


def answers_of(asked: Sequence[tuple[Fact, Mapping[str, Tokens]]]) -> Answers:
    """The classes of facts that were asked, each with the tokens of its right answers by their text.

    A text's tokens are the commonest of its prompts. Texts that are right answers to one fact are one class, and so
    are those that the tokenizer writes alike.
    """
    votes: dict[str, Counter[Tokens]] = {}
    for _, spelt in asked:
        for text, tokens in spelt.items():
            votes.setdefault(text, Counter())[tokens] += 1
    usual = {text: count.most_common(1)[0][0] for text, count in votes.items()}
    members = _connected([*(list(spelt) for _, spelt in asked), *_alike(usual)])
    named: dict[str, Counter[str]] = {}
    for fact, spelt in asked:
        named.setdefault(members[next(iter(spelt))], Counter())[fact.attribute] += 1
    names = {root: min(count, key=lambda text: (-count[text], text)) for root, count in named.items()}
    roots = sorted(names, key=names.__getitem__)
    index = {root: i for i, root in enumerate(roots)}
    class_of = {text: index[members[text]] for text in usual}
    spellings: list[dict[Tokens, None]] = [{} for _ in roots]
    for text in sorted(usual, key=lambda text: text != names[members[text]]):
        spellings[class_of[text]][usual[text]] = None
    start = common_start(usual.values())
    return Answers(
        classes=tuple(names[root] for root in roots),
        tokens=tuple(tuple(tokens[len(start) :] for tokens in spelt) for spelt in spellings),
        start=start,
        class_of=class_of,
        usual=usual,
        longest=max(map(len, usual.values()), default=0),
    )


def common_start(answers: Iterable[Tokens]) -> Tokens:
    """The tokens with which all of several answers begin, one short of the shortest answer at most."""
    different = set(answers)
    if len(different) < 2:
        return ()
    first, last = min(different), max(different)  # whatever these two begin with, all between them do
    most = min(map(len, different)) - 1
    return first[: next((i for i in range(most) if first[i] != last[i]), most)]


def shared_name(names: Sequence[str]) -> str:
    """What a class is called that several were merged into."""
    if len(names) <= 3:
        return " / ".join(names)
    return f"{names[0]} / {names[1]} / … ({len(names)} answers)"


def _alike(usual: Mapping[str, Tokens]) -> list[list[str]]:
    """Texts of the same tokens."""
    alike: dict[Tokens, list[str]] = {}
    for text, tokens in usual.items():
        alike.setdefault(tokens, []).append(text)
    return list(alike.values())


def _connected(groups: Iterable[Sequence[str]]) -> dict[str, str]:
    """Every text with the one that stands for all it is connected with, by union and find."""
    parent: dict[str, str] = {}

    def root(text: str) -> str:
        parent.setdefault(text, text)
        while parent[text] != text:
            parent[text] = text = parent[parent[text]]
        return text

    for group in groups:
        for text in group:
            parent[root(text)] = root(group[0])
    return {text: root(text) for text in list(parent)}
