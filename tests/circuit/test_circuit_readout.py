"""The heads' readout by hand from the checkpoint, and what it reads under every condition."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from circuit_world import SETTINGS, World, model
from plain_neox import Change, put
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from rote.asking import Recall
from rote.circuit.extraction import CONDITIONS, Condition, answer_ranks, head_readouts, residuals
from rote.circuit.window import condition_curve
from rote.experiments.base import Study
from rote.experiments.readout.measure import ReadoutExperiment
from rote.statistics import rng
from rote.statistics.probes import logistic_directions


def literal_weight(world: World, heads: tuple[tuple[int, int], ...]) -> Tensor:
    """Σ_h p̄ · norm · W_V · W_O · final norm · unembedding, from the state dict, in float64."""
    plain, use = world.plain, world.selection
    identity = torch.eye(128, dtype=torch.float64)
    finals = [plain.scale(world.clean[i]["resid_post", 5][-1]) for i in use]
    final_scale = float(torch.stack(finals).mean())
    total = torch.zeros(128, 3, dtype=torch.float64)
    for layer, head in heads:
        scale = float(torch.stack([plain.scale(x) for x in world.at_name("attn_in", layer)])[use].mean())
        x = (identity - identity.mean(1, keepdim=True)) / scale * plain.block(layer, "input_layernorm.weight")
        weights = [float(world.clean[i]["pattern", layer][head, -1, world.last[i]]) for i in use]
        x = x @ plain.w_v(layer, head) @ plain.w_o(layer, head) * np.mean(weights)
        x = (x - x.mean(1, keepdim=True)) / final_scale * plain.weights["gpt_neox.final_layer_norm.weight"]
        total += x @ plain.unembed(world.class_tokens)
    return total


def test_the_readouts_weight_is_the_folded_ov_circuit(world: World) -> None:
    heads = world.circuit.top_heads[:3]
    for n, readout in enumerate(head_readouts(world.recall, heads), start=1):
        literal = literal_weight(world, heads[:n])
        assert float((readout.weight - literal).abs().max()) < 1e-5 * float(literal.abs().max())


def ablation(world: World, what: str, layer: int, draw: list[int] | None, i: int, name_only: bool) -> Change:
    clean = world.at_name(what, layer, name_only=name_only)
    value = torch.stack(clean).mean(0) if draw is None else clean[draw[i]]
    return put(2 if name_only else world.last[i], value)


ABLATED = [(c, how) for c in CONDITIONS for how in ("mean", "resample") if c.late_attention_ablated or how == "mean"]


@pytest.mark.parametrize(("condition", "how"), ABLATED, ids=[f"{c.name}-{how}" for c, how in ABLATED])
def test_readout_accuracy_per_layer_under_every_condition(world: World, condition: Condition, how: str) -> None:
    heads, first_mlps, attention_from = world.circuit.readout_heads, (1,), world.circuit.attention_from
    found = condition_curve(world.recall, heads, condition, how, attention_from, first_mlps)
    weight = literal_weight(world, heads)
    assert list(found) == list(range(-1, heads[0][0]))
    shares = {layer: np.zeros(len(world.recall)) for layer in found}
    draws: list[list[int] | None] = [None] if how == "mean" else list(world.others)
    for draw in draws:
        streams: list[list[Tensor]] = []
        for i in range(len(world.recall)):
            changes = {}
            if condition.late_attention_ablated:
                for layer in range(attention_from, 6):
                    change = ablation(world, "attn_out", layer, draw, i, condition.name_only)
                    changes["attn_out", layer] = change
            if condition.first_mlps_ablated:
                for layer in first_mlps:
                    changes["mlp_out", layer] = ablation(world, "mlp_out", layer, draw, i, condition.name_only)
            trace = world.plain.run((world.names if condition.name_only else world.full)[i], changes)
            s = -1 if condition.name_only else world.last[i]
            streams.append([trace["resid_pre", layer + 1][s].double() for layer in found])
        for place, layer in enumerate(found):
            x = torch.stack([stream[place] for stream in streams])
            scores = (x - x.mean(0)) @ weight
            right = [int(row.argmax()) == c for row, c in zip(scores, world.cls, strict=True)]
            shares[layer] += np.array(right) / len(draws)
    for layer, share in found.items():
        assert np.abs(share - shares[layer]).max() < 1e-9, layer


def test_the_residual_stream_is_that_of_a_plain_pass(world: World) -> None:
    for name_only in (False, True):
        found = residuals(world.recall, [], range(-1, 6), name_only=name_only)
        for layer in range(-1, 6):
            what, number = ("resid_pre", 0) if layer == -1 else ("resid_post", layer)
            literal = torch.stack(world.at_name(what, number, name_only=name_only))
            assert float((found[layer] - literal).abs().max()) < 1e-5 * float(literal.abs().max())


def test_the_temperature_minimises_the_loss_on_the_selection_half(world: World) -> None:
    heads = world.circuit.readout_heads
    readout, layer = head_readouts(world.recall, heads)[-1], heads[0][0]
    x = world.recall.at_subject("resid_pre", (layer,))[layer]
    cls = np.array(world.cls)
    noisy = x + 2 * x.std() * torch.as_tensor(np.random.default_rng(0).standard_normal(x.shape)).float()
    fitted = readout.centred_on(noisy).calibrated(noisy, cls, world.recall.selection)

    def loss(temperature: float, use: np.ndarray) -> float:
        scores = fitted.scores(noisy).double()[torch.as_tensor(use)] / temperature
        n, k = scores.shape
        smooth = torch.full_like(scores, 1 / (n + k))
        smooth[range(n), cls[use]] = (n + 1) / (n + k)
        return float(-(smooth * torch.log_softmax(scores, -1)).sum(-1).mean())

    grid = np.exp(np.linspace(-4, 6, 2001))
    best = min(loss(t, world.recall.selection) for t in grid)
    assert loss(fitted.temperature, world.recall.selection) <= best + 1e-9
    other = cls.copy()
    other[world.report] = (other[world.report] + 1) % 3
    again = readout.centred_on(noisy).calibrated(noisy, other, world.recall.selection)
    assert again.temperature == fitted.temperature


def one_of_each(world: World) -> Recall:
    """As with countries and capitals: each entity is told to have an answer of its own."""
    prompts = world.recall.prompts
    n = len(prompts)
    tokens = np.random.default_rng(0).choice(1000, n, replace=False) + 100
    every = tuple(f"answer {i}" for i in range(n))
    alone = replace(prompts, cls=np.arange(n), classes=every, class_tokens=tokens)
    return Recall.of(model(), alone, np.ones(n, dtype=bool), SETTINGS)


def test_with_one_entity_per_answer_the_heads_are_read_and_what_needs_classes_is_absent(world: World) -> None:
    recall = one_of_each(world)
    assert abs(int(recall.selection.sum()) - int((~recall.selection).sum())) <= 1
    for draw in recall.others.numpy():
        assert (recall.cls[draw] != recall.cls).all() and (recall.selection[draw] == recall.selection).all()
    heads = world.circuit.readout_heads
    circuit = replace(world.circuit, readout_heads=heads)
    study = Study(prompts=recall.prompts, known=world.known, recall=recall, circuit=circuit)
    record = ReadoutExperiment().record(study)
    fitted = [r for r in record.rows if json.loads(r.parameters or "{}").get("readout") != "heads"]
    assert not [r for r in fitted if r.statistic == "readout_accuracy"]
    lacking = [a for a in record.absent if "has known entities in both halves" in a.reason]
    assert {a.condition for a in lacking if a.statistic == "subspace_flip"} == {
        "logistic_subspace", "logistic_row_space", "logistic_null_space"
    }  # fmt: skip
    without = {json.loads(a.parameters)["readout"] for a in lacking if a.statistic == "readout_accuracy"}
    assert without == {"logistic", "logistic_control"}
    assert {"readout_accuracy", "readout_rank", "temperature", "subspace_flip"} <= {r.statistic for r in record.rows}


def test_beside_the_regression_stands_the_same_one_fitted_to_permuted_labels(world: World) -> None:
    record = ReadoutExperiment().record(world.study)
    rows = [r for r in record.rows if r.statistic == "readout_accuracy"]
    found = {(json.loads(r.parameters)["readout"], r.layer): r for r in rows if r.condition == "full"}
    last, cls = world.circuit.readout_heads[0][0], np.array(world.cls)
    by_name = sorted(world.selection, key=lambda i: world.recall.names[i])
    x = torch.stack(world.at_name("resid_pre", last)).double().numpy()  # the stream after the layer before
    x = (x - x[world.selection].mean(0)) / x[world.selection].std(0)
    generator, right = rng(0, "readout", "sport/control_labels"), []
    for _ in range(2):
        told = LogisticRegression(C=1.0, max_iter=1000).fit(x[by_name], generator.permutation(cls[by_name]))
        right.append((told.predict(x[world.report]) == cls[world.report]).mean())
    control, regression = found["logistic_control", last - 1], found["logistic", last - 1]
    assert control.value == pytest.approx(np.mean(right), abs=1e-9) and control.n == len(world.report)
    # nothing was to be learnt of the permuted labels, most of the true ones
    assert control.value < 0.5 < 0.8 < regression.value
    assert {r.condition for r in rows if json.loads(r.parameters)["readout"] == "logistic_control"} == {"full"}


def test_the_rank_of_the_right_answer_counts_what_scores_higher(world: World) -> None:
    recall = one_of_each(world)
    readout = head_readouts(recall, world.circuit.readout_heads)[-1]
    x = recall.at_subject("resid_pre", (4,))[4]
    scores = (x - x.mean(0)) @ readout.weight
    found = answer_ranks(readout, x, recall.cls)
    for i, c in enumerate(recall.cls):
        assert found[i] == 1 + sum(float(score) > float(scores[i, c]) for score in scores[i])
    assert found.min() < found.max()


def test_the_regressions_subspace_is_what_its_answers_depend_on(world: World) -> None:
    recall = world.recall
    x = recall.at_subject("resid_pre", (4,))[4].numpy()
    directions = logistic_directions(x, recall.cls, recall.selection, 1.0)
    scores = x @ (directions - directions.mean(1, keepdims=True))
    best = np.stack([scores[recall.selection][recall.cls[recall.selection] == c].mean(0) for c in range(3)])
    assert (best.argmax(1) == np.arange(3)).all()
    # away from the directions nothing changes: those that are right stay so
    space = np.linalg.qr(directions)[0]
    away = np.random.default_rng(0).standard_normal(x.shape)
    moved = x + (away - away @ space @ space.T)
    assert np.abs((moved - x) @ directions).max() < 1e-9
