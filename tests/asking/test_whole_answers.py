"""Whole answers, against every answer of every fact by a plain pass of its own over prompt and answer."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from fact_tokenizers import word_level
from family_zoo import NAMES, VOCAB, hugging_face, served

from rote.asking.answer_tree import AnswerTree
from rote.asking.whole_answers import _Batch, score_whole
from rote.facts import Fact, FactTable, Relation, RelationPrompts, build_prompts
from rote.model import Model
from rote.settings import Settings

FIRST_WORD = 6  # the token of w0: special tokens and the template's words stand before it
WORDS = [f"w{i}" for i in range(VOCAB - FIRST_WORD)]
TOKENIZER = word_level(" ".join(["is", "of", ":", *WORDS]))
SETTINGS = Settings(batch_size=5)
CHAINS = (("w1", "w2", "w3", "w4"), ("w5", "w6", "w7", "w8"), ("w9", "w9", "w9", "w9"))
N = 12


def asked(facts: list[Fact]) -> RelationPrompts:
    relation = Relation(name="r", template="is {} of :")
    return build_prompts(FactTable(name="t", relations=(relation,), facts=tuple(facts)), "r", TOKENIZER)


@cache
def prompts(name: str) -> RelationPrompts:
    """Names of one to four words; answers that go on from each other, with aliases, and what the model says itself."""
    rng = np.random.default_rng(3)
    names = [" ".join(rng.choice(WORDS, 1 + i % 4, replace=False)) for i in range(N)]
    answers = [" ".join(chain[:n]) for chain in CHAINS for n in (1, 2, 4)] + ["w10 w11 w12"]
    facts = [Fact(entity=e, relation="r", attribute=answers[i % len(answers)]) for i, e in enumerate(names)]
    facts[1] = replace(facts[1], aliases=("w1 w2 w3", "w20"))  # one that goes on from its own class, and stands before
    facts[4] = replace(facts[4], aliases=("w21 w22 w23 w24",))  # "w1 w2 w3 w4" of another
    bare = asked(facts)
    for i in range(0, N, 4):
        said = greedy(served(name), bare.tokens[i, : bare.length[i]].tolist(), 1 + i // 4)
        facts[i] = Fact(entity=names[i], relation="r", attribute=" ".join(WORDS[t - FIRST_WORD] for t in said))
    return asked(facts)


def greedy(model: Model, ids: list[int], n: int) -> list[int]:
    """The likeliest words behind a prompt, one after the other."""
    for _ in range(n):
        ids = [*ids, FIRST_WORD + int(plain(model, ids)[-1, FIRST_WORD:].argmax())]
    return ids[-n:]


def plain(model: Model, ids: list[int]) -> torch.Tensor:
    return torch.log_softmax(hugging_face(model.module, torch.tensor([ids])).double()[0], -1)


class Twin:
    """One fact by the definition: every spelling by its own pass, less the spellings that continue it."""

    def __init__(self, model: Model, prompts: RelationPrompts, fact: int) -> None:
        self.answers = prompts.answers
        prompt = prompts.tokens[fact, : prompts.length[fact]].tolist()
        self.given: dict[tuple[int, ...], list[float]] = {}
        self.ranks: dict[tuple[int, ...], list[int]] = {}
        for spelling in (s for spellings in prompts.answers for s in spellings):
            said = plain(model, [*prompt, *spelling])[len(prompt) - 1 : -1]
            right = [float(at[token]) for at, token in zip(said, spelling, strict=True)]
            self.given[spelling] = right
            self.ranks[spelling] = [1 + int((at > p).sum()) for at, p in zip(said, right, strict=True)]

    def prob(self, spelling: tuple[int, ...]) -> float:
        return float(np.exp(sum(self.given[spelling])))

    def score(self, cls: int) -> float:
        return sum(self.prob(a) - sum(self.prob(b) for b in self.next(a)) for a in self.answers[cls])

    def next(self, a: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The other answers that continue `a`, but for those that continue another of them."""
        longer = [b for b in self.given if len(b) > len(a) and b[: len(a)] == a]
        return [b for b in longer if not any(b != c and b[: len(c)] == c for c in longer)]

    def top(self, a: tuple[int, ...]) -> bool:
        return max(self.ranks[a]) == 1


@pytest.mark.parametrize("name", NAMES)
def test_scores_ranks_and_predictions_are_those_of_a_plain_pass_each(name: str) -> None:
    model, facts = served(name), prompts(name)
    found = score_whole(model, facts, SETTINGS)
    assert len({len(a) for spellings in facts.answers for a in spellings}) > 2 and not facts.of_one_token
    for i, cls in enumerate(facts.cls.tolist()):
        twin = Twin(model, facts, i)
        scores = [twin.score(c) for c in range(len(facts.classes))]
        own = facts.answers[cls]
        assert found.log_prob[i] == pytest.approx(np.log(scores[cls]), abs=1e-3)
        assert np.exp(found.log_prob[i]) == pytest.approx(scores[cls], abs=1e-5)
        right, predicted = scores[cls], scores[found.predicted_cls[i]]
        assert (found.predicted_cls[i] == cls) == (right >= max(scores)) and predicted >= right
        assert found.rank[i] == min(max(twin.ranks[a]) for a in own)
        goes_on = [b for a in own for b in twin.given if b not in own and b[: len(a)] == a and twin.top(b)]
        assert found.correct[i] == (any(twin.top(a) for a in own) and not goes_on)
        assert found.token_log_prob[i] == pytest.approx(twin.given[own[0]][0], abs=1e-4)
        assert found.token_rank[i] == twin.ranks[own[0]][0]


def test_other_answers_are_followed_only_as_far_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rng = served("llama"), np.random.default_rng(0)
    answers = [" ".join(rng.choice(WORDS, 3)) for _ in range(60)]
    facts = [
        Fact(entity=f"{a} {b}", relation="r", attribute=c) for a, b, c in zip(WORDS, WORDS[1:], answers, strict=False)
    ]
    prompts, nodes = asked(facts), []
    note = _Batch._note

    def counting(self: _Batch, logits: torch.Tensor, some: np.ndarray, at: np.ndarray) -> None:
        nodes.append(len(at))
        note(self, logits, some, at)

    monkeypatch.setattr(_Batch, "_note", counting)
    score_whole(model, prompts, SETTINGS)
    tree = AnswerTree.of(prompts.answers)
    needed = sum(len(tree.needed[c]) for c in prompts.cls)
    every = len(prompts) * int(tree.inner.sum())
    assert needed < sum(nodes) < every / 4
