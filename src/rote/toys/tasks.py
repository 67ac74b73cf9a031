"""What toy networks learn: a class for each pair of integers, by rote or by a rule; one list of facts per network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int

from rote.statistics import rng
from rote.toys.pairs import AllPairs, ListedPairs, Pairs

N_STRIPES = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class PairFacts:
    """Pairs of integers with their class, for several networks; `counts` is false where a list is padded.

    `sides` holds one bit for each integer in either place: the stripes of a checkerboard, else a random half of the
    integers, whose XOR is a property of the pair that no sum over its integers gives.
    """

    n_integers: int
    n_classes: int
    first: Int[np.ndarray, "model fact"]
    second: Int[np.ndarray, "model fact"]
    label: Int[np.ndarray, "model fact"]
    seen: Bool[np.ndarray, "model fact"]
    counts: Bool[np.ndarray, "model fact"]
    sides: Bool[np.ndarray, "model place integer"]

    @property
    def n_seen(self) -> Int[np.ndarray, " model"]:
        return np.asarray((self.seen & self.counts).sum(axis=1))

    def pairs(self) -> Pairs:
        """The inputs, in the form that is cheapest for them."""
        if self.is_product:
            return AllPairs(self.n_integers)
        first, second, counts = (torch.from_numpy(np.array(p)) for p in (self.first, self.second, self.counts))
        return ListedPairs(first, second, counts, self.n_integers)

    @property
    def is_product(self) -> bool:
        """Whether every network has every pair, second integer fastest."""
        n = self.n_integers
        return self.first.shape[1] == n * n and bool(
            (self.first * n + self.second == np.arange(n * n)).all() and self.counts.all()
        )


def xor_of(
    sides: Bool[np.ndarray, "model place integer"],
    first: Int[np.ndarray, "model fact"],
    second: Int[np.ndarray, "model fact"],
) -> Bool[np.ndarray, "model fact"]:
    return np.asarray(np.take_along_axis(sides[:, 0], first, 1) ^ np.take_along_axis(sides[:, 1], second, 1))


def random_bits(
    a: Int[np.ndarray, " fact"], b: Int[np.ndarray, " fact"], n: int, generator: np.random.Generator
) -> np.ndarray:
    """A fair bit for each pair: nothing but the pair itself tells it."""
    return generator.integers(0, 2, len(a))


def checkerboard(
    a: Int[np.ndarray, " fact"], b: Int[np.ndarray, " fact"], n: int, generator: np.random.Generator
) -> np.ndarray:
    """The colour of the pair's square on a board of N_STRIPES × N_STRIPES squares."""
    return np.asarray((a * N_STRIPES // n + b * N_STRIPES // n) % 2)


def modular_addition(
    a: Int[np.ndarray, " fact"], b: Int[np.ndarray, " fact"], n: int, generator: np.random.Generator
) -> np.ndarray:
    """Whether (a + b) mod n lies in the lower half."""
    return np.asarray((a + b) % n < n // 2).astype(int)


Rule = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], np.ndarray]
TASKS: dict[str, Rule] = {
    "memorisation": random_bits,
    "checkerboard": checkerboard,
    "modular_addition": modular_addition,
}


def all_pairs(task: str, n_integers: int, seeds: Sequence[int], *, unseen_share: float, item: str = "") -> PairFacts:
    """Every pair of integers with its bit by the task's rule; a random share of the pairs is never trained on.

    `item` tells the same seeds of another configuration apart. ValueError unless `n_integers` is a multiple of 8.
    """
    if n_integers % (2 * N_STRIPES):
        raise ValueError(f"{n_integers} integers cannot be halved and striped evenly: expected a multiple of 8")
    first, second = (part.ravel() for part in np.divmod(np.arange(n_integers**2), n_integers))
    n_unseen = round(unseen_share * len(first))
    label, seen, sides = [], [], []
    for seed in seeds:
        generator = rng(seed, "toy_task", f"{task}/{item}")
        label.append(TASKS[task](first, second, n_integers, generator))
        seen.append(generator.permutation(len(first)) >= n_unseen)
        sides.append(
            np.tile(np.arange(n_integers) * N_STRIPES // n_integers % 2 == 1, (2, 1))
            if task == "checkerboard"
            else random_halves(n_integers, generator)
        )
    shape = (len(seeds), len(first))
    return PairFacts(
        n_integers=n_integers,
        n_classes=2,
        first=np.broadcast_to(first, shape),
        second=np.broadcast_to(second, shape),
        label=np.array(label),
        seen=np.array(seen),
        counts=np.ones(shape, dtype=bool),
        sides=np.array(sides),
    )


def random_halves(n_integers: int, generator: np.random.Generator) -> Bool[np.ndarray, "place integer"]:
    """A bit for each integer in either place, half of them 1."""
    return np.stack([generator.permutation(n_integers) < n_integers // 2 for _ in range(2)])


def random_facts(n_integers: int, n_classes: int, n_facts: Sequence[int], seeds: Sequence[int]) -> PairFacts:
    """Random distinct pairs with random classes; network i has n_facts[i] of them, the first of one endless list.

    So a network that is asked for more facts is asked for those it had before and further ones. Raises ValueError for
    more facts than pairs.
    """
    width = max(n_facts)
    if width > n_integers**2:
        raise ValueError(f"{width} facts asked of {n_integers}² pairs: take more integers")
    drawn = []
    for seed in seeds:
        generator = rng(seed, "toy_facts", f"{n_integers}/{n_classes}")
        drawn.append(
            (generator.permutation(n_integers**2)[:width], generator.integers(0, n_classes, n_integers**2)[:width])
        )
    pairs, label = (np.array(part) for part in zip(*drawn, strict=True))
    counts = np.arange(width) < np.array(n_facts)[:, None]
    return PairFacts(
        n_integers=n_integers,
        n_classes=n_classes,
        first=pairs // n_integers,
        second=pairs % n_integers,
        label=label,
        seen=counts,
        counts=counts,
        sides=np.zeros((len(seeds), 2, n_integers), dtype=bool),
    )
