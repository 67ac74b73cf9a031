"""Planted worlds: stacks whose mechanism is known because it was built in, by other means than the line-up's controls.

Controls are permuted weights fitted to a stack's outputs; plants are random weights trained on labels, each under a
wiring that admits one mechanism only. Width, depth, activation, norm, block layout, entities, classes, label noise and
the parts themselves are drawn for every world, and how many people share them (`Parts`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, gelu, relu, silu

from rote.model import MLPWeights, NormWeights
from rote.stack import Entities, Readout, Stack, StackLayer
from rote.statistics import rng, stratified_halves

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": gelu, "relu": relu, "silu": silu}
RELATIONS = ("fact", "second", "third", "fourth")
STEPS, CHECK_EVERY, RATE = 300, 25, 1e-2
# "square": 4 to 9 names a part, as many first parts as last ones (the worlds that certify). Beside it what names of any
# length change: "shared": 8 to 12 names a part; "rare": 1.4 to 1.9; "unequal": 12 first parts and 120 last ones;
# "strata": three kinds of names, each with 12 first parts and 12 last ones of its own.
Parts = Literal["square", "shared", "rare", "unequal", "strata"]
UNUSUAL: tuple[Parts, ...] = ("shared", "rare", "unequal", "strata")
LEAST_ACCURACY = 0.9  # a plant that holds less is drawn again, additive ones excepted


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is drawn for a world."""

    d_model: int
    n_layers: int
    n_neurons: int
    n_first: int
    n_last: int
    n_entities: int
    n_classes: tuple[int, ...]
    activation: str
    norm: str
    parallel: bool
    noise: float
    n_strata: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """A stack, the mechanism planted in it, and what was drawn."""

    truth: str
    seed: int
    shape: Shape
    stack: Stack
    accuracy: float
    parts: Parts = "square"


def world(truth: str, seed: int, parts: Parts = "square") -> World:
    """One planted world; the same for the same truth, seed and parts. ValueError where gates cannot have such parts."""
    if not possible(truth, parts):
        raise ValueError(
            f"{truth} has an independent dimension for every part, and {parts} parts are too many for that"
        )
    for attempt in range(20):
        generator = rng(seed, f"calibration/{truth}" + ("" if parts == "square" else f"/{parts}"), attempt)
        shape = _with_parts(_shape(truth, generator), truth, parts, generator)
        stack = _blank(shape, truth, generator)
        planted = _wrong_labels(_read(PLANTS[truth](stack, generator)), shape.noise, generator)
        accuracy = _accuracy(planted)
        if truth == "additive" or accuracy >= LEAST_ACCURACY:
            return World(truth=truth, seed=seed, shape=shape, stack=planted, accuracy=accuracy, parts=parts)
    raise RuntimeError(f"no {truth} world of seed {seed} holds its facts")


def possible(truth: str, parts: Parts) -> bool:
    """Whether a truth can be planted on such parts."""
    return truth != "and_gates" or parts not in ("rare", "strata")


def _with_parts(shape: Shape, truth: str, parts: Parts, generator: np.random.Generator) -> Shape:
    if parts == "square":
        return shape
    if parts == "shared":
        n = int(generator.integers(14, 17))
        return replace(shape, n_first=n, n_last=n)
    if parts == "rare":
        n = int(generator.integers(90, 96))
        return replace(shape, n_first=n, n_last=n)
    if parts == "strata":
        return replace(shape, n_first=36, n_last=36, n_strata=3)
    if truth == "and_gates":  # a dimension for each, and some for the answers
        return replace(shape, n_first=8, n_last=40)
    return replace(shape, n_first=12, n_last=120)


def _shape(truth: str, generator: np.random.Generator) -> Shape:
    def of(*choices: Any) -> Any:
        return choices[int(generator.integers(len(choices)))]

    linear = truth in ("additive", "and_gates")  # norms would make a sum over parts, or a gate, inexact
    d_model, n_layers, n_neurons = of(64, 80, 96), of(3, 3, 4), of(160, 192, 224)
    n_parts = of(18, 20, 22) if linear else of(24, 28, 32, 36)
    return Shape(
        d_model=d_model,
        n_layers=n_layers,
        n_neurons=n_neurons,
        n_first=n_parts,
        n_last=n_parts,
        n_entities=of(130, 150, 170),
        n_classes=(of(2, 3, 4), of(2, 3), 3, 2),
        activation="relu" if truth == "and_gates" else of("gelu", "relu", "silu"),
        norm="none" if linear else of("layer", "rms", "none"),
        parallel=of(True, False),
        noise=of(0.0, 0.0, 0.03),
    )


def _blank(shape: Shape, truth: str, generator: np.random.Generator) -> Stack:
    """Tokens, entities, labels and readouts, with random layers."""
    d = shape.d_model

    def noise(*size: int) -> Tensor:
        return torch.as_tensor(generator.standard_normal(size), dtype=torch.float32)

    strata = np.repeat(np.arange(shape.n_strata), shape.n_first // shape.n_strata)
    cells = _cells_of_strata(shape, generator)
    names = tuple(f"F{a} L{b}" for a, b in cells)
    cls = {r: generator.integers(0, k, len(cells)) for r, k in zip(RELATIONS, shape.n_classes, strict=True)}
    layers = []
    for number in range(shape.n_layers):
        mlp = MLPWeights(
            w_in=noise(d, shape.n_neurons) * float(generator.uniform(0.7, 1.4)) / d**0.5,
            b_in=noise(shape.n_neurons) * 0.3 - float(generator.uniform(0, 0.5)),
            w_gate=None,
            b_gate=None,
            activation=ACTIVATIONS[shape.activation],
            w_out=noise(shape.n_neurons, d) * float(generator.uniform(0.7, 1.4)) / shape.n_neurons**0.5,
            b_out=torch.zeros(d),
        )
        norm = None
        if shape.norm != "none":
            bias = 0.1 * noise(d) if shape.norm == "layer" else None
            norm = NormWeights(kind=shape.norm, weight=1 + 0.1 * noise(d), bias=bias, eps=1e-5)  # type: ignore[arg-type]
        of_each = (d,) if shape.n_strata == 1 else (shape.n_strata, d)
        attention = 0.1 * noise(*of_each) if truth not in ("additive", "and_gates") else torch.zeros(of_each)
        layers.append(
            StackLayer(number=number, attention=attention, norm=norm, mlp=mlp, out_norm=None, parallel=shape.parallel)
        )
    readouts = {
        r: Readout(
            relation=r, classes=tuple(f"c{i}" for i in range(k)), weight=noise(d, k) / d**0.5, centre=torch.zeros(d)
        )
        for r, k in zip(RELATIONS, shape.n_classes, strict=True)
    }
    entities = Entities(
        names=names,
        first=cells[:, 0],
        last=cells[:, 1],
        cls=cls,
        selection=_selection(cls["fact"], names, generator),
    )
    stack = Stack(
        name="effective",
        first=noise(shape.n_first, d) / 2**0.5,
        last=noise(shape.n_last, d) / 2**0.5,
        constant=0.3 * noise(d),
        layers=tuple(layers),
        readouts=readouts,
        entities=entities,
    )
    if shape.n_strata == 1:
        return stack
    common = 0.7 * noise(shape.n_strata, d)  # what lengths alone bring: no part and no interaction
    return replace(stack, first=stack.first + common[torch.as_tensor(strata)], stratum=strata)


def _selection(cls: np.ndarray, names: tuple[str, ...], generator: np.random.Generator) -> np.ndarray:
    """A quarter of the entities, by class: little is chosen in these worlds, and much is measured."""
    selection = stratified_halves(cls, ids=names, seed=int(generator.integers(2**31)))
    chosen = np.flatnonzero(selection)
    quarter = stratified_halves(cls[chosen], ids=[names[i] for i in chosen], seed=int(generator.integers(2**31)))
    selection[chosen[~quarter]] = False
    return selection


def _cells_of_strata(shape: Shape, generator: np.random.Generator) -> np.ndarray:
    """Names of every stratum, which share no part."""
    n, m, k = (size // shape.n_strata for size in (shape.n_first, shape.n_last, shape.n_entities))
    return np.concatenate([_cells(n, m, k, generator) + np.array([s * n, s * m]) for s in range(shape.n_strata)])


def _cells(n_first: int, n_last: int, n_entities: int, generator: np.random.Generator) -> np.ndarray:
    """Random names that use every part."""
    longer = max(n_first, n_last)
    sides = [np.resize(generator.permutation(n), longer) for n in (n_first, n_last)]
    taken = set(map(tuple, np.stack(sides, 1).tolist()))
    for cell in generator.permutation(n_first * n_last):
        if len(taken) >= n_entities:
            break
        taken.add((int(cell // n_last), int(cell % n_last)))
    return np.array(sorted(taken))


# ------------------------------------------------------------------- mechanisms


def _single_step(stack: Stack, generator: np.random.Generator) -> Stack:
    """Layers read one half of the dimensions and write into the other: none reads another (but for a norm's scale)."""
    tokens, answers = _split(stack.first.shape[1], (0.5, 0.5), generator)
    return _trained(stack, wired=lambda layers: _wire(layers, reads=tokens, writes=answers))


def _parallel(stack: Stack, generator: np.random.Generator) -> Stack:
    """As single_step, every layer trained to give the whole answer alone."""
    tokens, answers = _split(stack.first.shape[1], (0.5, 0.5), generator)
    return _trained(stack, wired=lambda layers: _wire(layers, reads=tokens, writes=answers), alone=True)


def _hash(stack: Stack, generator: np.random.Generator) -> Stack:
    """Random layers, and a last one trained on what they leave."""
    return _trained(stack, layers=[len(stack.layers) - 1])


def _additive(stack: Stack, generator: np.random.Generator) -> Stack:
    """Every neuron reads the first name alone or the last name alone: nonlinear, and still a sum over tokens."""
    first, last, answers = _split(stack.first.shape[1], (0.35, 0.35, 0.3), generator)
    stack = replace(stack, first=stack.first @ first * 3**0.5, last=stack.last @ last * 3**0.5)
    n = stack.layers[0].mlp.w_in.shape[1]
    of_first = torch.as_tensor(generator.random(n) < 0.5)

    def wired(layers: Sequence[StackLayer]) -> tuple[StackLayer, ...]:
        changed = []
        for layer in layers:
            w_in = torch.where(of_first, first @ layer.mlp.w_in, last @ layer.mlp.w_in)
            changed.append(_with(layer, w_in=w_in, w_out=layer.mlp.w_out @ answers))
        return tuple(changed)

    planted = _trained(stack, wired=wired)
    return _only_known(planted)


def _and_gates(stack: Stack, generator: np.random.Generator) -> Stack:
    """Gates that open for whole names, exactly: tokens are independent, so each has a dual vector."""
    n, m, d = len(stack.first), len(stack.last), stack.first.shape[1]
    tokens, answers = _split(d, ((n + m) / d + 1e-9, 1 - (n + m) / d), generator)
    stack = replace(stack, first=stack.first @ tokens, last=stack.last @ tokens, constant=stack.constant * 0)
    duals = torch.linalg.pinv(torch.cat([stack.first, stack.last]).double()).float()  # [d, n + m]
    entities, layers = stack.entities, []
    for layer in stack.layers:
        columns = []
        for _ in range(layer.mlp.w_in.shape[1]):
            members = generator.choice(len(entities), int(generator.choice([1, 1, 2, 4])), replace=False)
            firsts, lasts = np.unique(entities.first[members]), np.unique(entities.last[members])
            columns.append(duals[:, firsts].sum(1) + duals[:, n + lasts].sum(1))
        gates = torch.stack(columns, 1)
        layers.append(_with(layer, w_in=gates, b_in=-torch.ones(gates.shape[1]), w_out=0.1 * layer.mlp.w_out))

    def wired(layers: Sequence[StackLayer]) -> tuple[StackLayer, ...]:
        return tuple(_with(layer, w_out=layer.mlp.w_out @ answers, b_out=layer.mlp.b_out @ answers) for layer in layers)

    return _trained(stack.with_layers(tuple(layers), "effective"), wired=wired, weights=("w_out", "b_out"))


def _free(stack: Stack, generator: np.random.Generator) -> Stack:
    """All layers trained together, no wiring: a mixture of whatever training finds."""
    return _trained(stack)


PLANTS: dict[str, Callable[[Stack, np.random.Generator], Stack]] = {
    "single_step": _single_step,
    "parallel": _parallel,
    "hash": _hash,
    "additive": _additive,
    "and_gates": _and_gates,
    "free": _free,
}

# --------------------------------------------------------------------- training


def _trained(
    stack: Stack,
    *,
    layers: Sequence[int] | None = None,
    weights: Sequence[str] = ("w_in", "b_in", "w_out", "b_out"),
    wired: Callable[[Sequence[StackLayer]], tuple[StackLayer, ...]] = tuple,
    alone: bool = False,
) -> Stack:
    """Adam on labels, full batch, until nearly all facts are read rightly."""
    chosen = range(len(stack.layers)) if layers is None else layers
    parts: list[dict[str, Tensor]] = [
        {w: getattr(layer.mlp, w).clone().requires_grad_() for w in weights} if i in chosen else {}
        for i, layer in enumerate(stack.layers)
    ]
    x, n = stack.inputs(stack.entities.first, stack.entities.last), len(stack.layers)
    strata = stack.strata_of(stack.entities.first)
    base = x + sum((layer.attends(strata) for layer in stack.layers), torch.zeros_like(x))

    def now() -> Stack:
        pairs = zip(stack.layers, parts, strict=True)
        return stack.with_layers(wired([_with(layer, **part) for layer, part in pairs]), "effective")

    optimiser = torch.optim.Adam([w for part in parts for w in part.values()], lr=RATE)
    for step in range(STEPS):
        run = now().run(x, strata)
        outputs = [base + n * out for out in run.mlp_out] if alone else [run.output]
        if step % CHECK_EVERY == 0 and all(_right(stack, out.detach()) >= 0.995 for out in outputs):
            break
        optimiser.zero_grad()
        sum(_loss(stack, out) for out in outputs).backward()  # type: ignore[union-attr]
        optimiser.step()
    with torch.no_grad():
        final = now()
    names = ("w_in", "b_in", "w_out", "b_out")
    still = [_with(layer, **{w: getattr(layer.mlp, w).detach() for w in names}) for layer in final.layers]
    return stack.with_layers(tuple(still), "effective")


def _loss(stack: Stack, output: Tensor) -> Tensor:
    losses = [
        cross_entropy(4 * r.scores(output - output.mean(0)), torch.as_tensor(stack.entities.cls[name]))
        for name, r in stack.readouts.items()
    ]
    return torch.stack(losses).mean()


def _right(stack: Stack, output: Tensor) -> float:
    """The lowest accuracy over the relations."""
    centred = output - output.mean(0)
    return min(float((r.predict(centred) == stack.entities.cls[name]).mean()) for name, r in stack.readouts.items())


def _read(stack: Stack) -> Stack:
    """Readouts centred and calibrated on the stack's own outputs, as the effective model's are."""
    output, use = stack.run_entities().output, stack.entities.selection
    readouts = {
        name: r.centred_on(output[torch.as_tensor(use)]).calibrated(output, stack.entities.cls[name], use)
        for name, r in stack.readouts.items()
    }
    return replace(stack, readouts=readouts)


def _only_known(stack: Stack) -> Stack:
    """The entities whose studied fact is read rightly: a study begins with what the model knows."""
    output = stack.run_entities().output
    known = stack.readouts["fact"].predict(output - output.mean(0)) == stack.entities.cls["fact"]
    return stack.with_entities(stack.entities.take(np.flatnonzero(known)))


def _wrong_labels(stack: Stack, share: float, generator: np.random.Generator) -> Stack:
    """Some facts that the effective model gets wrong."""
    cls = {name: labels.copy() for name, labels in stack.entities.cls.items()}
    chosen = generator.random(len(stack.entities)) < share
    cls["fact"][chosen] = generator.integers(0, len(stack.readouts["fact"].classes), int(chosen.sum()))
    return stack.with_entities(replace(stack.entities, cls=cls))


def _accuracy(stack: Stack) -> float:
    output = stack.run_entities().output
    return float((stack.readouts["fact"].predict(output) == stack.entities.cls["fact"]).mean())


def _split(d: int, shares: Sequence[float], generator: np.random.Generator) -> tuple[Tensor, ...]:
    """Projectors onto orthogonal random subspaces with about these shares of the dimensions."""
    basis = torch.linalg.qr(torch.as_tensor(generator.standard_normal((d, d))))[0].float()
    ends = [0, *np.minimum(np.round(np.cumsum(shares) * d).astype(int), d).tolist()]
    return tuple(basis[:, a:b] @ basis[:, a:b].T for a, b in pairwise(ends))


def _wire(layers: Sequence[StackLayer], *, reads: Tensor, writes: Tensor) -> tuple[StackLayer, ...]:
    wired = []
    for layer in layers:
        norm = layer.norm
        # behind a norm, the input weights see centred(x)·weight; the projection has to stand before that
        gain = torch.ones(len(reads)) if norm is None else norm.weight
        inward = (reads @ (gain[:, None] * layer.mlp.w_in)) / gain[:, None]
        wired.append(_with(layer, w_in=inward, w_out=layer.mlp.w_out @ writes, b_out=layer.mlp.b_out @ writes))
    return tuple(wired)


def _with(layer: StackLayer, **weights: Tensor) -> StackLayer:
    return replace(layer, mlp=replace(layer.mlp, **weights))
