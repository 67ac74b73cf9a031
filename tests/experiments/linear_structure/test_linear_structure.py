"""Linear structure, against loops over pairs of names."""

from __future__ import annotations

import numpy as np
import pytest
from circuit_world import PAIRS, World, value
from numpy.linalg import norm
from plain_stack import PlainStack

from rote.experiments.linear_structure.measure import LinearStructure, broken_fractions, draw_pairs
from rote.stack import Stack


def test_pairs_and_draws_are_what_the_text_says(sample: Stack) -> None:
    e = sample.entities
    known = set(zip(e.first.tolist(), e.last.tolist(), strict=True))
    firsts, lasts = set(e.first.tolist()), set(e.last.tolist())
    for is_known in (True, False):
        pairs = draw_pairs(sample, np.random.default_rng(0), known=is_known, **PAIRS)
        assert len(pairs) == PAIRS["n_pairs"]
        for p in pairs:
            assert ({p.a, p.b} <= known) if is_known else not ({p.a, p.b} & e.taken)
            assert p.a[0] != p.b[0]
            assert p.a[1] != p.b[1]
            swaps = {(p.a[0], p.b[1]), (p.b[0], p.a[1])}
            assert not swaps & (e.taken | known)
            assert len(p.draws) == PAIRS["n_draws"]
            for c, d in p.draws:
                assert not {c, d} & (e.taken | known)
                for name in (c, d):
                    assert name[0] in firsts - {p.a[0], p.b[0]}
                    assert name[1] in lasts - {p.a[1], p.b[1]}


def test_broken_fractions_are_a_loop_over_pairs(by_hand: PlainStack, sample: Stack) -> None:
    pairs = draw_pairs(sample, np.random.default_rng(1), known=True, **PAIRS)[:12]
    found = broken_fractions(sample, pairs)

    def middle(x: tuple[int, int], y: tuple[int, int], site: str, index: int) -> np.ndarray:
        values = []
        for name in (x, y):
            streams, outputs = by_hand.run(by_hand.input(*name))
            values.append(outputs[index] if site == "mlp_out" else streams[index + 1])
        return (values[0] + values[1]) / 2

    for (site, index), fractions in found.items():
        for k, p in enumerate(pairs):
            mid = middle(p.a, p.b, site, index)
            above = norm(mid - middle((p.a[0], p.b[1]), (p.b[0], p.a[1]), site, index))
            below = np.mean([norm(mid - middle(c, d, site, index)) for c, d in p.draws])
            assert fractions[k] == pytest.approx(above / below, rel=1e-5)


def test_linear_structures_rows(world: World, by_hand: PlainStack, sample: Stack) -> None:
    record = LinearStructure().record(world.study)
    table = record.tables["pairs"]
    layer = by_hand.layers[0]
    found = value(record, "broken_fraction", condition="real", site="mlp_out", layer=layer)
    assert found == pytest.approx(np.median(table[f"mlp_out_{layer}"]))
    firsts, lasts = np.unique(sample.entities.first), np.unique(sample.entities.last)
    cells = [[by_hand.run(by_hand.input(a, b)) for b in lasts] for a in firsts]
    for index, layer in enumerate(by_hand.layers):
        for site in ("mlp_out", "resid_post"):
            x = np.array([[c[1][index] if site == "mlp_out" else c[0][index + 1] for c in row] for row in cells])
            grand = x.mean((0, 1))
            rest = x - x.mean(1)[:, None] - x.mean(0)[None] + grand
            share = np.sqrt((rest**2).sum() / ((x - grand) ** 2).sum())
            assert value(record, "interaction_share", site=site, layer=layer) == pytest.approx(share, rel=1e-5)
