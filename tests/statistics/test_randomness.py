"""Randomness depends on (seed, experiment, item) and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from rote.statistics import rng, stratified_halves


def test_the_generator_of_an_item_is_fixed_for_ever() -> None:
    # written down once: another process, platform or version must draw the same
    assert rng(0, "path_ablation", "mlp.2").integers(0, 1000, 4).tolist() == [766, 539, 882, 626]


def test_items_seeds_and_experiments_are_apart() -> None:
    draws = [rng(*key).integers(0, 2**62) for key in [(0, "a", "1"), (0, "a", 1), (1, "a", 1), (0, "b", 1), (0, "a")]]
    assert len(set(draws)) == 5
    assert rng(np.int64(3), "a", 1).integers(0, 2**62) == rng(3, "a", 1).integers(0, 2**62)


@pytest.mark.parametrize("seed", range(4))
def test_halves_are_stratified_and_even(seed: int) -> None:
    cls = rng(seed, "cls").choice(5, 203, p=[0.5, 0.3, 0.1, 0.05, 0.05])
    ids = [f"name {i}" for i in range(203)]
    selection = stratified_halves(cls, ids=ids, seed=seed)
    assert abs(int(selection.sum()) - int((~selection).sum())) <= 1
    for value in range(5):
        assert abs(int(selection[cls == value].sum()) - int((~selection)[cls == value].sum())) <= 1


def test_halves_do_not_depend_on_the_order_of_the_table() -> None:
    cls, ids = rng(0, "cls").integers(0, 3, 100), [f"n{i}" for i in range(100)]
    order = rng(0, "order").permutation(100)
    selection = stratified_halves(cls, ids=ids, seed=0)
    moved = stratified_halves(cls[order], ids=[ids[i] for i in order], seed=0)
    assert (moved == selection[order]).all()
    assert (stratified_halves(cls, ids=ids, seed=1) != selection).any()
    names = np.array(["a", "b", "c"])[cls]
    assert (stratified_halves(names, ids=ids, seed=0) == selection).all()


def test_an_entity_never_stands_in_both_halves() -> None:
    with pytest.raises(ValueError, match="repeat"):
        stratified_halves(np.zeros(3, dtype=int), ids=["a", "b", "a"], seed=0)


def test_entities_that_are_the_only_ones_of_their_class_are_halved_at_random() -> None:
    """Countries and capitals: by turns, in the order of the classes, every seed would give the same halves."""
    cls, ids = np.arange(61), [f"n{i}" for i in range(61)]
    halves = [stratified_halves(cls, ids=ids, seed=seed) for seed in range(4)]
    assert all(abs(int(half.sum()) - int((~half).sum())) <= 1 for half in halves)
    assert len({half.tobytes() for half in halves}) == 4
    order = rng(0, "order").permutation(61)
    moved = stratified_halves(cls[order], ids=[ids[i] for i in order], seed=0)
    assert (moved == halves[0][order]).all()


def test_classes_that_repeat_are_still_stratified_beside_single_ones() -> None:
    cls = np.concatenate([np.zeros(8, dtype=int), np.arange(1, 31)])
    for seed in range(4):
        selection = stratified_halves(cls, ids=[f"n{i}" for i in range(38)], seed=seed)
        assert int(selection[:8].sum()) == 4 and abs(int(selection.sum()) - 19) <= 1


def test_a_few_single_ones_go_by_turns_as_ever() -> None:
    cls = np.array([*[0] * 9, *[1] * 9, 2, 3, 4, 5])
    selection = stratified_halves(cls, ids=[f"n{i}" for i in range(22)], seed=0)
    assert selection[-4:].tolist() == [True, False, True, False]
