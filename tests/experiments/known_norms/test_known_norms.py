"""Norms of known and unknown names on the stack and on the model, against loops over names."""

from __future__ import annotations

import numpy as np
import pytest
from circuit_world import SETTINGS, World, value
from numpy.linalg import norm
from plain_stack import PlainStack

from rote.experiments.known_norms.measure import KnownNorms, names
from rote.stack import Stack


def one_hot_residual(values: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    firsts, lasts = np.unique(first), np.unique(last)
    design = np.zeros((len(values), len(firsts) + len(lasts)))
    for k in range(len(values)):
        design[k, np.flatnonzero(firsts == first[k])[0]] = 1
        design[k, len(firsts) + np.flatnonzero(lasts == last[k])[0]] = 1
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


def pairwise_auc(values: np.ndarray, known: np.ndarray) -> float:
    return float(np.mean([(a > b) + 0.5 * (a == b) for a in values[known] for b in values[~known]]))


def effect_size(values: np.ndarray, known: np.ndarray) -> float:
    a, b = values[known], values[~known]
    pooled = np.sqrt((((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum()) / (len(a) + len(b) - 2))
    return float((a.mean() - b.mean()) / pooled)


def test_known_norms_on_the_stack_and_the_model(world: World, by_hand: PlainStack, sample: Stack) -> None:
    record = KnownNorms().record(world.study)
    first, last, known = names(sample, KnownNorms().n_unknown, SETTINGS.seed)
    e = sample.entities
    cells = list(zip(first.tolist(), last.tolist(), strict=True))
    assert cells[: len(e)] == list(zip(e.first.tolist(), e.last.tolist(), strict=True))
    assert len(set(cells)) == len(cells)
    assert not set(cells[len(e) :]) & e.taken
    assert 0 < len(cells) - len(e) <= KnownNorms().n_unknown
    token_first = np.unique([n[1] for n in world.names])
    token_last = np.unique([n[2] for n in world.names])
    bos = world.names[0][0]
    effective = [by_hand.run(by_hand.input(a, b))[1] for a, b in cells]
    traces = [world.plain.run([bos, int(token_first[a]), int(token_last[b])]) for a, b in cells]
    for index, layer in enumerate(by_hand.layers):
        for stack, norms in (
            ("effective", [norm(outputs[index]) for outputs in effective]),
            ("model", [float(t["mlp_out", layer][-1].double().norm()) for t in traces]),
        ):
            raw = np.array(norms)
            for condition, values in (("raw", raw), ("adjusted", one_hot_residual(raw, first, last))):
                key = {"stack": stack, "layer": layer, "condition": condition}
                assert value(record, "norm_auc", **key) == pytest.approx(pairwise_auc(values, known), abs=1e-5)
                assert value(record, "norm_d", **key) == pytest.approx(effect_size(values, known), rel=1e-5, abs=1e-5)
