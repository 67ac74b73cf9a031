"""The look-up window and the effective model, against hooks and against a loop over names in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from circuit_world import World
from plain_neox import put
from scipy.special import erf
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from test_circuit_readout import literal_weight
from torch import Tensor

from rote.circuit import window
from rote.circuit.concatenation import mlps_ablated
from rote.circuit.window import WindowEvidence, attention_curve, window_evidence


def literal_attention_kept(world: World, start: int, draw: list[int] | None) -> np.ndarray:
    """Right or not through the readout when attention from a layer on is ablated at the name."""
    layer = world.circuit.readout_heads[0][0]  # the head reads what enters its block
    clean = {n: world.at_name("attn_out", n) for n in range(start, 6)}
    streams = []
    for i, ids in enumerate(world.full):
        changes = {
            ("attn_out", n): put(world.last[i], torch.stack(x).mean(0) if draw is None else x[draw[i]])
            for n, x in clean.items()
        }
        streams.append(world.plain.run(ids, changes)["resid_pre", layer][world.last[i]].double())
    x = torch.stack(streams)
    scores = (x - x.mean(0)) @ literal_weight(world, world.circuit.readout_heads)
    return np.array([int(s.argmax()) == c for s, c in zip(scores, world.cls, strict=True)])


def test_the_attention_curve_and_the_window_that_it_gives(world: World) -> None:
    found = attention_curve(world.recall, world.circuit.readout_heads, "mean")
    n = world.circuit.readout_heads[0][0] + 1
    literal = np.array([literal_attention_kept(world, start, None) for start in range(n)])
    assert found.shape == literal.shape
    assert np.abs(found - literal).max() < 1e-9
    curve = literal[:, world.selection].mean(1)
    start = next(i for i, accuracy in enumerate(curve) if accuracy >= 0.9 * curve[-1])
    assert world.circuit.attention_from == world.circuit.lookup_start == start


@pytest.mark.parametrize("start", [0, 1, 3])
def test_the_attention_curve_under_resampling_is_the_share_of_draws(world: World, start: int) -> None:
    found = attention_curve(world.recall, world.circuit.readout_heads, "resample")[start]
    literal = np.mean([literal_attention_kept(world, start, draw) for draw in world.others], axis=0)
    assert np.abs(found - literal).max() < 1e-9


def test_lookup_stop_is_where_the_readout_reaches_its_plateau(world: World) -> None:
    """On name-only prompts with late attention mean-ablated, on the selection half."""
    start, reads = world.circuit.window.start, world.circuit.readout_heads[0][0]
    means = {
        n: torch.stack(world.at_name("attn_out", n, name_only=True)).mean(0)
        for n in range(world.circuit.attention_from, 6)
    }
    changes = {("attn_out", n): put(2, value) for n, value in means.items()}
    traces = [world.plain.run(ids, changes) for ids in world.names]
    plateau = {}
    for layer in range(start, reads):
        x = torch.stack([t["resid_post", layer][2].double() for t in traces])
        scores = (x - x.mean(0)) @ literal_weight(world, world.circuit.readout_heads)
        plateau[layer] = np.mean([int(scores[i].argmax()) == world.cls[i] for i in world.selection])
    enough = 0.9 * max(plateau.values())
    assert world.circuit.lookup_stop == next(layer for layer, a in plateau.items() if a >= enough)


def test_the_windows_mlps_ablated_at_the_name(world: World) -> None:
    layers = world.circuit.window.layers
    clean = {n: world.at_name("mlp_out", n) for n in layers}
    for how, draws in (("mean", [None]), ("resample", world.others)):
        found = mlps_ablated(world.recall, layers, how)
        for scores, draw in zip(found, draws, strict=True):
            for i, ids in enumerate(world.full):
                changes = {
                    ("mlp_out", n): put(world.last[i], torch.stack(x).mean(0) if draw is None else x[draw[i]])
                    for n, x in clean.items()
                }
                assert bool(scores.correct_cls[i]) == world.right(world.plain.run(ids, changes), i)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + erf(x / np.sqrt(2))) / 2


def literal_effective(world: World, tables: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """The window's output for every known name, name by name in numpy, attention frozen at its mean."""
    plain, stack = world.plain, world.study.stack
    first, last, constant = tables
    outputs = []
    for i in range(len(world.recall)):
        x = first[stack.entities.first[i]] + last[stack.entities.last[i]] + constant
        for n in world.circuit.window.layers:
            norm = "post_attention_layernorm"
            weight, bias, w_in, b_in, w_out, b_out = (
                plain.block(n, name).numpy()
                for name in (
                    f"{norm}.weight", f"{norm}.bias",
                    "mlp.dense_h_to_4h.weight", "mlp.dense_h_to_4h.bias",
                    "mlp.dense_4h_to_h.weight", "mlp.dense_4h_to_h.bias",
                )
            )  # fmt: skip
            normed = (x - x.mean()) / np.sqrt(x.var() + plain.eps) * weight + bias
            mlp = w_out @ gelu(w_in @ normed + b_in) + b_out
            attention = torch.stack(world.at_name("attn_out", n, name_only=True)).double().mean(0).numpy()
            x = x + attention + mlp
        outputs.append(x)
    return np.array(outputs)


def test_the_effective_model_is_a_loop_over_names(world: World) -> None:
    stack = world.study.stack
    tables = tuple(x.double().numpy() for x in (stack.first, stack.last, stack.constant))
    literal = literal_effective(world, tables)
    found = stack.run_entities().output.double().numpy()
    assert np.abs(found - literal).max() < 1e-5 * np.abs(literal).max()
    weight = literal_weight(world, world.circuit.readout_heads).numpy()
    scores = (literal - literal[world.selection].mean(0)) @ weight
    predicted = scores.argmax(1)
    readout = stack.readouts["sport"]
    assert (readout.predict(stack.run_entities().output) == predicted).all()
    accuracy = (predicted == world.cls)[world.report].mean()
    assert accuracy > 0.9
    assert [world.entities.index(name) for name in stack.entities.names] == list(range(len(world.recall)))


def literal_logistic(x: np.ndarray, cls: np.ndarray, train: np.ndarray, strength: float) -> np.ndarray:
    scaler = StandardScaler().fit(x[train])
    fit = LogisticRegression(C=strength, max_iter=1000).fit(scaler.transform(x[train]), cls[train])
    return fit.predict(scaler.transform(x)) == cls


def test_the_additive_model_is_judged_on_entities_that_it_was_not_fitted_on(world: World) -> None:
    evidence = window_evidence(world.recall, world.circuit.readout_heads, world.circuit.window)
    stack, cls, train = world.study.stack, np.array(world.cls), world.recall.selection
    e = stack.entities
    x = (stack.first[torch.as_tensor(e.first)] + stack.last[torch.as_tensor(e.last)] + stack.constant).double().numpy()
    options = [literal_logistic(x, cls, train, strength)[world.report] for strength in (0.001, 0.01, 0.1, 1.0)]
    assert any(np.mean(o != evidence.additive[world.report]) < 0.03 for o in options)
    assert evidence.model.tolist() == [world.right(t, i) for i, t in enumerate(world.clean)]


def evidence(n: int, *, model: float, without: float, additive: float, stack: float) -> WindowEvidence:
    def first(share: float) -> np.ndarray:
        return np.arange(n) < round(share * n)

    return WindowEvidence(
        facts=np.arange(n),
        model=first(model),
        without_mlps=first(without),
        additive=first(additive),
        stack=first(stack),
    )


@pytest.mark.parametrize(
    ("read", "shares", "words"),
    [
        (1.0, {"model": 1.0, "without": 0.4, "additive": 0.4, "stack": 1.0}, None),
        (0.4, {"model": 1.0, "without": 0.4, "additive": 0.4, "stack": 1.0}, "hardly be read"),
        (1.0, {"model": 1.0, "without": 0.9, "additive": 0.4, "stack": 1.0}, "does not need these MLPs"),
        (1.0, {"model": 1.0, "without": 0.4, "additive": 0.4, "stack": 0.5}, "combined elsewhere"),
    ],
)
def test_no_window_says_why(
    world: World, monkeypatch: pytest.MonkeyPatch, read: float, shares: dict[str, float], words: str | None
) -> None:
    curve = np.tile(evidence(90, model=read, without=0, additive=0, stack=0).model, (5, 1)).astype(float)
    monkeypatch.setattr(window, "attention_curve", lambda *_: curve)
    monkeypatch.setattr(window, "window_evidence", lambda *_: evidence(90, **shares))
    reason = window.find_window(world.recall, world.circuit.readout_heads).reason
    assert (reason is None) == (words is None)
    if words is not None and reason is not None:
        assert words in reason


def test_shuffled_weights_look_nothing_up(world: World) -> None:
    """They do no better than chance, nor than the sum of the two names does without any MLP."""
    stack, cls = world.study.stack, np.array(world.cls)

    def accuracy(output: Tensor) -> float:
        right = stack.readouts["sport"].centred_on(output).predict(output) == cls
        return float(right[world.report].mean())

    shuffled = [accuracy(stack.shuffled(np.random.default_rng(seed)).run_entities().output) for seed in range(20)]
    assert np.mean(shuffled) < 1 / 3 + 0.05
    assert max(shuffled) < 0.6
    assert abs(np.mean(shuffled) - accuracy(stack.run_entities().resid[0])) < 0.1
    assert accuracy(stack.run_entities().output) > 0.9
