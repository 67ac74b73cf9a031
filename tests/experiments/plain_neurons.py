"""A stack's layers by hand in float64, one name at a time, with single neurons changed; and stacks for neurons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import stack_maker
import torch
from torch import Tensor

from rote.stack import Entities, Readout, Stack

Array = np.ndarray


def doubled(value: Any) -> Any:
    """The same thing with every tensor in float64."""
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, tuple):
        return tuple(doubled(v) for v in value)
    if isinstance(value, Mapping):
        return {k: doubled(v) for k, v in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: doubled(getattr(value, f.name)) for f in fields(value)})
    return value


def make(kind: str = "parallel LayerNorm", *, n_entities: int = 72, seed: int = 0, n_relations: int = 1) -> Stack:
    """A random stack in float64; further relations have random readouts and classes, some of them not known."""
    stack = doubled(stack_maker.make(n_entities=n_entities, seed=seed, **stack_maker.KINDS[kind]))  # type: ignore[arg-type]
    generator, output = np.random.default_rng(seed), stack.run_entities().output
    calm = replace(stack.readouts["sport"].centred_on(output), temperature=8.0)  # no answer is all but certain
    stack = replace(stack, readouts={"sport": calm})
    for k in range(1, n_relations):
        n_classes = 2 + k % 3
        weight, name = torch.as_tensor(generator.normal(size=(12, n_classes))), f"relation {k}"
        readout = replace(calm, relation=name, classes=tuple("abcd"[:n_classes]), weight=weight)
        cls = np.where(generator.random(n_entities) < 0.8, generator.integers(0, n_classes, n_entities), -1)
        stack = with_relation(stack, readout, cls)
    return stack


def with_relation(stack: Stack, readout: Readout, cls: Array) -> Stack:
    entities = replace(stack.entities, cls={**stack.entities.cls, readout.relation: cls})
    return replace(stack, readouts={**stack.readouts, readout.relation: readout}, entities=entities)


def with_classes(stack: Stack, cls: Array) -> Stack:
    return replace(stack, entities=replace(stack.entities, cls={"sport": cls}))


def with_mlp(stack: Stack, layer: int, **change: Any) -> Stack:
    """One layer's MLP with other weights."""
    layers = list(stack.layers)
    layers[layer] = replace(layers[layer], mlp=replace(layers[layer].mlp, **change))
    return replace(stack, layers=tuple(layers))


class PlainNeurons:
    """One stack, run name by name."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.entities = stack, stack.entities

    def input(self, i: int) -> Array:
        e, s = self.entities, self.stack
        return (s.first[e.first[i]] + s.last[e.last[i]] + s.constant).numpy()

    def seen(self, layer: int, x: Array) -> Array:
        """x as far as the norm lets it through."""
        norm = self.stack.layers[layer].norm
        return x - x.mean() if norm is not None and norm.kind == "layer" else x

    def scale(self, layer: int, x: Array) -> float:
        norm = self.stack.layers[layer].norm
        return 1.0 if norm is None else float(np.sqrt((self.seen(layer, x) ** 2).mean() + norm.eps))

    def normed(self, layer: int, x: Array) -> Array:
        norm = self.stack.layers[layer].norm
        if norm is None:
            return x
        y = self.seen(layer, x) / self.scale(layer, x) * norm.weight.numpy()
        return y if norm.bias is None else y + norm.bias.numpy()

    def act(self, layer: int, pre: Array) -> Array:
        return self.stack.layers[layer].mlp.activation(torch.as_tensor(pre)).numpy()

    def pres(self, layer: int, x: Array) -> list[Array]:
        """The gate's pre-activations and the up-projection, or the pre-activations alone."""
        mlp, y = self.stack.layers[layer].mlp, self.normed(layer, x)
        pairs = [(mlp.w_in, mlp.b_in)] if mlp.w_gate is None else [(mlp.w_gate, mlp.b_gate), (mlp.w_in, mlp.b_in)]
        return [y @ w.numpy() + (0 if b is None else b.numpy()) for w, b in pairs]

    def post_of(self, layer: int, pres: list[Array]) -> Array:
        active = self.act(layer, pres[0])
        return active if len(pres) == 1 else active * pres[1]

    def run(
        self, i: int, change: Mapping[tuple[int, int], float] | None = None
    ) -> tuple[list[Array], list[Array], Array]:
        """(what each MLP read, its neurons' activations, the output) with some neurons set to other values."""
        x, reads, posts = self.input(i), [], []
        for n, layer in enumerate(self.stack.layers):
            attention = layer.attention.numpy()
            read = x if layer.parallel else x + attention
            post = self.post_of(n, self.pres(n, read))
            for (at, neuron), value in (change or {}).items():
                if at == n:
                    post[neuron] = value
            out = post @ layer.mlp.w_out.numpy() + (0 if layer.mlp.b_out is None else layer.mlp.b_out.numpy())
            if layer.out_norm is not None:
                out = out / np.sqrt((out**2).mean() + layer.out_norm.eps) * layer.out_norm.weight.numpy()
            x = x + attention + out
            reads.append(read)
            posts.append(post)
        return reads, posts, x

    def log_p(self, relation: str, x: Array) -> Array:
        readout = self.stack.readouts[relation]
        scores = (x - readout.centre.numpy()) @ readout.weight.numpy() / readout.temperature
        return scores - scores.max() - np.log(np.exp(scores - scores.max()).sum())

    def answer(self, relation: str, i: int, x: Array) -> float:
        cls = self.entities.cls[relation][i]
        return float(self.log_p(relation, x)[cls]) if cls >= 0 else np.nan


def loop_auc(scores: Array, positive: Array) -> float:
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    return float(np.mean(pairs))


def cosine(a: Array, b: Array) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def gram_schmidt(vectors: list[Array]) -> list[Array]:
    basis: list[Array] = []
    for v in vectors:
        for b in basis:
            v = v - (v @ b) * b
        if np.linalg.norm(v) > 1e-9:
            basis.append(v / np.linalg.norm(v))
    return basis


def pair_detectors(n: int, n_relations: int, *, shared: bool, seed: int = 0) -> Stack:
    """n names with tokens of their own, each with a neuron ReLU(first + last − 1) that knows its facts.

    `shared`: one neuron writes the answers to all relations; otherwise each relation has a neuron of its own.
    """
    generator = np.random.default_rng(seed)
    n_classes, groups = 3, 1 if shared else n_relations
    cls = {f"r{k}": generator.integers(0, n_classes, n) for k in range(n_relations)}
    d_model = 2 * n + n_classes * n_relations
    w_in, w_out = torch.zeros(d_model, n * groups), torch.zeros(n * groups, d_model)
    for i in range(n):
        for group in range(groups):
            neuron = i * groups + group
            w_in[[i, n + i], neuron] = 1.0
            for k in range(n_relations):
                if shared or k == group:
                    w_out[neuron, 2 * n + n_classes * k + int(cls[f"r{k}"][i])] = 2.0
    layer = stack_maker.make(norm=None, biased=False, activation=torch.relu).layers[0]
    mlp = replace(layer.mlp, w_in=w_in, b_in=-torch.ones(n * groups), w_out=w_out)
    readouts = {}
    for k in range(n_relations):
        weight = torch.zeros(d_model, n_classes)
        weight[2 * n + n_classes * k : 2 * n + n_classes * (k + 1)] = torch.eye(n_classes)
        readouts[f"r{k}"] = Readout(relation=f"r{k}", classes=tuple("abc"), weight=weight, centre=torch.zeros(d_model))
    eye = torch.eye(d_model)
    stack = Stack(
        name="detectors",
        first=eye[:n],
        last=eye[n : 2 * n],
        constant=torch.zeros(d_model),
        layers=(replace(layer, attention=torch.zeros(d_model), mlp=mlp),),
        readouts=readouts,
        entities=Entities(
            names=tuple(f"name {i}" for i in range(n)),
            first=np.arange(n),
            last=np.arange(n),
            cls=cls,
            selection=np.arange(n) % 2 == 0,
        ),
    )
    return doubled(stack)  # type: ignore[no-any-return]
