"""Randomness from (seed, experiment, item), never from the order in which things run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from jaxtyping import Bool, Int, Shaped


def rng(seed: int, experiment: str, item: str | int = "") -> np.random.Generator:
    """The generator of one item of one experiment: PCG64 seeded by sha256 of JSON [seed, experiment, item].

    The same in every process and on every platform, and independent between items.
    """
    return np.random.Generator(np.random.PCG64(int.from_bytes(_digest(seed, experiment, item), "big")))


def _digest(seed: int, experiment: str, item: str | int) -> bytes:
    item = item if isinstance(item, str) else int(item)
    return sha256(json.dumps([int(seed), experiment, item]).encode("ascii")).digest()


def stratified_halves(
    cls: Shaped[np.ndarray, " entity"], *, ids: Sequence[str], seed: int, experiment: str = "halves"
) -> Bool[np.ndarray, " entity"]:
    """True for the selection half, False for the report half, stratified by class.

    Within each class the entities are sorted by sha256 of (seed, experiment, id) and the first half is taken,
    so the split depends on ids and classes alone, not on the order of the table. In classes of odd size the
    odd one goes to the selection half and to the report half by turns, so the halves differ by at most one
    in all. Where most entities are the only ones of their class (countries and capitals), there is nothing to
    stratify these by: they are halved together, as if of one class. Raises ValueError for ids that repeat (one
    entity could fall into both halves), or are not one per class.
    """
    cls = np.asarray(cls)
    if len(ids) != len(cls):
        raise ValueError(f"{len(ids)} ids for {len(cls)} classes: expected one id for each entity")
    repeated = len(ids) - len(set(ids))
    if repeated:
        raise ValueError(
            f"{repeated} ids repeat: expected one row for each entity, so that no entity is in both halves"
        )
    cls = _pooled(cls)
    keys = np.array([_digest(seed, experiment, str(name)).hex() for name in ids], dtype=str)
    selection = np.zeros(len(cls), dtype=bool)
    odd_to_selection = True
    for value in np.unique(cls):
        members = np.flatnonzero(cls == value)
        members = members[np.argsort(keys[members])]
        size = len(members) // 2
        if len(members) % 2:
            size += odd_to_selection
            odd_to_selection = not odd_to_selection
        selection[members[:size]] = True
    return selection


def _pooled(cls: Shaped[np.ndarray, " entity"]) -> Int[np.ndarray, " entity"]:
    """Class numbers; the classes of one entity are one class, −1, where most entities are of such."""
    _, number, count = np.unique(cls, return_inverse=True, return_counts=True)
    single = count[number] == 1
    pooled: Int[np.ndarray, " entity"] = np.where(single, -1, number) if 2 * single.sum() > len(cls) else number
    return pooled


def stratified_sample(
    cls: Int[np.ndarray, " entity"], *, size: int, generator: np.random.Generator
) -> Int[np.ndarray, " chosen"]:
    """Indices, ascending, of at most `size` random entities that keep the class shares."""
    order = generator.permutation(len(cls))
    place = np.empty(len(cls))
    for c in np.unique(cls):  # evenly spaced places within each class keep the class shares
        of_class = order[cls[order] == c]
        place[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    return np.sort(np.argsort(place, kind="stable")[:size])
