"""The answers of a relation as a tree of tokens, and between what bounds their scores lie while parts are unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from rote.facts.answers import Tokens

ROOT = 0
_LEAST = float(np.finfo(np.float32).eps)  # shares below this are rounding
_MOST_LOG = 700.0  # e to this is a float64 still


@dataclass(frozen=True, kw_only=True, eq=False)
class AnswerTree:
    """Every spelling is a path from the root (node 0, the prompt); parents stand before their children.

    Attributes:
        parent, token, depth: of every node; the root has none (−1), −1 and 0.
        cls: the class of the spelling that ends in a node, −1 where none does.
    """

    parent: Int[np.ndarray, " node"]
    token: Int[np.ndarray, " node"]
    depth: Int[np.ndarray, " node"]
    cls: Int[np.ndarray, " node"]

    @classmethod
    def of(cls, answers: Sequence[Sequence[Tokens]]) -> AnswerTree:
        """The tree of every class's spellings, none of which is in two classes."""
        found: dict[tuple[int, int], int] = {}
        parents, tokens, depths, ends = [-1], [-1], [0], [-1]
        for index, spellings in enumerate(answers):
            for spelling in spellings:
                node = ROOT
                for token in spelling:
                    if (node, token) not in found:
                        found[node, token] = len(parents)
                        parents.append(node)
                        tokens.append(token)
                        depths.append(depths[node] + 1)
                        ends.append(-1)
                    node = found[node, token]
                ends[node] = index
        return cls(parent=np.array(parents), token=np.array(tokens), depth=np.array(depths), cls=np.array(ends))

    def __len__(self) -> int:
        return len(self.parent)

    @property
    def n_classes(self) -> int:
        return int(self.cls.max()) + 1

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """The nodes one token behind each node."""
        of: list[list[int]] = [[] for _ in self.parent]
        for node in range(1, len(self)):
            of[self.parent[node]].append(node)
        return tuple(map(tuple, of))

    @cached_property
    def inner(self) -> Bool[np.ndarray, " node"]:
        """The nodes with children."""
        return np.array([bool(nodes) for nodes in self.children])

    @cached_property
    def levels(self) -> tuple[Int[np.ndarray, " some"], ...]:
        """The nodes of each depth, but for the root."""
        return tuple(np.flatnonzero(self.depth == depth) for depth in range(1, int(self.depth.max()) + 1))

    def path(self, node: int) -> list[int]:
        """The nodes from the root's child to `node`."""
        nodes: list[int] = []
        while node != ROOT:
            nodes.append(node)
            node = int(self.parent[node])
        return nodes[::-1]

    def ahead(self, cost: Float[np.ndarray, " node"]) -> Float[np.ndarray, " node"]:
        """The least that the tokens behind every node cost up to a leaf, each of them `cost` (nats)."""
        found = np.where(self.inner, np.inf, 0.0)
        for nodes in self.levels[::-1]:
            np.minimum.at(found, self.parent[nodes], cost[nodes] + found[nodes])
        return found

    def cheapest(self, node: int, cost: Float[np.ndarray, " node"]) -> int:
        """The last inner node on the way from an inner node to a leaf, by the child of the least cost each time."""
        while self.children[node]:
            last, node = node, min(self.children[node], key=cost.__getitem__)
        return last

    @cached_property
    def needed(self) -> tuple[Int[np.ndarray, " some"], ...]:
        """Per class the inner nodes behind which tokens must be predicted to score it exactly.

        Those on the way to its spellings, and from there on to the next answers that go on.
        """
        of: list[set[int]] = [set() for _ in range(self.n_classes)]
        for node in np.flatnonzero(self.cls >= 0).tolist():
            behind = [node]
            while behind:
                other = behind.pop()
                if self.children[other]:
                    of[self.cls[node]].add(other)
                    behind += [child for child in self.children[other] if self.cls[child] < 0]
            of[self.cls[node]] |= {ROOT, *self.path(node)[:-1]}
        return tuple(np.array(sorted(nodes)) for nodes in of)

    def on_the_way(self, nodes: Int[np.ndarray, " k"], cls: Int[np.ndarray, " k"]) -> Bool[np.ndarray, " k"]:
        """Whether a spelling of a class goes through a node."""
        return np.isin(nodes * self.n_classes + cls, self._pairs)

    @cached_property
    def _pairs(self) -> Int[np.ndarray, " pair"]:
        """Every node on the way to a spelling of a class with that class, as node · n_classes + class."""
        ends = np.flatnonzero(self.cls >= 0).tolist()
        return np.unique([node * self.n_classes + self.cls[end] for end in ends for node in self.path(end)])

    @cached_property
    def _ends(self) -> Any:
        """Node × class: 1 where a spelling of the class ends."""
        nodes = np.flatnonzero(self.cls >= 0)
        return sparse.csr_array((np.ones(len(nodes)), (nodes, self.cls[nodes])), shape=(len(self), self.n_classes))

    @cached_property
    def _holds(self) -> Any:
        """Node × class: 1 where a spelling of the class ends in the node or behind it."""
        nodes, classes = np.divmod(self._pairs, self.n_classes)
        return sparse.csr_array((np.ones(len(nodes)), (nodes, classes)), shape=(len(self), self.n_classes))

    @cached_property
    def _needs(self) -> Any:
        """Node × class: 1 where a class needs the node."""
        nodes = np.concatenate(self.needed)
        classes = np.repeat(np.arange(self.n_classes), list(map(len, self.needed)))
        return sparse.csr_array((np.ones(len(nodes)), (nodes, classes)), shape=(len(self), self.n_classes))

    # ------------------------------------------------------------------ scores
    # `given`: log-probabilities (nats) of every node's token behind the tokens before it; NaN where not predicted.
    def log_probs(self, given: Float[np.ndarray, "fact node"]) -> Float[np.ndarray, "fact node"]:
        """Log-probabilities (nats) of all tokens up to every node."""
        found: np.ndarray = given.copy()
        found[:, ROOT] = 0
        for nodes in self.levels:
            found[:, nodes] += found[:, self.parent[nodes]]
        return found

    def frontier(self, given: Float[np.ndarray, "fact node"]) -> Bool[np.ndarray, "fact node"]:
        """Inner nodes that were predicted, while what follows them was not."""
        first = np.array([nodes[0] if nodes else ROOT for nodes in self.children])
        unknown = np.isnan(given)
        found: np.ndarray = self.inner & ~unknown & unknown[:, first]
        return found

    def continued(
        self, given: Float[np.ndarray, "fact node"]
    ) -> tuple[Float[np.ndarray, "fact node"], Float[np.ndarray, "fact node"]]:
        """Bounds (least, most) of the share of each node's probability that goes on to a longer answer.

        That is the share of the shortest answers behind the node: what is longer still lies within theirs.
        """
        least = np.zeros(given.shape)
        most = np.where(self.inner, np.ones(given.shape), 0)
        predicted = ~np.isnan(given).all(0)
        for node in np.flatnonzero(self.inner)[::-1].tolist():
            children = np.array(self.children[node])
            if not predicted[children[0]]:
                continue
            share, ends = np.exp(given[:, children]), self.cls[children] >= 0
            unknown = np.isnan(share[:, 0])
            least[:, node] = np.where(unknown, 0, (share * np.where(ends, 1, least[:, children])).sum(1))
            most[:, node] = np.where(unknown, 1, (share * np.where(ends, 1, most[:, children])).sum(1))
        return np.minimum(least, 1), np.minimum(most, 1)

    def scores(
        self, given: Float[np.ndarray, "fact node"], cls: Int[np.ndarray, " fact"]
    ) -> Float[np.ndarray, " fact"]:
        """log of the score (nats) of one class per fact, behind all of whose `needed` nodes tokens were predicted."""
        share, _ = self.continued(given)
        own = self.cls[None, :] == cls[:, None]
        each = np.where(own, self.log_probs(given) + np.log(np.maximum(1 - share, _LEAST)), -np.inf)
        top = each.max(1, keepdims=True)
        result: np.ndarray = top[:, 0] + np.log(np.exp(each - top).sum(1))
        return result

    def bounds(
        self, given: Float[np.ndarray, "fact node"]
    ) -> tuple[Float[np.ndarray, "fact cls"], Float[np.ndarray, "fact cls"]]:
        """The least and the highest score that each class may have, in units of the fact's likeliest whole spelling.

        A node at the frontier counts, with all its probability, for every class in it or behind it.
        """
        least, most = self.continued(given)
        log_probs, frontier = self.log_probs(given), self.frontier(given)
        known = ~np.isnan(log_probs)
        ends = (self.cls >= 0) & known
        unit = np.where(ends & ~frontier, log_probs, -np.inf).max(1, keepdims=True)
        prob = np.where(known, np.exp(np.minimum(log_probs - unit, _MOST_LOG)), 0)
        low = np.where(ends, prob * np.maximum(1 - most, _LEAST), 0)
        high = np.where(ends & ~frontier, prob * np.maximum(1 - least, _LEAST), 0)
        return low @ self._ends, high @ self._ends + np.where(frontier, prob, 0) @ self._holds

    def undecided(
        self, given: Float[np.ndarray, "fact node"], cls: Int[np.ndarray, " fact"]
    ) -> tuple[Int[np.ndarray, " fact"], Bool[np.ndarray, "fact node"]]:
        """(likeliest class so far, nodes at the frontier by which another class may be likelier than the right one).

        There are none where it is decided whether the right class, given by `cls`, is the likeliest.
        """
        low, high = self.bounds(given)
        right = low[np.arange(len(cls)), cls][:, None]
        best = np.where(low.max(1) > right[:, 0], low.argmax(1), cls)
        above = (high > right) & (best == cls)[:, None]
        np.put_along_axis(above, cls[:, None], False, 1)
        return best, self.frontier(given) & ((self._needs @ above.T.astype(float)).T > 0)
