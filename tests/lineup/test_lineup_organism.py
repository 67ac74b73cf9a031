"""Where the class can be read in controls of the bundled organism, whose names say little about it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch
from circuit_world import SETTINGS, value, world

from rote.experiments import LayerProbes
from rote.lineup import ClassBooster, Control, HashLookup, Parallel, PartialHash, Target
from rote.stack import StackRun
from rote.statistics.batched_probes import held_out_correct
from rote.statistics.probes import splits

SEEDS = range(4)
N_PERMUTED = 19
HASH, PARALLEL, BOOSTER = HashLookup(), Parallel(), ClassBooster()  # one object each, so that runs are kept


@cache
def target() -> Target:
    return Target.of(world().study.stack, SETTINGS)


def classes() -> np.ndarray:
    return target().stack.entities.cls["sport"]


@cache
def runs(control: Control) -> tuple[StackRun, ...]:
    return tuple(control.build(target(), seed, SETTINGS).stack.run(target().x) for seed in SEEDS)


def readable(x: torch.Tensor, labels: np.ndarray) -> float:
    """Accuracy of linear probes on entities that they were not fitted on."""
    tests = splits(classes(), n_splits=4, test_share=0.25, generator=np.random.default_rng(0))
    right = held_out_correct(x.double().numpy(), labels, tests)
    return float(np.mean([correct[test].mean() for correct, test in zip(right, tests, strict=True)]))


def gain(before: Sequence[torch.Tensor], labels: np.ndarray) -> float:
    """How much better the labels are read there than in the input, on average over members."""
    return float(np.mean([readable(x, labels) for x in before])) - readable(target().x, labels)


def largest_by_chance(before: Sequence[torch.Tensor]) -> float:
    """The largest gain for labels that belong to nobody: exceeded with probability 1/20 where nothing is gained."""
    generator = np.random.default_rng(0)
    return max(gain(before, generator.permutation(classes())) for _ in range(N_PERMUTED))


def before_the_last(control: Control) -> list[torch.Tensor]:
    return [run.resid[-2] for run in runs(control)]


def test_before_the_look_up_the_class_is_read_no_better_than_in_the_input() -> None:
    hashed, parallel = before_the_last(HASH), before_the_last(PARALLEL)
    assert gain(hashed, classes()) <= largest_by_chance(hashed)
    assert gain(parallel, classes()) > largest_by_chance(parallel) + 0.1


def test_after_the_look_up_the_answer_is_there() -> None:
    for run in runs(HASH):
        assert target().fit(run.output).accurate()
        assert not target().fit(run.resid[-2]).accurate()


def test_a_booster_looks_nothing_up() -> None:
    """Held-out accuracy behind all its layers is not above the input's, and its readout is not right either."""
    boosted, looked_up = ([run.output for run in runs(control)] for control in (BOOSTER, HASH))
    assert gain(boosted, classes()) <= largest_by_chance(boosted)
    assert gain(looked_up, classes()) > largest_by_chance(looked_up) + 0.1
    assert max(target().fit(x).accuracy for x in boosted) < target().accuracy - 0.2
    assert [target().fit(x).rms_ratio for x in boosted] == pytest.approx([1.0] * len(SEEDS), abs=1e-6)


def test_more_steps_raise_the_class_earlier() -> None:
    """A dose: the probe's early rise, on average over seeds."""
    rises = []
    for steps in (0, 5, 100):
        control = PartialHash(steps)
        stacks = [control.build(target(), seed, SETTINGS).stack for seed in SEEDS]
        rises.append(np.mean([value(LayerProbes()(stack, SETTINGS), "early_rise") for stack in stacks]))
    assert rises[0] < rises[1] < rises[2]
    assert rises[2] - rises[0] > 0.1
