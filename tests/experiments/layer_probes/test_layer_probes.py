"""Layer probes, refitted literally with scikit-learn, on the stack and on the model."""

from __future__ import annotations

import numpy as np
import pytest
from circuit_world import SETTINGS, World, value
from plain_stack import PlainStack
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from rote.experiments.layer_probes.measure import LayerProbes
from rote.records import Record
from rote.stack import Stack
from rote.statistics import rng

N_SEEDS = 3


def literal_probe(x: np.ndarray, cls: np.ndarray) -> tuple[float, float]:
    """(accuracy, balanced accuracy) over the splits, scikit-learn fits written out."""
    generator = rng(SETTINGS.seed, "layer_probes", "sport")
    x = StandardScaler().fit_transform(x)
    right, tested = np.zeros(len(cls)), np.zeros(len(cls))
    for _ in range(N_SEEDS):
        test: list[int] = []
        for c in range(3):
            members = generator.permutation(np.flatnonzero(cls == c))
            test += members[: max(round(0.2 * len(members)), 1)].tolist()
        train = np.setdiff1d(np.arange(len(cls)), test)
        by_class = train[np.argsort(cls[train], kind="stable")]
        scores = []
        for strength in (0.001, 0.01, 0.1, 1.0):
            inner = 0
            for fold in range(3):
                held = by_class[fold::3]
                inner += int(_fit(x, cls, np.setdiff1d(train, held), strength)[held].sum())
            scores.append(inner)
        strength = (0.001, 0.01, 0.1, 1.0)[int(np.argmax(scores))]
        right[test] += _fit(x, cls, train, strength)[test]
        tested[test] += 1
    balanced = np.mean([right[cls == c].sum() / tested[cls == c].sum() for c in range(3)])
    return float(right.sum() / tested.sum()), float(balanced)


def _fit(x: np.ndarray, cls: np.ndarray, train: np.ndarray, strength: float) -> np.ndarray:
    model = LogisticRegression(C=strength, tol=1e-8, max_iter=10000).fit(x[train], cls[train])
    return model.predict(x) == cls


@pytest.fixture(scope="module")
def probes(world: World) -> Record:
    return LayerProbes(n_probe_seeds=N_SEEDS).record(world.study)


@pytest.mark.parametrize("stack", ["effective", "model"])
def test_layer_probes_are_refitted_literally(
    world: World, by_hand: PlainStack, sample: Stack, probes: Record, stack: str
) -> None:
    e, chosen, layers = sample.entities, [world.entities.index(n) for n in sample.entities.names], by_hand.layers
    cls = e.cls["sport"]
    if stack == "effective":
        runs = [by_hand.run(by_hand.input(a, b)) for a, b in zip(e.first, e.last, strict=True)]
        streams = [np.array([r[0][k] for r in runs]) for k in range(len(layers) + 1)]
        outputs = [np.array([r[1][k] for r in runs]) for k in range(len(layers))]
        weight, temperature = by_hand.weight, by_hand.temperature
    else:
        sites = [("resid_pre", layers[0]), *(("resid_post", n) for n in layers)]
        streams = [np.array([world.clean[i][s][world.last[i]].double().numpy() for i in chosen]) for s in sites]
        outputs = [
            np.array([world.clean[i]["mlp_out", n][world.last[i]].double().numpy() for i in chosen]) for n in layers
        ]
        weight, temperature = by_hand.weight, None
    accuracies = []
    for k, x in enumerate(streams):
        site, layer = ("resid_pre", layers[0]) if k == 0 else ("resid_post", layers[k - 1])
        key = {"stack": stack, "site": site, "layer": layer}
        accuracy, balanced = literal_probe(x, cls)
        accuracies.append(value(probes, "probe_accuracy", **key))
        assert accuracies[-1] == pytest.approx(accuracy, abs=1e-5)
        assert value(probes, "probe_balanced_accuracy", **key) == pytest.approx(balanced, abs=1e-5)
        scores = (x - x.mean(0)) @ weight
        if temperature is not None:
            scores = scores / temperature
            scores -= scores.max(1, keepdims=True)
            loss = np.log(np.exp(scores).sum(1)) - scores[np.arange(len(cls)), cls]
            found = value(probes, "readout_loss_nats", **key)
            assert found == pytest.approx(loss.mean(), rel=1e-5, abs=1e-5)
    shares = []
    for n, out in zip(layers, outputs, strict=True):
        alone = streams[0] + out
        right = ((alone - alone.mean(0)) @ weight).argmax(1) == cls
        shares.append(right.mean())
        assert value(probes, "layer_alone", stack=stack, layer=n) == pytest.approx(shares[-1])
    assert value(probes, "layer_alone", stack=stack, condition="least") == pytest.approx(min(shares))
    middle = (accuracies[1] + accuracies[2]) / 2  # three layers: four streams, half the depth lies between
    rise = (middle - accuracies[0]) / (accuracies[-1] - accuracies[0])
    assert value(probes, "early_rise", stack=stack) == pytest.approx(rise)


def test_the_least_layer_is_found_anew_in_every_resample(probes: Record) -> None:
    """So its interval reaches at least as low as that of the layer that is least in the whole sample."""
    rows = [r for r in probes.rows if r.statistic == "layer_alone" and r.stack == "effective"]
    (least,) = [r for r in rows if r.condition == "least"]
    layers = [r for r in rows if r.condition is None]
    assert (least.layer, least.site, least.n) == (None, None, layers[0].n)
    lowest = min(layers, key=lambda r: r.value)
    assert least.value == lowest.value
    assert least.ci_low is not None and least.ci_high is not None
    assert least.ci_low <= lowest.ci_low and least.ci_high <= min(r.ci_high for r in layers)
