"""Path ablation on the stack and on the model, against loops over names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from circuit_world import SETTINGS, World, value
from plain_neox import add, put
from plain_stack import PlainStack

from rote.experiments.path_ablation.measure import PathAblation
from rote.records import Record
from rote.stack import Stack
from rote.statistics import rng


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
