"""Whole answers scored under a model: the right ones by teacher forcing, others as far as it takes to compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rote.asking.answer_tree import ROOT, AnswerTree
from rote.asking.prompts import PromptSet, tensor
from rote.facts import RelationPrompts
from rote.model import Model, Read, Recording, Site
from rote.model.hooks import NonFinite
from rote.model.precision import wide
from rote.settings import Settings

_PASS = {"cpu": 32}  # tokens that cost about as much as one more pass: so much padding is cheaper than parting rows
_PASS_ELSEWHERE = 1024
_ROWS = 8  # that many rows of a few tokens cost little more than one
_TOKEN_NATS = 2.0  # what a token costs that was never predicted yet


@dataclass(frozen=True, kw_only=True, eq=False)
class WholeScores:
    """Per fact: log of the right answer's score (nats), how it was ranked, and the likeliest class found.

    `rank`: the worst rank of a token of the right answer, behind those before it, of its best spelling; `correct`: the
    likeliest tokens spell the right answer and no other that goes on from it. `token_`: of the class token alone.
    """

    log_prob: Float[np.ndarray, " fact"]
    rank: Int[np.ndarray, " fact"]
    correct: Bool[np.ndarray, " fact"]
    predicted_cls: Int[np.ndarray, " fact"]
    token_log_prob: Float[np.ndarray, " fact"]
    token_rank: Int[np.ndarray, " fact"]


def score_whole(model: Model, prompts: RelationPrompts, settings: Settings) -> WholeScores:
    """Score the right answer of every fact, and find out whether another answer is likelier; both exact.

    score(a) = p(its tokens) − Σ p(the shortest other answers that continue it), summed over the spellings of a class.
    Others are followed as long as they may be likelier than the right one and none is known to be; `predicted_cls` is
    the right class, or the likeliest of those that were followed to their end.
    NonFinite, a MeasurementError, where activations are not finite.
    """
    tree = AnswerTree.of(prompts.answers)
    room = _Room(model=model, tree=tree, length=int(prompts.length.max()) + int(tree.depth.max()))
    at_once = PromptSet.of(model, prompts, settings.batch_size).rows_at_once
    order: list[Int[np.ndarray, " row"]] = []
    found: list[WholeScores] = []
    for rows in _batches(prompts, tree, at_once.size, _pass(model)):
        found += at_once.over(len(rows), partial(_scored, room, prompts, rows))
        order.append(rows)
    back = np.argsort(np.concatenate(order))
    names = [spec.name for spec in fields(WholeScores)]
    return WholeScores(**{name: np.concatenate([getattr(part, name) for part in found])[back] for name in names})


def _batches(
    prompts: RelationPrompts, tree: AnswerTree, batch_size: int, cost: int
) -> Iterator[Int[np.ndarray, " row"]]:
    """Facts of about the same length, alone and with their right answer, a batch at a time."""
    depth = np.array([tree.depth[nodes].max() for nodes in tree.needed])[prompts.cls]
    return _alike(prompts.length, depth, batch_size, cost)


def _alike(
    first: Int[np.ndarray, " row"], more: Int[np.ndarray, " row"], size: int, cost: int
) -> Iterator[Int[np.ndarray, " row"]]:
    """Rows that run together: at most `size`, and `cost` tokens beyond the `more` that each row has behind `first`.

    Every row runs from the least `first` to the highest first + more.
    """
    order = np.lexsort((more, first))
    start = 0
    while start < len(order):
        some = order[start : start + size]
        widest = np.maximum.accumulate((first + more)[some]) - first[some[0]]
        beyond = widest * np.arange(1, len(some) + 1) - more[some].cumsum()
        stop = start + max(1, int((beyond <= cost).cumprod().sum()))
        yield order[start:stop]
        start = stop


def _pass(model: Model) -> int:
    return _PASS.get(model.device.type, _PASS_ELSEWHERE)


def _scored(room: _Room, prompts: RelationPrompts, rows: Int[np.ndarray, " row"], some: slice) -> WholeScores:
    part, tree = prompts.take(rows[some]), room.tree
    batch = _Batch(room=room, prompts=part)
    batch.force()
    best = batch.search()
    return WholeScores(
        log_prob=tree.scores(batch.given, part.cls),
        rank=batch.ranks(),
        correct=batch.spelt() == part.cls,
        predicted_cls=best,
        token_log_prob=batch.token_log_prob,
        token_rank=batch.token_rank,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Room:
    """What the batches of a relation share: room behind any prompt for any answer, and what tokens have cost so far."""

    model: Model
    tree: AnswerTree
    length: int
    costs: Float[np.ndarray, " node"] = field(init=False)  # −log p (nats) of every token, over `counts` predictions
    counts: Int[np.ndarray, " node"] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "costs", np.full(len(self.tree), _TOKEN_NATS))
        object.__setattr__(self, "counts", np.ones(len(self.tree), dtype=np.int64))

    def usual_costs(self) -> Float[np.ndarray, " node"]:
        """−log p (nats) of every node's token, on average over the facts where it was predicted."""
        found: np.ndarray = self.costs / self.counts
        return found

    @cached_property
    def recording(self) -> Recording:
        """One row of that many tokens: where they stand, and who attends to whom."""
        tokens = torch.ones((1, self.length), dtype=torch.long)
        return self.model.record(tokens, tokens.bool())


@dataclass(kw_only=True, eq=False)
class _Batch:
    """Some facts, the tokens predicted so far behind their prompts, and the prompts' keys and values.

    `given` is what `AnswerTree` takes; `rank` counts from 1, 0 where not asked for; `greedy` is the child that the
    likeliest token leads to, −1 where it leads out of the tree or nothing was predicted.
    """

    room: _Room
    prompts: RelationPrompts
    given: Float[np.ndarray, "fact node"] = field(init=False)
    rank: Int[np.ndarray, "fact node"] = field(init=False)
    greedy: Int[np.ndarray, "fact node"] = field(init=False)
    token_log_prob: Float[np.ndarray, " fact"] = field(init=False)
    token_rank: Int[np.ndarray, " fact"] = field(init=False)
    recording: Recording = field(init=False)
    model: Model = field(init=False)
    tree: AnswerTree = field(init=False)

    def __post_init__(self) -> None:
        self.model, self.tree = self.room.model, self.room.tree
        shape = len(self.prompts), len(self.tree)
        self.given = np.full(shape, np.nan)
        self.given[:, ROOT] = 0
        self.rank = np.zeros(shape, dtype=np.int64)
        self.greedy = np.full(shape, -1)
        self.token_log_prob = np.full(shape[0], np.nan)
        self.token_rank = np.zeros(shape[0], dtype=np.int64)

    # ------------------------------------------------------------------ passes
    def force(self) -> None:
        """Predict all that the right answers' scores need: the deepest path with the prompt, the others behind it."""
        tree, cls = self.tree, self.prompts.cls
        deepest = [max(nodes.tolist(), key=lambda node: (tree.depth[node], -node)) for nodes in tree.needed]
        ends = [deepest[c] for c in cls]
        self._record(ends)
        rest: list[tuple[int, int]] = []
        for fact, c in enumerate(cls.tolist()):
            missing = set(tree.needed[c].tolist()) - {ROOT, *tree.path(ends[fact])}
            while missing:
                node = max(missing, key=lambda n: (tree.depth[n], -n))
                rest.append((fact, node))
                missing -= set(tree.path(node))
        self._go_on(rest)

    def search(self) -> Int[np.ndarray, " fact"]:
        """Go on from other answers until it is decided whether one of them is likelier; the likeliest class found."""
        while True:
            best, open_ = self.tree.undecided(self.given, self.prompts.cls)
            facts = np.flatnonzero(open_.any(1))
            if not len(facts):
                return best
            cost = self.room.usual_costs()
            ahead = self.tree.ahead(cost)
            hope = np.where(open_, self.tree.log_probs(self.given) - ahead, -np.inf)[facts]
            likeliest = np.argsort(-hope, 1, kind="stable")[:, : max(1, _ROWS // len(facts))]
            chosen = zip(np.repeat(facts, likeliest.shape[1]).tolist(), likeliest.ravel().tolist(), strict=True)
            self._go_on([(f, self.tree.cheapest(node, cost + ahead)) for f, node in chosen if open_[f, node]])

    def _record(self, ends: Sequence[int]) -> None:
        """The clean pass over every prompt and the tokens up to one node each."""
        paths = [self.tree.path(node) for node in ends]
        tokens = self._tokens(range(len(ends)), paths)
        final = Site("final")
        everywhere = torch.ones_like(tokens, dtype=torch.bool)
        try:
            self.recording = self.model.record(tokens, everywhere, read=[Read(site=final)])
        except NonFinite as error:
            if error.row is None:
                raise
            asked = self.model.tokenizer.decode(tokens[error.row])
            raise NonFinite(error.site, error.row, where=f" for the prompt {asked!r}") from error
        x = self.recording.read[final]
        nodes = [(i, node) for i, path in enumerate(paths) for node in (ROOT, *path)]
        self._take(x, [i for i, _ in nodes], [i for i, _ in nodes], [node for _, node in nodes], first=0)

    def _go_on(self, wanted: Sequence[tuple[int, int]]) -> None:
        """Predict what follows nodes, and those before them, of some facts; the prompts are not run again."""
        lengths = self.prompts.length[[fact for fact, _ in wanted]]
        depths = self.tree.depth[[node for _, node in wanted]]
        for rows in _alike(lengths, depths, len(self.prompts), _pass(self.model)):
            self._replay([wanted[row] for row in rows])

    def _replay(self, wanted: Sequence[tuple[int, int]]) -> None:
        facts = [fact for fact, _ in wanted]
        paths = [self.tree.path(node) for _, node in wanted]
        tokens = self._tokens(facts, paths)
        first = min(int(self.prompts.length[facts].min()), self.recording.n_positions)
        embed, final = Site("embed"), Site("final")
        x = self.model.run(tokens, torch.ones_like(tokens, dtype=torch.bool), read=[Read(site=embed)])[embed]
        recording = self.recording.with_room(self.room.recording, tokens.shape[1])
        rows = torch.as_tensor(facts)
        acts = self.model.replay(recording, 0, first=first, rows=rows, resid=x[:, first:], read=[Read(site=final)])
        nodes = [(i, f, node) for i, (f, path) in enumerate(zip(facts, paths, strict=True)) for node in path]
        new = [(i, f, node) for i, f, node in nodes if np.isnan(self.given[f, self.tree.children[node][0]])]
        self._take(acts[final], *([n[k] for n in new] for k in range(3)), first=first)

    def _tokens(self, facts: Sequence[int], paths: Sequence[Sequence[int]]) -> Int[Tensor, "row pos"]:
        """Prompts with the tokens of a path each; what fills shorter rows stands behind all that is read."""
        lengths = self.prompts.length[list(facts)]
        width = max(int(n) + len(path) for n, path in zip(lengths, paths, strict=True))
        tokens = np.full((len(paths), width), int(self.prompts.tokens[0, 0]))
        for i, (fact, path) in enumerate(zip(facts, paths, strict=True)):
            n = int(lengths[i])
            tokens[i, :n] = self.prompts.tokens[fact, :n]
            tokens[i, n : n + len(path)] = self.tree.token[path]
        return tensor(tokens)

    # ------------------------------------------------------------- predictions
    @torch.no_grad()
    def _take(
        self,
        final: Float[Tensor, "row pos d_model"],
        rows: Sequence[int],
        facts: Sequence[int],
        nodes: Sequence[int],
        *,
        first: int,
    ) -> None:
        """Note what is predicted behind nodes, of which `final` holds the positions from `first` on."""
        size = max(len(self.prompts), 1)
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            some, at = np.array(facts[part]), np.array(nodes[part])
            place = torch.as_tensor(self.prompts.length[some] - 1 + self.tree.depth[at] - first)
            row = torch.as_tensor(rows[part])
            logits = wide(self.model.unembed(final[row, place]))
            self._note(logits, some, at)

    def _note(
        self, logits: Float[Tensor, "k vocab"], facts: Int[np.ndarray, " k"], nodes: Int[np.ndarray, " k"]
    ) -> None:
        tree = self.tree
        total, top = logits.logsumexp(-1), logits.argmax(-1).cpu().numpy()
        counts = [len(tree.children[node]) for node in nodes]
        children = np.concatenate([np.array(tree.children[node], dtype=np.int64) for node in nodes])
        where = np.repeat(np.arange(len(nodes)), counts)
        index = torch.as_tensor(where, device=logits.device)
        value = logits[index, torch.as_tensor(tree.token[children], device=logits.device)]
        self.given[facts[where], children] = found = (value - total[index]).double().cpu().numpy()
        np.add.at(self.room.costs, children, -found)
        np.add.at(self.room.counts, children, 1)
        hit = top[where] == tree.token[children]
        self.greedy[facts[where[hit]], nodes[where[hit]]] = children[hit]
        asked = np.flatnonzero(tree.on_the_way(children, self.prompts.cls[facts[where]]))
        rank = (logits[index[asked]] > value[asked, None]).sum(-1) + 1
        self.rank[facts[where[asked]], children[asked]] = rank.cpu().numpy()
        at_root = np.flatnonzero(nodes == ROOT)
        if len(at_root):
            self._note_token(logits[at_root], total[at_root], facts[at_root])

    def _note_token(
        self, logits: Float[Tensor, "k vocab"], total: Float[Tensor, " k"], facts: Int[np.ndarray, " k"]
    ) -> None:
        tokens = self.prompts.class_tokens[self.prompts.cls[facts]]
        right = logits.gather(1, torch.as_tensor(tokens, device=logits.device)[:, None])
        self.token_log_prob[facts] = (right[:, 0] - total).double().cpu().numpy()
        self.token_rank[facts] = ((logits > right).sum(-1) + 1).cpu().numpy()

    # ----------------------------------------------------------------- results
    def ranks(self) -> Int[np.ndarray, " fact"]:
        """The worst rank of a token of each fact's right answer, of the spelling where that is best."""
        worst = self.rank.copy()
        for nodes in self.tree.levels:
            worst[:, nodes] = np.maximum(worst[:, nodes], worst[:, self.tree.parent[nodes]])
        own = self.tree.cls[None, :] == self.prompts.cls[:, None]
        found: np.ndarray = np.where(own, worst, np.iinfo(np.int64).max).min(1)
        return found

    def spelt(self) -> Int[np.ndarray, " fact"]:
        """The class of the longest answer that the likeliest tokens spell, as far as they were followed; else −1."""
        found = np.full(len(self.prompts), -1)
        for fact in range(len(found)):
            node = int(self.greedy[fact, ROOT])
            while node >= 0:
                found[fact] = self.tree.cls[node] if self.tree.cls[node] >= 0 else found[fact]
                node = int(self.greedy[fact, node])
        return found
