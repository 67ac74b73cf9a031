"""Experiments on the stack and their full parts on the model, against loops over names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from circuit_world import PAIRS, SETTINGS, World, value
from numpy.linalg import norm
from plain_neox import add, put
from plain_stack import PlainStack

from rote.experiments.known_norms.measure import KnownNorms, names
from rote.experiments.linear_structure.measure import LinearStructure, broken_fractions, draw_pairs
from rote.experiments.path_ablation.measure import PathAblation
from rote.experiments.populations import sampled
from rote.records import Record
from rote.stack import Stack
from rote.statistics import rng


def facts_of(world: World, sample: Stack) -> list[int]:
    return [world.entities.index(name) for name in sample.entities.names]


def test_the_sample_is_of_the_report_half_and_keeps_class_shares(world: World, sample: Stack) -> None:
    chosen = facts_of(world, sample)
    assert len(chosen) == SETTINGS.max_entities < len(world.report)
    assert set(chosen) <= set(world.report)
    shares = np.bincount(np.array(world.cls)[chosen], minlength=3) / len(chosen)
    assert np.abs(shares - np.bincount(np.array(world.cls)[world.report]) / len(world.report)).max() < 0.04
    again = sampled(np.array(world.cls)[world.report], SETTINGS, "sport")
    assert [world.report[i] for i in again] == chosen


# ------------------------------------------------------------------ path ablation


@pytest.fixture(scope="module")
def paths(world: World) -> Record:
    return PathAblation().record(world.study)


def replacements(by_hand: PlainStack, sample: Stack, how: str) -> list[list[np.ndarray]]:
    """Per draw and layer, [entity, d_model]: what takes the place of an MLP's output."""
    e = sample.entities
    outputs = [by_hand.run(by_hand.input(a, b))[1] for a, b in zip(e.first, e.last, strict=True)]
    layers = [np.array([o[index] for o in outputs]) for index in range(len(by_hand.layers))]
    cls = e.cls["sport"]
    if how == "mean":
        return [[np.tile(x.mean(0), (len(x), 1)) for x in layers]]
    if how == "resample":
        generator = rng(SETTINGS.seed, "path_ablation", "sport")
        draws = []
        for _ in range(SETTINGS.n_resamples_ablation):
            source = [int(generator.choice(np.flatnonzero(cls != c))) for c in cls]
            draws.append([x[source] for x in layers])
        return draws
    firsts, lasts = np.unique(e.first), np.unique(e.last)
    cells = np.array([[by_hand.run(by_hand.input(a, b))[1] for b in lasts] for a in firsts])
    additive = []
    for index in range(len(by_hand.layers)):
        table = cells[:, :, index]
        grand, row, column = table.mean((0, 1)), table.mean(1), table.mean(0)
        place = [
            (np.flatnonzero(firsts == a)[0], np.flatnonzero(lasts == b)[0])
            for a, b in zip(e.first, e.last, strict=True)
        ]
        additive.append(np.array([row[i] + column[j] - grand for i, j in place]))
    return [additive]


@pytest.mark.parametrize("how", ["mean", "resample", "additive"])
def test_path_ablation_on_the_stack(by_hand: PlainStack, sample: Stack, paths: Record, how: str) -> None:
    e, n = sample.entities, len(by_hand.layers)
    cls = e.cls["sport"]
    draws = replacements(by_hand, sample, how)
    xs = [by_hand.input(a, b) for a, b in zip(e.first, e.last, strict=True)]
    clean = [by_hand.run(x) for x in xs]
    before = [by_hand.log_probs(streams[-1]) for streams, _ in clean]

    def metrics(changed: Sequence[np.ndarray]) -> dict[str, float]:
        after = [by_hand.log_probs(x) for x in changed]
        right = np.mean([a.argmax() == c for a, c in zip(after, cls, strict=True)])
        loss = np.mean([-a[c] for a, c in zip(after, cls, strict=True)])
        kl = np.mean([(np.exp(b) * (b - a)).sum() for b, a in zip(before, after, strict=True)])
        return {"accuracy_cls": right, "loss_nats": loss, "kl_nats": kl}

    start = metrics([streams[-1] for streams, _ in clean])

    def ablated(i: int, later: range) -> dict[str, float]:
        means = []
        for values in draws:
            shifts = [values[i][k] - clean[k][1][i] for k in range(len(xs))]
            changed = [by_hand.run(x, shift=dict.fromkeys(later, shifts[k]))[0][-1] for k, x in enumerate(xs)]
            means.append(metrics(changed))
        return {name: float(np.mean([m[name] for m in means])) for name in means[0]}

    every = []
    for i in range(n - 1):
        for j in range(i + 1, n):
            after = ablated(i, range(j, j + 1))
            key = {"stack": "effective", "condition": how, "source": f"mlp.{by_hand.layers[i]}"}
            for name in after:
                found = value(paths, f"path_delta_{name}", layer=by_hand.layers[j], **key)
                literal = after[name] - start[name]
                assert found == pytest.approx(literal, rel=1e-5, abs=1e-5), (name, i, j)
        all_paths = ablated(i, range(i + 1, n))["kl_nats"]
        removed = np.mean(
            [
                metrics([by_hand.run(x, out={i: values[i][k]})[0][-1] for k, x in enumerate(xs)])["kl_nats"]
                for values in draws
            ]
        )
        rows = [r for r in paths.rows if r.statistic == "path_share" and r.stack == "effective" and r.condition == how]
        (found,) = [r.value for r in rows if r.layer == by_hand.layers[i]]
        assert found == pytest.approx(all_paths / removed, rel=1e-5, abs=1e-5)
        every.append((all_paths, removed))
    (overall,) = [r for r in rows if r.layer is None]
    above, below = (sum(column) for column in zip(*every, strict=True))
    assert overall.value == pytest.approx(above / below, rel=1e-5, abs=1e-5)
    assert (overall.site, overall.source, overall.n) == (None, None, len(e))


@pytest.mark.parametrize("how", ["mean", "resample", "additive"])
def test_path_ablation_on_the_model(world: World, paths: Record, how: str) -> None:
    study, plain, layers = world.study.sample, world.plain, world.circuit.window.layers
    chosen = [world.entities.index(name) for name in study.recall.names]
    clean = {n: [world.clean[i]["mlp_out", n][world.last[i]] for i in chosen] for n in layers}
    if how == "additive":
        ids = [world.names[i] for i in chosen]
        firsts, lasts = (np.unique([name[k] for name in ids]) for k in (1, 2))
        cells = {
            (a, b): plain.run([ids[0][0], int(a), int(b)]) for a in firsts for b in lasts
        }  # the product is complete: at most 36² cells
        fits = {}
        for n in layers:
            table = np.array([[cells[a, b]["mlp_out", n][-1].double().numpy() for b in lasts] for a in firsts])
            fits[n] = [
                table.mean(1)[np.flatnonzero(firsts == name[1])[0]]
                + table.mean(0)[np.flatnonzero(lasts == name[2])[0]]
                - table.mean((0, 1))
                for name in ids
            ]
    sources = study.recall.others.tolist() if how == "resample" else [None]

    def replaced(n: int, source: list[int] | None) -> list[torch.Tensor]:
        if how == "mean":
            return [torch.stack(clean[n]).mean(0)] * len(chosen)
        if source is not None:
            return [clean[n][k] for k in source]
        shift = torch.stack(clean[n]).double().mean(0) - torch.as_tensor(np.mean(fits[n], axis=0))
        return [(torch.as_tensor(x) + shift).float() for x in fits[n]]

    def metrics(traces: list[dict]) -> dict[str, float]:  # type: ignore[type-arg]
        logits = [t["logits"][-1] for t in traces]
        probs = [torch.log_softmax(x, -1) for x in logits]
        before = [torch.log_softmax(world.clean[i]["logits"][-1], -1) for i in chosen]
        answers = [world.class_tokens[world.cls[i]] for i in chosen]
        x = torch.stack(
            [t["resid_post", layers[-1]][world.last[i]].double() for t, i in zip(traces, chosen, strict=True)]
        )
        clean_x = torch.stack([world.clean[i]["resid_post", layers[-1]][world.last[i]].double() for i in chosen])
        scores = (x - clean_x.mean(0)) @ world.study.stack.readouts["sport"].weight.double()
        return {
            "accuracy": float(np.mean([int(x.argmax()) == a for x, a in zip(logits, answers, strict=True)])),
            "accuracy_cls": float(np.mean([world.right(t, i) for t, i in zip(traces, chosen, strict=True)])),
            "loss_nats": float(np.mean([-float(p[a]) for p, a in zip(probs, answers, strict=True)])),
            "kl_nats": float(np.mean([float((b.exp() * (b - p)).sum()) for b, p in zip(before, probs, strict=True)])),
            "readout_accuracy": float(
                np.mean([int(s.argmax()) == world.cls[i] for s, i in zip(scores, chosen, strict=True)])
            ),
        }

    start = metrics([world.clean[i] for i in chosen])

    def patched(source_layer: int, later: Sequence[int], removed: bool = False) -> dict[str, float]:
        means = []
        for source in sources:
            values, traces = replaced(source_layer, source), []
            for k, i in enumerate(chosen):
                s = world.last[i]
                changes = {("mlp_in", j): add(s, values[k] - clean[source_layer][k]) for j in later}
                if removed:
                    changes["mlp_out", source_layer] = put(s, values[k])
                traces.append(plain.run(world.full[i], changes))
            means.append(metrics(traces))
        return {name: float(np.mean([m[name] for m in means])) for name in means[0]}

    i, j = layers[0], layers[-1]
    after = patched(i, [j])
    for name, figure in after.items():
        found = value(paths, f"path_delta_{name}", stack="model", condition=how, source=f"mlp.{i}", layer=j)
        assert found == pytest.approx(figure - start[name], rel=1e-5, abs=1e-5), name
    every = []
    for index, i in enumerate(layers[:-1]):
        every.append((patched(i, layers[index + 1 :])["kl_nats"], patched(i, [], removed=True)["kl_nats"]))
        found = value(paths, "path_share", stack="model", condition=how, layer=i)
        assert found == pytest.approx(every[-1][0] / every[-1][1], rel=1e-5, abs=1e-5)
    above, below = (sum(column) for column in zip(*every, strict=True))
    found = value(paths, "path_share", stack="model", condition=how, layer=None)
    assert found == pytest.approx(above / below, rel=1e-5, abs=1e-5)


# ---------------------------------------------------------------- linear structure


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


# -------------------------------------------------------------------- known norms


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
