"""The excess over a product: its theorems with their positive controls, and the literal twin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import stack_maker
import torch
from plain_excess import PlainExcess, double

import rote.experiments.nonlinear_excess.measure as module
from rote.errors import NotApplicable
from rote.experiments.nonlinear_excess.measure import KINDS, PARTS, RATIOS, NonlinearExcess, product_excess
from rote.model import MLPWeights
from rote.records import Record
from rote.settings import Settings
from rote.stack import Entities, Readout, Stack, StackLayer
from rote.statistics import rng
from rote.statistics.bootstrap import PigeonholeBootstrap

SETTINGS = Settings(n_bootstrap=400)
each_kind = pytest.mark.parametrize("kind", stack_maker.KINDS)


def whole(stack: Stack) -> Stack:
    """All entities reported."""
    return stack.with_entities(replace(stack.entities, selection=np.zeros(len(stack.entities), dtype=bool)))


def with_excess(stack: Stack) -> Stack:
    """Every entity of the class whose score has the largest excess, so that T is clearly above 0."""
    plain = PlainExcess(double(stack))
    scores = [plain.scores(c) for c in range(3)]
    cls = np.array([np.argmax([plain.excess(s, name) for s in scores]) for name in plain.known])
    return stack.with_entities(replace(stack.entities, cls={"sport": cls}))


def value(record: Record, statistic: str, layer: int | None = None, condition: str | None = None) -> float:
    (found,) = [r for r in record.rows if (r.statistic, r.layer, r.condition) == (statistic, layer, condition)]
    return found.value


def reasons(record: Record, layer: int | None = None) -> dict[str, str]:
    return {f"{a.statistic} {a.condition or ''}".strip(): a.reason for a in record.absent if a.layer == layer}


# ------------------------------------------------------------------ the twin


@each_kind
def test_all_sums_equal_the_literal_loops_over_names(kind: str) -> None:
    stack = double(whole(stack_maker.of_kind(kind)))
    plain, found = PlainExcess(stack), product_excess(stack)
    for index, terms in enumerate(found.layers):
        literal = plain.terms(index)
        assert set(terms) == set(literal)
        for name, values in literal.items():
            np.testing.assert_allclose(terms[name], values, rtol=1e-8, atol=1e-8, err_msg=f"{name}, layer {index}")
    sds = [plain.score_sd(int(c)) for c in stack.entities.cls["sport"]]
    np.testing.assert_allclose(found.score_sd, sds, rtol=1e-9)


@each_kind
def test_the_rows_of_a_float32_stack_equal_the_twin(kind: str) -> None:
    stack = with_excess(whole(stack_maker.of_kind(kind)))
    record, plain = NonlinearExcess()(stack, SETTINGS), PlainExcess(double(stack))
    terms = [plain.terms(index) for index in range(len(stack.layers))]
    overall = {name: np.sum([t[name] for t in terms], axis=0) for name in terms[0]}
    sds = np.array([plain.score_sd(int(c)) for c in stack.entities.cls["sport"]])
    kinds = sum(np.sum(overall[name]) for name in KINDS)
    assert value(record, "interaction_score") == pytest.approx(np.mean(overall["total"] / sds), rel=1e-5)
    for name in PARTS:
        literal = overall[name].sum() / overall["total"].sum()
        assert value(record, name) == pytest.approx(literal, rel=1e-5, abs=1e-5)
    for name in RATIOS:
        below = overall["total_rising" if "rising" in name else "total"]
        found = value(record, "median_excess_ratio", condition=name)
        assert found == pytest.approx(np.median(overall[name] / below), rel=1e-5, abs=1e-5)
    for name in KINDS:
        assert value(record, f"{name}_share") == pytest.approx(overall[name].sum() / kinds, rel=1e-5, abs=1e-5)
    layer = np.array(terms[1]["total"])
    assert value(record, "interaction_score", layer=5) == pytest.approx(np.mean(layer / sds), rel=1e-5, abs=1e-5)


def test_the_interval_resamples_numerator_and_denominator_together() -> None:
    stack = with_excess(whole(stack_maker.make()))
    record, terms = NonlinearExcess()(stack, SETTINGS), product_excess(stack).overall
    e = stack.entities
    weights = PigeonholeBootstrap(
        e.first,
        e.last,
        n_resamples=400,
        generator=rng(SETTINGS.seed, "bootstrap", "sport"),
    ).weights
    drawn = [(w @ terms["inherited"]) / (w @ terms["total"]) for w in weights if w.any()]
    (row,) = [r for r in record.rows if r.statistic == "inherited" and r.layer is None]
    assert (row.ci_low, row.ci_high) == pytest.approx(tuple(np.percentile(drawn, (2.5, 97.5))), rel=1e-9)
    assert row.n == len(e)


@pytest.mark.parametrize("chunk", [1, 200, 10**6])
def test_the_size_of_the_chunks_changes_nothing(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = double(whole(stack_maker.make()))
    before = product_excess(stack).overall
    monkeypatch.setattr(module, "CHUNK", chunk)
    after = product_excess(stack).overall
    for name in before:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-9, atol=1e-10)


# ------------------------------------------------------------------ theorems


@each_kind
def test_inherited_norm_and_activation_sum_to_the_excess(kind: str) -> None:
    record = NonlinearExcess()(with_excess(whole(stack_maker.of_kind(kind))), SETTINGS)
    assert sum(value(record, name) for name in PARTS) == pytest.approx(1, abs=1e-6)
    assert sum(value(record, f"{name}_share") for name in KINDS) == pytest.approx(1, abs=1e-6)
    assert all(abs(value(record, name)) > 1e-4 for name in ("inherited", "activation"))  # none is there for nothing


@pytest.mark.parametrize("kind", [k for k, made in stack_maker.KINDS.items() if not made.get("out_norm")])
def test_the_layers_excess_sums_to_the_excess_of_the_score(kind: str) -> None:
    stack = double(whole(stack_maker.of_kind(kind)))
    plain, total = PlainExcess(stack), product_excess(stack).overall["total"]
    cls = stack.entities.cls["sport"]
    literal = [plain.excess(plain.scores(int(c)), name) for c, name in zip(cls, plain.known, strict=True)]
    np.testing.assert_allclose(total, literal, rtol=1e-8, atol=1e-8)


def identity(x: torch.Tensor) -> torch.Tensor:
    return x


def test_an_additive_stack_has_no_interaction_and_no_shares() -> None:
    additive = NonlinearExcess()(whole(stack_maker.make(activation=identity, norm=None)), SETTINGS)
    assert value(additive, "interaction_score") == pytest.approx(0, abs=1e-5)
    assert value(additive, "linear_share") == pytest.approx(1)
    why = reasons(additive)
    assert set(why) == {*PARTS, *(f"median_excess_ratio {name}" for name in RATIOS)}
    assert all("excess" in reason for reason in why.values())
    curved = product_excess(whole(stack_maker.make(norm=None)))
    assert np.abs(curved.overall["total"] / curved.score_sd).mean() > 0.1


@pytest.mark.parametrize("side", ["first", "last"])
def test_a_stack_that_ignores_one_name_has_no_interaction(side: str) -> None:
    stack = whole(stack_maker.make())
    table = getattr(stack, side)
    blind = replace(stack, **{side: table[:1].expand_as(table).clone()})
    record = NonlinearExcess()(blind, SETTINGS)
    for layer in (4, 5, 6, None):
        assert value(record, "interaction_score", layer=layer) == pytest.approx(0, abs=1e-5)
    assert set(PARTS) < set(reasons(record))


@pytest.mark.parametrize("made", [{}, {"gated": True, "norm": "rms"}, {"norm": None}, {"parallel": False}])
def test_a_first_layer_inherits_nothing_and_later_ones_do(made: dict[str, object]) -> None:
    stack = double(whole(stack_maker.make(**made)))  # type: ignore[arg-type]
    one = product_excess(stack.with_layers(stack.layers[:1], "one")).overall
    size = np.abs(one["total"]).mean()
    assert np.abs(one["inherited"]).max() < 1e-6 * size
    three = product_excess(stack)
    assert all(np.abs(terms["inherited"]).mean() > 1e-2 * size for terms in three.layers[1:])


def test_without_a_norm_the_norm_has_no_share() -> None:
    stack = double(whole(stack_maker.make(norm=None)))
    for terms in product_excess(stack).layers:
        assert np.abs(terms["norm"]).max() < 1e-9 * np.abs(terms["total"]).max()
    normed = product_excess(double(whole(stack_maker.make())))
    assert np.abs(normed.overall["norm"]).mean() > 1e-2 * np.abs(normed.overall["total"]).mean()


def test_scores_that_never_vary_leave_everything_absent_but_the_neurons() -> None:
    stack = whole(stack_maker.make())
    readout = replace(stack.readouts["sport"], weight=torch.ones_like(stack.readouts["sport"].weight))
    record = NonlinearExcess()(replace(stack, readouts={"sport": readout}), SETTINGS)
    assert not record.rows
    assert "the same for all combinations" in reasons(record)["interaction_score"]


def test_where_the_excess_may_be_0_the_shares_are_absent_with_its_interval() -> None:
    record = NonlinearExcess()(whole(stack_maker.make()), SETTINGS)
    assert all("covers 0" in reason for reason in reasons(record).values())
    assert set(PARTS) <= set(reasons(record))
    assert value(record, "interaction_score") != 0


def test_single_names_and_single_classes_are_refused() -> None:
    stack = whole(stack_maker.make())
    one_first = stack.with_entities(stack.entities.take(np.flatnonzero(stack.entities.first == 3)))
    with pytest.raises(NotApplicable, match="1 first"):
        NonlinearExcess()(one_first, SETTINGS)
    readout = stack.readouts["sport"]
    alone = replace(stack, readouts={"sport": replace(readout, classes=("a",), weight=readout.weight[:, :1])})
    with pytest.raises(NotApplicable, match="single class"):
        NonlinearExcess()(
            alone.with_entities(replace(alone.entities, cls={"sport": 0 * alone.entities.first})), SETTINGS
        )


# ------------------------------------------------------------------ kinds of neurons

N = 12


def gates(activation: object, bias: float) -> Stack:
    """One neuron for each of N names (i, i): activation(1[first = i] + 1[last = i] + bias)."""
    eye = torch.eye(N, dtype=torch.float64)
    mlp = MLPWeights(
        w_in=eye,
        b_in=torch.full((N,), bias, dtype=torch.float64),
        w_gate=None,
        b_gate=None,
        activation=activation,  # type: ignore[arg-type]
        w_out=torch.eye(N, dtype=torch.float64).sum(1, keepdim=True) * eye[:1],
        b_out=None,
    )
    zero = torch.zeros(N, dtype=torch.float64)
    layer = StackLayer(number=0, attention=zero, norm=None, mlp=mlp, out_norm=None, parallel=True)
    weight = torch.stack([eye[0], -eye[0]], dim=1)
    same = np.arange(N)
    return Stack(
        name="effective",
        first=eye,
        last=eye,
        constant=zero,
        layers=(layer,),
        readouts={"r": Readout(relation="r", classes=("a", "b"), weight=weight, centre=zero)},
        entities=Entities(
            names=tuple(map(str, same)), first=same, last=same, cls={"r": same % 2}, selection=np.zeros(N, dtype=bool)
        ),
    )


def shares(stack: Stack) -> list[float]:
    record = NonlinearExcess()(stack, SETTINGS)
    return [value(record, f"{name}_share") for name in KINDS]


def test_planted_gates_are_told_apart() -> None:
    """A fact's own neuron has κ = ±1 and weighs 1; those of the other M = N − 1 names follow from counting."""
    m = N - 1
    # an AND: another name's neuron fires in one of the M² cells with neither name only, so its fall is an OR's
    assert shares(gates(torch.relu, -1.0)) == pytest.approx([m / N, 1 / N, 0])
    # an OR: another name's neuron falls by (2M − 1)/M², of which 1/M² is joint
    assert shares(gates(lambda x: x.clamp_max(1.0), 0.0)) == pytest.approx(
        [0, m / (3 * m - 1), (2 * m - 1) / (3 * m - 1)]
    )
    assert shares(gates(identity, 0.0)) == pytest.approx([0, 0, 1])
