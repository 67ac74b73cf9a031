"""The excess over a product as the text says it: one name at a time, float64, loops over the other names."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch

from rote.model import NormWeights
from rote.stack import Stack, StackLayer

Name = tuple[int, int]


def double(thing: Any) -> Any:
    """The same object with every floating tensor in it as float64."""
    if isinstance(thing, torch.Tensor):
        return thing.double() if thing.is_floating_point() else thing
    if isinstance(thing, tuple):
        return tuple(double(x) for x in thing)
    if isinstance(thing, dict):
        return {key: double(x) for key, x in thing.items()}
    if is_dataclass(thing) and not isinstance(thing, type):
        return replace(thing, **{f.name: double(getattr(thing, f.name)) for f in fields(thing)})
    return thing


def array(x: torch.Tensor | None, otherwise: Any = 0.0) -> Any:
    return otherwise if x is None else x.double().numpy()


def centred(norm: NormWeights, x: np.ndarray) -> np.ndarray:
    return x - x.mean() if norm.kind == "layer" else x


def scale(norm: NormWeights, x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(centred(norm, x) ** 2) + norm.eps))


def normed(norm: NormWeights | None, x: np.ndarray, frozen: float | None = None) -> np.ndarray:
    if norm is None:
        return x
    return centred(norm, x) / (frozen or scale(norm, x)) * array(norm.weight) + array(norm.bias)


def pres(layer: StackLayer, x: np.ndarray) -> list[np.ndarray]:
    """Pre-activations for a normed vector: the neurons', or the gate's and the up projection's."""
    mlp = layer.mlp
    into = [x @ array(mlp.w_in) + array(mlp.b_in)]
    return into if mlp.w_gate is None else [x @ array(mlp.w_gate) + array(mlp.b_gate), *into]


class Cell:
    """Everything one name does in one layer."""

    def __init__(self, layer: StackLayer, x: np.ndarray) -> None:
        self.read = x if layer.parallel else x + array(layer.attention)
        self.scale = 1.0 if layer.norm is None else scale(layer.norm, self.read)
        self.pres = pres(layer, normed(layer.norm, self.read))
        self.post = layer.mlp.activation(torch.as_tensor(self.pres[0])).numpy()
        if len(self.pres) == 2:
            self.post = self.post * self.pres[1]
        out = self.post @ array(layer.mlp.w_out) + array(layer.mlp.b_out)
        self.out_scale = 1.0 if layer.out_norm is None else scale(layer.out_norm, out)
        self.after = x + array(layer.attention) + normed(layer.out_norm, out)


class PlainExcess:
    """cells[name][layer] over the complete product; `excess(values, name)` is e of one quantity."""

    def __init__(self, stack: Stack) -> None:
        self.stack, entities = stack, stack.entities
        self.readout = next(iter(stack.readouts.values()))
        self.known = list(zip(entities.first.tolist(), entities.last.tolist(), strict=True))
        self.cls = entities.cls[self.readout.relation]
        self.firsts, self.lasts = sorted(set(entities.first.tolist())), sorted(set(entities.last.tolist()))
        self.names = [(a, b) for a in self.firsts for b in self.lasts]
        self.cells: dict[Name, list[Cell]] = {}
        for a, b in self.names:
            x = array(stack.first[a]) + array(stack.last[b]) + array(stack.constant)
            self.cells[a, b] = []
            for layer in stack.layers:
                self.cells[a, b].append(Cell(layer, x))
                x = self.cells[a, b][-1].after

    def corners(self, values: dict[Name, Any], name: Name) -> tuple[Any, Any, Any, Any]:
        """E[x|A,B], E[x|¬A,B], E[x|A,¬B], E[x|¬A,¬B]."""
        a, b = name
        return (
            values[a, b],
            np.mean([values[c, b] for c in self.firsts if c != a], axis=0),
            np.mean([values[a, d] for d in self.lasts if d != b], axis=0),
            np.mean([values[c, d] for c in self.firsts if c != a for d in self.lasts if d != b], axis=0),
        )

    def excess(self, values: dict[Name, Any], name: Name) -> Any:
        both, last, first, neither = self.corners(values, name)
        return both - last - first + neither

    def score(self, x: np.ndarray, c: int) -> float:
        """Correct minus mean other score."""
        scores = (x - array(self.readout.centre)) @ array(self.readout.weight)
        return float(scores[c] - np.mean([s for other, s in enumerate(scores) if other != c]))

    def scores(self, c: int) -> dict[Name, float]:
        return {name: self.score(self.cells[name][-1].after, c) for name in self.names}

    def score_sd(self, c: int) -> float:
        return float(np.std(list(self.scores(c).values())))

    def slopes(self, index: int) -> np.ndarray:
        """[pre, neuron], from an ordinary regression with a constant."""
        cells = [self.cells[name][index] for name in self.names]
        posts = np.array([cell.post for cell in cells])
        found = []
        for neuron in range(posts.shape[1]):
            columns = [np.array([cell.pres[i][neuron] for cell in cells]) for i in range(len(cells[0].pres))]
            design = np.stack([*columns, np.ones(len(cells))], axis=1)
            found.append(np.linalg.lstsq(design, posts[:, neuron], rcond=None)[0][:-1])
        return np.array(found).T

    def terms(self, index: int) -> dict[str, list[float]]:
        """Per fact, the sums over neurons of one layer."""
        layer = self.stack.layers[index]
        cells = {name: self.cells[name][index] for name in self.names}
        frozen = float(np.mean([cell.scale for cell in cells.values()]))
        out_frozen = float(np.mean([cell.out_scale for cell in cells.values()]))
        post = {name: cell.post for name, cell in cells.items()}
        clamped = {name: np.maximum(cell.pres[0], 0) for name, cell in cells.items()}
        straight = {name: pres(layer, normed(layer.norm, cell.read, frozen)) for name, cell in cells.items()}
        slopes, found = self.slopes(index), {}
        for fact, name in enumerate(self.known):
            weight = self.weights(index, int(self.cls[fact]), out_frozen)
            e_post, e_clamped = self.excess(post, name), self.excess(clamped, name)
            e_pre = [self.excess({n: c.pres[i] for n, c in cells.items()}, name) for i in range(len(slopes))]
            e_straight = [self.excess({n: s[i] for n, s in straight.items()}, name) for i in range(len(slopes))]
            rising = e_post > 0
            inherited = sum(b * e for b, e in zip(slopes, e_straight, strict=True))
            explained = sum(b * e for b, e in zip(slopes, e_pre, strict=True))
            values = {
                "total": e_post,
                "inherited": inherited,
                "norm": explained - inherited,
                "activation": e_post - explained,
                "total_rising": e_post * rising,
                "clamped_rising": e_clamped * rising,
                "clamped_all": e_clamped,
                "raw_rising": e_pre[0] * rising,
                "raw_all": e_pre[0],
            }
            for key, value in values.items():
                found.setdefault(key, []).append(float(weight @ value))
            for key, value in self.kinds(post, name, weight).items():
                found.setdefault(key, []).append(value)
        return found

    def weights(self, index: int, c: int, out_frozen: float) -> np.ndarray:
        """Direct effect of one unit of each neuron on correct minus mean other, the output norm's scale frozen."""
        layer, effects = self.stack.layers[index], []
        for row in array(layer.mlp.w_out):
            if layer.out_norm is not None:
                row = centred(layer.out_norm, row) / out_frozen * array(layer.out_norm.weight)
            effects.append(self.score(row + array(self.readout.centre), c))
        return np.array(effects)

    def kinds(self, post: dict[Name, Any], name: Name, weight: np.ndarray) -> dict[str, float]:
        both, last, first, neither = self.corners(post, name)
        found = {"and": 0.0, "or": 0.0, "linear": 0.0}
        for neuron, w in enumerate(weight):
            r, a, b = (float(x[neuron] - neither[neuron]) for x in (both, first, last))
            kappa = float(np.sign(r)) * (r - a - b) / max(abs(r), abs(a), abs(b))
            found["and" if kappa > 0.5 else "or" if kappa < -0.5 else "linear"] += abs(w * r)
        return found
