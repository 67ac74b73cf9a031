"""From a relation's facts to token arrays: prompts, name spans, answers, position categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from rote.errors import FactsError
from rote.facts.answers import Answers, Tokens, answers_of, continuation, right_answers, shared_name
from rote.facts.joint import with_joint
from rote.facts.parts import Cut, Stratum, cut_name, has_part, part_labels, strata_of
from rote.facts.prompt_problems import class_problems, fact_problems
from rote.facts.spans import Tokenizer, name_span, prefix_tokens, reading_starts, tokens_of
from rote.facts.table import SLOT, Fact, FactTable, LeftOut, Relation
from rote.facts.twins import written_alike

MOST_NAME_TOKENS = 256
POSITIONS: tuple[str, ...] = ("bos", "prefix", "name_early", "subject_last", "relation_words", "end")


class NamePrompts(NamedTuple):
    """`<bos>` + the name's tokens, right-padded; `last` = position of the name's last token."""

    tokens: Int[np.ndarray, "fact pos"]
    mask: Bool[np.ndarray, "fact pos"]
    last: Int[np.ndarray, " fact"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RelationPrompts:
    """Every fact of a relation that can be asked, as token arrays; positions are inclusive, bos included.

    Attributes:
        relation: whose attributes are the classes.
        asked: whose template and prefix the prompts have; `relation` unless `asked_as` was given.
        facts: in the table's order; the `fact` axis.
        classes: attributes, sorted, those that aliases connect as one; the `cls` axis.
        answers: the token ids behind the prompt of every spelling of each class, the class's own first.
        class_tokens: first token id of each class behind the prompt; several classes may share one.
        start: what all answers begin with (a bare blank, a common word), the last of the prompt's tokens.
        cls: index into `classes` per fact.
        tokens: `<bos>` + prefix + template with the entity + `start`, right-padded.
        mask: True where `tokens` holds the prompt.
        length: tokens of the prompt; `end` = length − 1, where the answer is predicted.
        subject_first, subject_last: the name's first and last token.
        prefix_stop: first position after bos and prefix.
        n_name_tokens: subject_last − subject_first + 1.
        cut: tokens in the name's first part, 0 where it has none (a name of one token).
        kind: of the cut, an index of `rote.facts.parts.KINDS`.
        first, last: labels of the two parts, as `rote.facts.parts.part_labels` gives them; NO_PART for a missing first.
        name_tokens: the name's token ids as they stand in the prompt; the first `cut` of them are its first part.
        bos: id of the bos token put first, None when the tokenizer has none.
        pad: id that fills `tokens` beyond `length`.
        left_out: facts that cannot be asked, with reasons, after those of the table.
    """

    relation: Relation
    asked: Relation
    facts: tuple[Fact, ...]
    classes: tuple[str, ...]
    answers: tuple[tuple[Tokens, ...], ...]
    class_tokens: Int[np.ndarray, " cls"]
    start: Tokens
    cls: Int[np.ndarray, " fact"]
    tokens: Int[np.ndarray, "fact pos"]
    mask: Bool[np.ndarray, "fact pos"]
    length: Int[np.ndarray, " fact"]
    subject_first: Int[np.ndarray, " fact"]
    subject_last: Int[np.ndarray, " fact"]
    end: Int[np.ndarray, " fact"]
    prefix_stop: Int[np.ndarray, " fact"]
    n_name_tokens: Int[np.ndarray, " fact"]
    cut: Int[np.ndarray, " fact"]
    kind: Int[np.ndarray, " fact"]
    first: Int[np.ndarray, " fact"]
    last: Int[np.ndarray, " fact"]
    name_tokens: tuple[tuple[int, ...], ...]
    bos: int | None
    pad: int
    left_out: tuple[LeftOut, ...] = ()

    def __len__(self) -> int:
        return len(self.facts)

    def __repr__(self) -> str:
        return (
            f"RelationPrompts({self.relation.name!r}: {len(self)} facts, classes {', '.join(self.classes)}; "
            f"{len(self.left_out)} left out)"
        )

    @property
    def entities(self) -> tuple[str, ...]:
        """The entity of each fact."""
        return tuple(fact.entity for fact in self.facts)

    @property
    def has_first(self) -> Bool[np.ndarray, " fact"]:
        """Whether the name has two parts."""
        return has_part(self.first)

    @property
    def strata(self) -> dict[Stratum, Int[np.ndarray, " some"]]:
        """The facts of every stratum: the same kind of cut, and parts of the same lengths."""
        return strata_of(self.kind, self.cut, self.n_name_tokens - self.cut)

    @property
    def sharing(self) -> tuple[tuple[str, ...], ...]:
        """The classes that share their class token with others, those of one token together."""
        return tuple(names for names in _by_token(self.classes, self.class_tokens).values() if len(names) > 1)

    @property
    def of_one_token(self) -> bool:
        """Whether every class has one spelling, and that one token."""
        return all(len(spellings) == 1 == len(spellings[0]) for spellings in self.answers)

    def merged(self) -> RelationPrompts:
        """The same prompts with every answer cut to its class token, and the classes that share one merged.

        The circuit's view: a readout at the end of the prompt tells nothing apart that begins alike.
        """
        if not self.sharing and self.of_one_token:
            return self
        groups = _by_token(self.classes, self.class_tokens)
        place = {token: i for i, token in enumerate(groups)}
        of_class = _ints(place[token] for token in self.class_tokens.tolist())
        return replace(
            self,
            classes=tuple(shared_name(names) for names in groups.values()),
            answers=tuple(((token,),) for token in groups),
            class_tokens=_ints(groups),
            cls=of_class[self.cls],
        )

    def take(self, index: Sequence[int] | Int[np.ndarray, " k"] | Bool[np.ndarray, " fact"]) -> RelationPrompts:
        """The facts at `index` (positions or a mask), in that order; classes and padded width stay."""
        chosen = np.asarray(index)
        if chosen.size == 0:
            chosen = chosen.astype(np.int64)
        rows = np.arange(len(self))[chosen]
        arrays = {name: getattr(self, name)[rows] for name in _PER_FACT}
        return replace(
            self,
            facts=tuple(self.facts[i] for i in rows),
            name_tokens=tuple(self.name_tokens[i] for i in rows),
            **arrays,
        )

    def name_only(self) -> NamePrompts:
        """`<bos>` + the very token ids that the name has in the prompt, right-padded."""
        front = [] if self.bos is None else [self.bos]
        tokens, mask = _padded([[*front, *name] for name in self.name_tokens], self.pad)
        return NamePrompts(tokens, mask, mask.sum(axis=1) - 1)

    def spans(self) -> dict[str, Bool[np.ndarray, "fact pos"]]:
        """Which positions are bos, prefix, name_early, subject_last, relation_words, end.

        The six are disjoint and together `mask`. Template words before the name are relation_words too; where
        the template ends in the name, the last position is subject_last and `end` is empty.
        """
        place = np.arange(self.tokens.shape[1])[None, :]
        first, last = self.subject_first[:, None], self.subject_last[:, None]
        start, end = int(self.bos is not None), self.end[:, None]
        name = (place >= first) & (place <= last)
        spans = {
            "bos": np.broadcast_to(place < start, self.mask.shape).copy(),
            "prefix": (place >= start) & (place < self.prefix_stop[:, None]),
            "name_early": name & (place != last),
            "subject_last": place == last,
            "relation_words": (place >= self.prefix_stop[:, None]) & (place < end) & ~name,
            "end": (place == end) & ~name,
        }
        return {category: spans[category] for category in POSITIONS}


_PER_FACT: tuple[str, ...] = (
    "cls", "tokens", "mask", "length", "subject_first", "subject_last", "end", "prefix_stop", "n_name_tokens",
    "cut", "kind", "first", "last",
)  # fmt: skip


def _by_token(classes: Sequence[str], class_tokens: Int[np.ndarray, " cls"]) -> dict[int, tuple[str, ...]]:
    """The classes of each class token, in their order."""
    groups: dict[int, tuple[str, ...]] = {}
    for name, token in zip(classes, class_tokens.tolist(), strict=True):
        groups[token] = (*groups.get(token, ()), name)
    return groups


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """One fact's prompt and the tokens of its right answers by their text; positions count from bos."""

    fact: Fact
    tokens: tuple[int, ...]
    first: int
    last: int
    prefix_stop: int
    answers: dict[str, Tokens]
    cut: Cut


def build_prompts(
    table: FactTable,
    relation: str,
    tokenizer: Tokenizer,
    *,
    max_length: int | None = None,
    asked_as: Relation | None = None,
    leave_out: bool = True,
    split: str = "last_word",
    blank: str = "auto",
) -> RelationPrompts:
    """The prompts of one relation's facts: `<bos>` + prefix + template with the entity.

    - bos is put first as an id, once, when the tokenizer has one, also where the tokenizer itself would add
      none, but not before a prefix or a template that itself begins with it; special tokens of the tokenizer's own
      are never added.
    - An answer's tokens are found by continuation: those of prompt + blank + attribute, which must begin with the
      prompt's. Where a blank is put, and where none: `rote.facts.joint`.
    - Tokens with which all answers of the relation begin (a bare blank, a common word) belong to the prompt.
    - Facts that cannot be asked are left out with a reason: no exact name span, words that the tokenizer does
      not know, an answer that merges with the prompt, that has no tokens or too many, more than `max_length` tokens, a
      name of more than `MOST_NAME_TOKENS`, or one that the tokenizer writes as another entity's.

    Args:
        max_length: longest prompt in tokens, bos and all answer tokens but the last included.
        split: how names are cut in two, as `rote.facts.parts.cut_name` says, where their fact has no cut of its own.
        asked_as: puts the same facts into another relation's template and prefix.
        leave_out: False makes facts that cannot be asked a problem, each with its row.
        blank: one of `rote.facts.joint.BLANKS`.

    Errors: `FactsError` for an unknown relation, or fewer than two classes.
    """
    described = table.relation(relation)
    asked = described if asked_as is None else asked_as
    known: list[_Asked] = []
    left_out = [left for left in table.left_out if left.relation in (relation, "")]
    not_asked: list[tuple[Fact, str]] = []
    for fact in table.of(relation):
        found = _ask(tokenizer, asked, fact, max_length, split, blank)
        if isinstance(found, str):
            not_asked.append((fact, found))
        else:
            known.append(found)
    alike = written_alike([(item.fact, item.tokens[item.first : item.last + 1]) for item in known])
    not_asked += [(item.fact, reason) for item, reason in zip(known, alike, strict=True) if reason]
    known = [item for item, reason in zip(known, alike, strict=True) if not reason]
    answers = answers_of([(item.fact, item.answers) for item in known])
    reasons = [_unusual(item, answers) or _too_long(item, answers, max_length) for item in known]
    not_asked += [(item.fact, reason) for item, reason in zip(known, reasons, strict=True) if reason]
    left_out += [LeftOut(entity=fact.entity, relation=relation, reason=reason) for fact, reason in not_asked]
    known = [item for item, reason in zip(known, reasons, strict=True) if not reason]
    problems = [] if leave_out else fact_problems(relation, not_asked, len(table.of(relation)))
    problems += class_problems(relation, answers.classes, left_out if leave_out else ())  # else told above
    if problems:
        raise FactsError(problems)
    return _arrays(tokenizer, described, asked, known, answers, left_out)


def _ask(
    tokenizer: Tokenizer, asked: Relation, fact: Fact, max_length: int | None, split: str, blank: str
) -> _Asked | str:
    """One fact's prompt, or the reason why it cannot be asked."""
    text = asked.prompt(fact.entity).rstrip(" ")
    start = len(asked.prefix) + asked.template.index(SLOT)
    ids, offsets = tokens_of(tokenizer, text)
    first, last, problem = name_span(tokenizer, text, ids, offsets, start, start + len(fact.entity))
    if problem:
        return problem
    if last - first >= MOST_NAME_TOKENS:
        return f"its name has {last - first + 1} tokens; at most {MOST_NAME_TOKENS} are taken"
    unk = tokenizer.unk_token_id
    if unk is not None and unk in ids:
        unknown = [text[a:b] for i, (a, b) in zip(ids, offsets, strict=True) if i == unk]
        return f"the tokenizer's vocabulary does not have {', '.join(map(repr, unknown))}"
    bos = getattr(tokenizer, "bos_token_id", None)
    shift = 0 if bos is None or ids[:1] == [bos] else 1  # a chat's text begins with its bos
    if max_length is not None and len(ids) + shift > max_length:
        return f"its prompt has {len(ids) + shift} tokens; at most {max_length} fit"
    answers, problem = _answers(tokenizer, asked.prompt(fact.entity), ids, fact, blank)
    if not answers:
        return problem
    cut = cut_name(fact.entity, reading_starts(text, offsets[first : last + 1], start), split, fact.cut)
    if isinstance(cut, str):
        return cut
    return _Asked(
        fact=fact,
        tokens=(bos, *ids) if shift and bos is not None else tuple(ids),
        first=first + shift,
        last=last + shift,
        prefix_stop=prefix_tokens(offsets, len(asked.prefix)) + shift if asked.prefix else shift,
        answers=answers,
        cut=cut,
    )


def _answers(
    tokenizer: Tokenizer, question: str, ids: list[int], fact: Fact, blank: str
) -> tuple[dict[str, Tokens], str]:
    """The tokens of a fact's right answers that can be asked, and why the first of the others cannot."""
    answers: dict[str, Tokens] = {}
    problem = ""
    for answer in right_answers(fact):
        text, joint = with_joint(question, answer, blank)
        found = continuation(tokenizer, text, ids, joint, answer)
        if isinstance(found, str):
            problem = problem or found
        else:
            answers[answer] = found
    return answers, problem


def _unusual(item: _Asked, answers: Answers) -> str:
    """Why a fact's answer cannot be told by its tokens, or ""; another spelling of it may do."""
    if any(tokens == answers.usual[text] for text, tokens in item.answers.items()):
        return ""
    text, tokens = next(iter(item.answers.items()))
    how = "begins with another token" if tokens[0] != answers.usual[text][0] else "has other tokens"
    return f"its answer {text!r} {how} than in the other prompts"


def _too_long(item: _Asked, answers: Answers, max_length: int | None) -> str:
    """Why a prompt and the relation's longest answer do not fit, or ""; nothing is predicted behind the last token."""
    if max_length is None or len(item.tokens) + answers.longest - 1 <= max_length:
        return ""
    return (
        f"its prompt has {len(item.tokens)} tokens and the relation's longest answer {answers.longest}; "
        f"at most {max_length} fit together"
    )


def _arrays(
    tokenizer: Tokenizer,
    relation: Relation,
    asked: Relation,
    known: Sequence[_Asked],
    answers: Answers,
    left_out: Sequence[LeftOut],
) -> RelationPrompts:
    bos = getattr(tokenizer, "bos_token_id", None)
    spare = (getattr(tokenizer, name, None) for name in ("pad_token_id", "eos_token_id"))
    pad = next((token for token in spare if token is not None), 0)
    tokens, mask = _padded([(*item.tokens, *answers.start) for item in known], pad)
    names = tuple(item.tokens[item.first : item.last + 1] for item in known)
    length = mask.sum(axis=1)
    cuts = [item.cut.tokens for item in known]
    vocabulary = max(_size(tokenizer), 1 + max((max(name) for name in names), default=0))
    return RelationPrompts(
        relation=relation,
        asked=asked,
        facts=tuple(item.fact for item in known),
        classes=answers.classes,
        answers=answers.tokens,
        class_tokens=_ints(spellings[0][0] for spellings in answers.tokens),
        start=answers.start,
        cls=_ints(answers.class_of[next(iter(item.answers))] for item in known),
        tokens=tokens,
        mask=mask,
        length=length,
        subject_first=_ints(item.first for item in known),
        subject_last=_ints(item.last for item in known),
        end=length - 1,
        prefix_stop=_ints(item.prefix_stop for item in known),
        n_name_tokens=_ints(len(name) for name in names),
        cut=_ints(cuts),
        kind=_ints(item.cut.kind for item in known),
        first=part_labels([name[:cut] for name, cut in zip(names, cuts, strict=True)], vocabulary),
        last=part_labels([name[cut:] for name, cut in zip(names, cuts, strict=True)], vocabulary),
        name_tokens=names,
        bos=bos,
        pad=pad,
        left_out=tuple(left_out),
    )


def _size(tokenizer: Any) -> int:
    """The vocabulary with added tokens; 0 where the tokenizer does not say."""
    return len(tokenizer) if hasattr(type(tokenizer), "__len__") else 0


def _ints(values: Any) -> Int[np.ndarray, " n"]:
    return np.array(list(values), dtype=np.int64)


def _padded(
    rows: Sequence[Sequence[int]], pad: int
) -> tuple[Int[np.ndarray, "fact pos"], Bool[np.ndarray, "fact pos"]]:
    """(tokens, mask) of rows filled up on the right."""
    lengths = _ints(len(row) for row in rows)
    width = int(lengths.max(initial=0))
    tokens = np.full((len(rows), width), pad, dtype=np.int64)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
    return tokens, np.arange(width)[None, :] < lengths[:, None]
