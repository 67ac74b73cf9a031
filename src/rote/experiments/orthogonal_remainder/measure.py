"""What a class neuron still sees of an entity once everything that many other entities span is taken away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rote.errors import NotApplicable
from rote.experiments.base import StackExperiment
from rote.experiments.cost import Cost, Sizes
from rote.experiments.orthogonal_remainder.card import CARD
from rote.experiments.populations import entities_of, reported
from rote.experiments.tabulator import Tabulator
from rote.settings import Settings
from rote.stack import Entities, Stack, StackLayer
from rote.statistics import aucs_of_ranks, average_ranks, cohens_d, rng, stratified_halves, weighted_auc

SHARE = 0.586  # the study's 1,500 other entities in 2,560 dimensions
GROUPS = 10  # entities of one group are projected off the same others
DEPENDENT = 1e-10  # an eigenvalue below this share of the largest is a combination that holds nothing new
NOTHING_LEFT = "nothing remains: the other entities span this one"
NOTHING = 1e-6  # a remainder's score below this share of |x|·|direction| is rounding


class OrthogonalRemainder(StackExperiment):
    """AUC of the best class neuron on r = x − (projection of x on the span of other entities).

    Per class the neuron whose activation has the highest AUC on the selection half, over all layers; x is what its
    layer reads, centred as the norm does but not scaled; the score is r·(norm weight ⊙ the neuron's input weights,
    the gate's where there is one). The others (choice): the reported entities fall into 10 random groups, and each
    group is projected off one random draw of round(0.586·d_model) entities of the stack outside the group, of
    either half. `gaussian`, the authors' toy: the same on isotropic Gaussian vectors with no structure but the
    class difference d (Cohen's d of x·direction) along one direction. The authors withdrew the experiment; no
    verdict rests on it. `neuron_auc`: the same neuron's activation, nothing taken away. Raises NotApplicable for
    fewer others than that. Source: Fact Finding, post 3.
    """

    card = CARD

    def cost(self, sizes: Sizes) -> Cost:
        return Cost(names=4 * sizes.sample)  # both halves together, and each alone

    def on_stack(self, stack: Stack, settings: Settings, out: Tabulator) -> None:
        chosen_on, sample = halves(stack, settings)
        draws = tuple(draw_others(stack, sample, settings))
        out = out.over(entities_of(sample, settings))
        relation = next(iter(stack.readouts))
        cls, names = sample.entities.cls[relation], stack.readouts[relation].classes
        reported_too = np.bincount(cls, minlength=len(names))
        best = {c: n for c, n in best_neurons(chosen_on).items() if 0 < reported_too[c] < len(cls)}
        reads = stack.run_entities().mlp_in, sample.run_entities().mlp_in
        found = {c: _scores(stack, sample, reads, neuron, c, draws, settings) for c, neuron in best.items()}
        for c, name in enumerate(names):
            if c not in found:
                for statistic, condition in _ROWS:
                    reason = f"one half of the entities lacks {name!r} or holds nothing else"
                    out.absent(statistic, reason, cls=name, condition=condition)
        for statistic, condition in _ROWS:
            scores = {c: getattr(s, condition or "whole") for c, s in found.items()}
            _tabulate(out, statistic, condition, scores, cls, names)
        out.table("neurons", _table(stack, best, names))


_ROWS = (("remainder_auc", "real"), ("remainder_auc", "gaussian"), ("neuron_auc", None))


@dataclass(frozen=True, kw_only=True)
class Neuron:
    """A neuron by its layer (counted in the stack) and number; `auc` on the entities it was chosen on."""

    layer: int
    number: int
    auc: float


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Positions of one group in the sample, and of the others in the stack's entities."""

    group: Int[np.ndarray, " member"]
    others: Int[np.ndarray, " other"]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Scores:
    """Per reported entity, one class's scores: the neuron's activation, and the remainders' or why there are none."""

    whole: Float[np.ndarray, " entity"]
    real: Float[np.ndarray, " entity"] | str
    gaussian: Float[np.ndarray, " entity"] | str


def _scores(
    stack: Stack,
    sample: Stack,
    reads: tuple[Sequence[Tensor], Sequence[Tensor]],
    neuron: Neuron,
    c: int,
    draws: Sequence[Draw],
    settings: Settings,
) -> _Scores:
    """`reads`: what each layer reads, for all entities of the stack and for those of the sample."""
    relation, layer = next(iter(stack.readouts)), stack.layers[neuron.layer]
    x, own = (_centred(layer, part[neuron.layer]) for part in reads)
    direction = input_direction(layer, neuron.number)
    labels = sample.entities.cls[relation] == c
    whole = layer.post(reads[1][neuron.layer])[:, neuron.number].double().cpu().numpy()
    real = remainder_scores(x, own, direction, draws)
    linear = (own @ direction).cpu().numpy()
    try:
        d = cohens_d(linear[labels], linear[~labels])
    except NotApplicable as error:
        return _Scores(whole=whole, real=NOTHING_LEFT if real is None else real, gaussian=error.reason)
    generator = rng(settings.seed, "orthogonal_remainder", f"{relation}/{c}")
    toy = torch.as_tensor(gaussian(stack.entities, relation, c, d, x.shape[1], generator), device=x.device)
    axis = torch.zeros_like(direction)
    axis[0] = 1.0
    null = remainder_scores(toy, toy[torch.as_tensor(_places(stack.entities, sample.entities))], axis, draws)
    return _Scores(
        whole=whole,
        real=NOTHING_LEFT if real is None else real,
        gaussian=NOTHING_LEFT if null is None else null,
    )


def halves(stack: Stack, settings: Settings) -> tuple[Stack, Stack]:
    """The stack with at most max_entities entities of the selection half, and of the report half.

    Where the stack has one half only, its entities are split by class here.
    """
    entities, relation = stack.entities, next(iter(stack.readouts))
    selection = entities.selection
    if selection.all() or not selection.any():
        selection = stratified_halves(entities.cls[relation], ids=entities.names, seed=settings.seed)
    known = entities.cls[relation] >= 0
    kept = replace(entities, selection=selection).take(np.flatnonzero(known))
    flipped = replace(kept, selection=~kept.selection)
    return reported(stack.with_entities(flipped), settings), reported(stack.with_entities(kept), settings)


def draw_others(stack: Stack, sample: Stack, settings: Settings) -> Iterator[Draw]:
    """The groups and their others; NotApplicable where the stack has too few entities."""
    n_others = round(SHARE * stack.first.shape[1])
    own, every = _codes(sample.entities), _codes(stack.entities)
    spare = len(every) - n_others
    if n_others < 1 or spare < 1:
        raise NotApplicable(
            f"the projection needs {n_others} other entities, {SHARE:g} of d_model, and one to project; "
            f"there are {len(every)} in all"
        )
    generator = rng(settings.seed, "orthogonal_remainder", next(iter(stack.readouts)))
    n_groups = min(max(GROUPS, -(-len(own) // spare)), len(own))
    for group in np.array_split(generator.permutation(len(own)), n_groups):
        outside = np.flatnonzero(~np.isin(every, own[group]))
        if len(outside) < n_others:
            raise NotApplicable(f"the projection needs {n_others} other entities; there are {len(outside)}")
        yield Draw(group=np.sort(group), others=np.sort(generator.choice(outside, n_others, replace=False)))


def _codes(entities: Entities) -> Int[np.ndarray, " entity"]:
    """One number for each pair of tokens: two entities with the same input count as one."""
    codes: Int[np.ndarray, " entity"] = entities.first.astype(np.int64) * (2**31) + entities.last
    return codes


def best_neurons(stack: Stack) -> dict[int, Neuron]:
    """Per class the neuron of highest AUC over all layers; the first where several have it. Classes without: none."""
    relation = next(iter(stack.readouts))
    cls, run = stack.entities.cls[relation], stack.run_entities()
    n_cls = len(stack.readouts[relation].classes)
    labels = cls[:, None] == np.arange(n_cls)
    best: dict[int, Neuron] = {}
    for index, (layer, read) in enumerate(zip(stack.layers, run.mlp_in, strict=True)):
        aucs = aucs_of_ranks(average_ranks(layer.post(read).T.double().cpu().numpy()), labels)
        for c in np.flatnonzero(labels.any(0) & ~labels.all(0)):
            number = int(aucs[:, c].argmax())
            auc = float(aucs[number, c])
            if int(c) not in best or auc > best[int(c)].auc:
                best[int(c)] = Neuron(layer=index, number=number, auc=auc)
    return best


def input_direction(layer: StackLayer, neuron: int) -> Float[Tensor, " d_model"]:
    """The neuron's (gate's) input weights times the norm's: its pre-activation is linear in it for a fixed scale."""
    weight = (layer.mlp.w_in if layer.mlp.w_gate is None else layer.mlp.w_gate)[:, neuron].double()
    return weight if layer.norm is None else weight * layer.norm.weight.double()


def _centred(layer: StackLayer, read: Float[Tensor, "entity d_model"]) -> Float[Tensor, "entity d_model"]:
    return read.double() if layer.norm is None else layer.norm.centred(read.double())


def gaussian(
    entities: Entities, relation: str, c: int, d: float, d_model: int, generator: np.random.Generator
) -> Float[np.ndarray, "entity d_model"]:
    """Isotropic Gaussian vectors with unit variance; those of class c are moved by d along the first axis."""
    vectors = generator.standard_normal((len(entities), d_model))
    vectors[:, 0] += d * (entities.cls[relation] == c)
    return vectors


def _places(every: Entities, own: Entities) -> Int[np.ndarray, " own"]:
    """Where the sample's entities stand among all."""
    place = {code: i for i, code in enumerate(_codes(every).tolist())}
    return np.array([place[code] for code in _codes(own).tolist()])


def remainder_scores(
    x: Float[Tensor, "entity d_model"],
    own: Float[Tensor, "own d_model"],
    direction: Float[Tensor, " d_model"],
    draws: Sequence[Draw],
) -> Float[np.ndarray, " own"] | None:
    """(own − its projection on the span of the others)·direction; None where all of it is rounding.

    The projection is symmetric, so the direction is projected once per group, by the others' Gram matrix.
    """
    scores = np.full(len(own), np.nan)
    for draw in draws:
        others = x[torch.as_tensor(draw.others)]
        values, vectors = torch.linalg.eigh(others @ others.T)
        kept = values > DEPENDENT * values[-1]
        parts = vectors[:, kept].T @ (others @ direction) / values[kept]
        left = direction - others.T @ (vectors[:, kept] @ parts)
        scores[draw.group] = (own[torch.as_tensor(draw.group)] @ left).cpu().numpy()
    sizes = (own.norm(dim=-1) * direction.norm()).cpu().numpy()
    return None if (np.abs(scores) <= NOTHING * sizes).all() else scores


def _tabulate(
    out: Tabulator,
    statistic: str,
    condition: str | None,
    scores: dict[int, np.ndarray | str],
    cls: Int[np.ndarray, " entity"],
    names: Sequence[str],
) -> None:
    """One row per class, and the mean over the classes that have one, its interval computed jointly."""
    key = {"condition": condition}
    labelled: list[tuple[np.ndarray, Bool[np.ndarray, " entity"]]] = []
    for c, values in scores.items():
        labels = cls == c
        if isinstance(values, str):
            out.absent(statistic, values, cls=names[c], **key)
            continue
        out.estimate(statistic, out.bootstrap.auc(values, labels), cls=names[c], **key)
        labelled.append((values, labels))
    if not labelled:
        out.absent(statistic, "no class has a value", **key)
        return
    mean = out.bootstrap.interval(lambda w: np.mean([weighted_auc(v, truth, w) for v, truth in labelled], axis=0))
    out.estimate(statistic, mean, **key)


def _table(stack: Stack, best: dict[int, Neuron], names: Sequence[str]) -> pd.DataFrame:
    rows = [
        {"cls": names[c], "layer": stack.layers[n.layer].number, "neuron": n.number, "auc_selection": n.auc}
        for c, n in sorted(best.items())
    ]
    return pd.DataFrame(rows, columns=["cls", "layer", "neuron", "auc_selection"])
