"""What is left of an entity beside others: loops, theorems, and the Gaussian toy with its positive control."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import stack_maker
import torch
from plain_excess import Cell, array, centred, double
from sklearn.metrics import roc_auc_score

from rote.errors import NotApplicable
from rote.experiments.orthogonal_remainder.measure import (
    SHARE,
    Draw,
    OrthogonalRemainder,
    best_neurons,
    draw_others,
    gaussian,
    halves,
    remainder_scores,
)
from rote.records import Record
from rote.settings import Settings
from rote.stack import Stack
from rote.statistics import rng

SETTINGS = Settings(n_bootstrap=300)
KINDS = [kind for kind in stack_maker.KINDS if "norm behind" not in kind]
N_OTHERS = round(SHARE * stack_maker.D_MODEL)


def value(record: Record, statistic: str, condition: str | None, cls: str | None) -> float:
    (found,) = [r for r in record.rows if (r.statistic, r.condition, r.cls) == (statistic, condition, cls)]
    return found.value


def cells(stack: Stack) -> list[list[Cell]]:
    """Per entity and layer."""
    found = []
    for a, b in zip(stack.entities.first, stack.entities.last, strict=True):
        x, of_entity = array(stack.first[a]) + array(stack.last[b]) + array(stack.constant), []
        for layer in stack.layers:
            of_entity.append(Cell(layer, x))
            x = of_entity[-1].after
        found.append(of_entity)
    return found


def pairs_auc(scores: list[float], labels: list[bool]) -> float:
    """Share of (member, other) pairs in the right order, ties ½."""
    wins = [
        1.0 if s > t else 0.5 if s == t else 0.0
        for s, mine in zip(scores, labels, strict=True)
        if mine
        for t, other in zip(scores, labels, strict=True)
        if not other
    ]
    return float(np.mean(wins))


def off(x: np.ndarray, others: np.ndarray) -> np.ndarray:
    """x minus its projection on the span of the rows of `others`."""
    left: np.ndarray = x - others.T @ np.linalg.lstsq(others.T, x, rcond=1e-9)[0]
    return left


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_equals_loops_over_entities(kind: str) -> None:
    stack = double(stack_maker.of_kind(kind))
    record = OrthogonalRemainder()(stack, SETTINGS)
    chosen_on, sample = halves(stack, SETTINGS)
    search, every, own = cells(chosen_on), cells(stack), cells(sample)
    draws = list(draw_others(stack, sample, SETTINGS))
    names = list(zip(stack.entities.first, stack.entities.last, strict=True))
    means: dict[tuple[str, str | None], list[float]] = {}
    for c, cls in enumerate(stack.readouts["sport"].classes):
        wanted = [bool(x == c) for x in chosen_on.entities.cls["sport"]]
        labels = [bool(x == c) for x in sample.entities.cls["sport"]]
        found = {
            (index, n): pairs_auc([float(e[index].post[n]) for e in search], wanted)
            for index in range(len(stack.layers))
            for n in range(stack_maker.D_MLP)
        }
        index, n = max(found, key=lambda key: found[key])
        row = record.tables["neurons"].iloc[c]
        assert (row.cls, row.layer, row.neuron) == (cls, stack.layers[index].number, n)
        assert row.auc_selection == pytest.approx(found[index, n], abs=1e-12)

        layer = stack.layers[index]
        direction = array(layer.mlp.w_in if layer.mlp.w_gate is None else layer.mlp.w_gate)[:, n]
        direction = direction if layer.norm is None else direction * array(layer.norm.weight)
        x = np.array([e[index].read if layer.norm is None else centred(layer.norm, e[index].read) for e in every])
        places = [names.index(name) for name in zip(sample.entities.first, sample.entities.last, strict=True)]
        plain = x[places] @ direction
        mine, rest = plain[labels], plain[~np.array(labels)]
        spread = (np.sum((mine - mine.mean()) ** 2) + np.sum((rest - rest.mean()) ** 2)) / (len(plain) - 2)
        toy = rng(SETTINGS.seed, "orthogonal_remainder", f"sport/{c}").standard_normal(x.shape)
        for i, label in enumerate(stack.entities.cls["sport"]):
            toy[i, 0] += (mine.mean() - rest.mean()) / np.sqrt(spread) * (label == c)
        scores = {"real": [0.0] * len(places), "gaussian": [0.0] * len(places)}
        for draw in draws:
            for i in draw.group:
                scores["real"][i] = float(off(x[places[i]], x[draw.others]) @ direction)
                scores["gaussian"][i] = float(off(toy[places[i]], toy[draw.others])[0])
        whole = [float(e[index].post[n]) for e in own]
        for key, of_key in (
            (("neuron_auc", None), whole),
            (("remainder_auc", "real"), scores["real"]),
            (("remainder_auc", "gaussian"), scores["gaussian"]),
        ):
            literal = pairs_auc(of_key, labels)
            means.setdefault(key, []).append(literal)
            assert value(record, *key, cls) == pytest.approx(literal, abs=1e-9), (key, cls)
    for key, literals in means.items():
        assert value(record, *key, None) == pytest.approx(np.mean(literals), abs=1e-9)


# ------------------------------------------------------------------ groups and halves


def test_every_reported_entity_stands_in_one_group_and_never_among_its_others() -> None:
    stack = stack_maker.make()
    _, sample = halves(stack, SETTINGS)
    draws = list(draw_others(stack, sample, SETTINGS))
    assert sorted(np.concatenate([d.group for d in draws])) == list(range(len(sample.entities)))
    for draw in draws:
        assert len(set(draw.others.tolist())) == N_OTHERS
        group = {sample.entities.names[i] for i in draw.group}
        assert not group & {stack.entities.names[i] for i in draw.others}


def test_few_entities_make_small_groups_and_fewer_none() -> None:
    stack = stack_maker.make(n_entities=N_OTHERS + 2)
    _, sample = halves(stack, SETTINGS)
    assert max(len(d.group) for d in draw_others(stack, sample, SETTINGS)) <= 2
    for n in (N_OTHERS, N_OTHERS - 1):
        few = stack_maker.make(n_entities=n)
        with pytest.raises(NotApplicable, match=f"needs {N_OTHERS} other entities.*there are {n} in all"):
            OrthogonalRemainder()(few, SETTINGS)


@pytest.mark.parametrize("given", ["none selected", "all selected", "halves"])
def test_the_neuron_is_chosen_on_entities_that_are_not_reported(given: str) -> None:
    stack = stack_maker.make()
    n = len(stack.entities)
    selection = {"none selected": np.zeros(n, bool), "all selected": np.ones(n, bool), "halves": np.arange(n) % 2 == 0}
    stack = stack.with_entities(replace(stack.entities, selection=selection[given]))
    chosen_on, sample = halves(stack, SETTINGS)
    assert set(chosen_on.entities.names) | set(sample.entities.names) == set(stack.entities.names)
    assert not set(chosen_on.entities.names) & set(sample.entities.names)
    assert abs(len(chosen_on.entities) - len(sample.entities)) <= 1
    if given == "halves":
        assert set(chosen_on.entities.names) == set(np.array(stack.entities.names)[::2])


def test_entities_whose_fact_is_not_known_are_not_reported() -> None:
    stack = stack_maker.make()
    cls = np.where(np.arange(len(stack.entities)) < 10, -1, stack.entities.cls["sport"])
    stack = stack.with_entities(replace(stack.entities, cls={"sport": cls}))
    chosen_on, sample = halves(stack, SETTINGS)
    assert len(chosen_on.entities) + len(sample.entities) == len(stack.entities) - 10
    assert min(chosen_on.entities.cls["sport"].min(), sample.entities.cls["sport"].min()) == 0


def test_a_class_that_nobody_has_is_absent_and_the_mean_is_over_the_others() -> None:
    stack = stack_maker.make()
    stack = stack.with_entities(replace(stack.entities, cls={"sport": stack.entities.cls["sport"] % 2}))
    record = OrthogonalRemainder()(stack, SETTINGS)
    assert {(a.statistic, a.condition, a.cls) for a in record.absent} == {
        ("remainder_auc", "real", "c"),
        ("remainder_auc", "gaussian", "c"),
        ("neuron_auc", None, "c"),
    }
    both = [value(record, "remainder_auc", "real", cls) for cls in ("a", "b")]
    assert value(record, "remainder_auc", "real", None) == pytest.approx(np.mean(both))
    assert set(best_neurons(halves(stack, SETTINGS)[0])) == {0, 1}


def test_a_class_that_only_the_selection_half_has_is_absent() -> None:
    stack = stack_maker.make()
    cls = stack.entities.cls["sport"] % 2 + 0
    cls[np.flatnonzero(stack.entities.selection)[:6]] = 2
    record = OrthogonalRemainder()(stack.with_entities(replace(stack.entities, cls={"sport": cls})), SETTINGS)
    assert {a.cls for a in record.absent} == {"c"} and all("one half" in a.reason for a in record.absent)
    assert list(record.tables["neurons"].cls) == ["a", "b"]


def test_where_all_entities_are_alike_nothing_remains_and_the_toy_has_no_difference_to_keep() -> None:
    stack = stack_maker.make()
    alike = replace(stack, first=0 * stack.first, last=0 * stack.last)
    record = OrthogonalRemainder()(alike, SETTINGS)
    why = {(a.condition, a.cls): a.reason for a in record.absent}
    assert "nothing remains" in why["real", "a"] and "vary" in why["gaussian", "a"]
    assert why["real", None] == why["gaussian", None] == "no class has a value"
    assert value(record, "neuron_auc", None, None) == 0.5


# ------------------------------------------------------------------ projection


def vectors(n: int, d: int, rank: int, seed: int = 0) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    return torch.as_tensor(generator.standard_normal((n, rank)) @ generator.standard_normal((rank, d)))


def draw(n: int, n_others: int) -> tuple[Draw, ...]:
    return (Draw(group=np.arange(n - n_others), others=np.arange(n - n_others, n)),)


def test_the_remainder_is_orthogonal_to_the_others_and_nothing_remains_in_their_span() -> None:
    d, n, k = 12, 30, 7
    full = vectors(n, d, d)
    direction = torch.as_tensor(np.random.default_rng(1).standard_normal(d))
    scores = remainder_scores(full, full[: n - k], direction, draw(n, k))
    assert scores is not None and np.abs(scores).min() > 1e-3
    along = full[-1]  # a direction in the others' span sees nothing of any remainder
    assert remainder_scores(full, full[: n - k], along, draw(n, k)) is None
    low = vectors(n, d, rank=5)
    assert remainder_scores(low, low[: n - k], direction, draw(n, k)) is None


def test_dependent_others_span_what_the_independent_ones_span() -> None:
    d, n, k = 12, 30, 9
    x = vectors(n, d, d)
    x[-1], x[-2] = x[-3] + x[-4], x[-5]
    direction = torch.as_tensor(np.random.default_rng(1).standard_normal(d))
    scores = remainder_scores(x, x[: n - k], direction, draw(n, k))
    basis = np.linalg.qr(x[n - k : n - 2].numpy().T)[0]  # the last two are made of these
    literal = [(row - basis @ (basis.T @ row)) @ direction.numpy() for row in x[: n - k].numpy()]
    np.testing.assert_allclose(scores, literal, rtol=1e-7, atol=1e-9)


def test_scaling_what_is_read_leaves_the_order() -> None:
    x = vectors(40, 12, 12)
    direction, draws = torch.ones(12, dtype=torch.float64), draw(40, 7)
    once, thrice = (remainder_scores(s * x, s * x[:33], direction, draws) for s in (1.0, 3.0))
    assert once is not None and thrice is not None
    np.testing.assert_allclose(thrice, 3 * once, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("d", "low", "high"), [(0.0, 0.42, 0.58), (2.0, 0.70, 0.95)])
def test_the_toy_keeps_the_class_difference_it_is_given_and_no_other(d: float, low: float, high: float) -> None:
    """Without a difference chance remains; with one, most of it survives although nothing else is there."""
    stack = stack_maker.make()
    n, width = 700, 128
    cls = np.random.default_rng(0).integers(0, 3, n)
    entities = replace(
        stack.entities, names=tuple(map(str, range(n))), first=np.arange(n), last=np.arange(n),
        cls={"sport": cls}, selection=np.zeros(n, bool),
    )  # fmt: skip
    toy = torch.as_tensor(gaussian(entities, "sport", 1, d, width, np.random.default_rng(5)))
    before = roc_auc_score(cls == 1, toy[:, 0].numpy())
    k = round(SHARE * width)
    axis = torch.zeros(width, dtype=torch.float64)
    axis[0] = 1
    scores = remainder_scores(toy, toy[: n - k], axis, draw(n, k))
    assert scores is not None
    after = roc_auc_score(cls[: n - k] == 1, scores)
    assert low < after < high
    if d:
        assert after < before - 0.02  # some of the difference lies in the others' span
    else:
        assert abs(before - 0.5) < 0.06
