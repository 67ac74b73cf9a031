"""How controls are matched: ridge, the closed form, tolerances, what is said of misfits, and determinism."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from circuit_world import SETTINGS, world
from lineup_maker import FEW, MANY, QUICK, knowing, member, weights
from stack_maker import KINDS

import rote
from rote.errors import NotApplicable
from rote.lineup import CONTROLS, AndGates, Control, HashLookup, Parallel, PartialHash, SingleStep, Target, Trained
from rote.lineup.fit import Ridge, fit_outputs
from rote.lineup.wiring import token_layers
from rote.stack import Stack
from rote.statistics import rng

kinds = pytest.mark.parametrize("kind", KINDS)
FAST = tuple(control for control in CONTROLS if control.name not in ("partial_hash_100", "partial_hash_1000"))
every = pytest.mark.parametrize("control", FAST, ids=lambda control: control.name)

# ------------------------------------------------------------------ ridge


@pytest.mark.parametrize(("n", "k"), [(9, 20), (20, 9), (12, 12)], ids=["few names", "many names", "as many"])
@pytest.mark.parametrize("penalty", [10.0, 1e-2, 1e-5])
def test_ridge_solves_the_normal_equations(n: int, k: int, penalty: float) -> None:
    generator = np.random.default_rng(n)
    features, wanted, towards = (generator.normal(size=shape) for shape in ((n, k), (n, 4), (k, 4)))
    given = (torch.as_tensor(x) for x in (features + 3, wanted - 2, towards))
    found, intercept = Ridge(*given).weights(penalty)
    centred, rest = features - features.mean(0), wanted - wanted.mean(0)
    gram = centred.T @ centred
    strength = penalty * np.trace(gram) / min(n, k)  # the mean of the eigenvalues in the smaller space
    literal = towards + np.linalg.solve(gram + strength * np.eye(k), centred.T @ (rest - centred @ towards))
    assert np.abs(found.numpy() - literal).max() <= 1e-8
    residual = wanted - 2 - (features + 3) @ found.numpy() - intercept.numpy()
    assert np.abs(residual.mean(0)).max() <= 1e-8  # the intercept is free of the penalty


def test_a_strong_penalty_keeps_the_weights_and_a_weak_one_fits() -> None:
    generator = torch.Generator().manual_seed(0)
    features, wanted, towards = (
        torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((9, 20), (9, 4), (20, 4))
    )
    ridge = Ridge(features, wanted, towards)
    assert torch.allclose(ridge.weights(1e9)[0], towards, atol=1e-6)
    weight, intercept = ridge.weights(1e-12)
    assert torch.allclose(features @ weight + intercept, wanted, atol=1e-6)


@kinds
def test_with_a_basis_only_the_last_layer_writes_outside(kind: str) -> None:
    target = Target.of(knowing(kind), QUICK)
    layers = token_layers(target, rng(0, "test"))
    outside = torch.eye(len(target.basis), dtype=target.basis.dtype) - target.basis @ target.basis.T
    for basis, inside in ((target.basis, True), (None, False)):
        fitted = fit_outputs(target, layers, range(len(layers)), target.wanted, basis=basis)
        written = [float((layer.mlp.w_out @ outside).abs().max()) for layer in fitted]
        assert (max(written[:-1]) <= 1e-9) is inside
        assert written[-1] > 1e-3
    assert torch.allclose(target.basis.T @ target.basis, torch.eye(target.basis.shape[1]).to(target.basis), atol=1e-9)


# ------------------------------------------------------------------ matched


@pytest.fixture(scope="module")
def organism() -> Stack:
    return world().study.stack


@pytest.fixture
def no_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(*_: object, **__: object) -> None:
        raise AssertionError("a gradient step was taken")

    monkeypatch.setattr(torch.optim.Adam, "step", step)


@pytest.mark.usefixtures("no_steps")
@pytest.mark.parametrize("control", [SingleStep(), AndGates(), Parallel(), HashLookup()], ids=lambda c: c.name)
def test_where_neurons_outnumber_names_the_closed_form_is_enough(control: Control, organism: Stack) -> None:
    few = replace(SETTINGS, max_entities=10)  # of each half, so fewer than a layer's 80 neurons
    for seed in range(3):
        built = member(control, organism, seed, few)
        assert len(built.stack.entities) < built.stack.layers[0].mlp.w_out.shape[0]
        assert built.matched and built.reason is None, built.fit


@pytest.mark.usefixtures("no_steps")
def test_where_they_do_not_steps_are_taken() -> None:
    with pytest.raises(AssertionError, match="gradient step"):
        member(Parallel(), knowing("parallel LayerNorm", MANY))  # 16 neurons have to hold 40 names


@kinds
@every
def test_matched_means_within_two_points_and_ten_per_cent(control: Control, kind: str) -> None:
    stack = knowing(kind, n_relations=2)
    built = member(control, stack)
    clean, run = stack.run_entities(), built.stack.run_entities()
    base = clean.resid[0] + sum(layer.attention for layer in stack.layers)
    accuracy = np.mean(stack.readouts["sport"].predict(run.output) == stack.entities.cls["sport"])
    rms = float((run.output - base).square().mean().sqrt() / (clean.output - base).square().mean().sqrt())
    assert built.fit.accuracy == pytest.approx(accuracy, abs=1e-12)
    assert built.fit.target_accuracy == 1.0
    assert built.fit.rms_ratio == pytest.approx(rms, rel=1e-9)
    within = bool(abs(accuracy - 1) <= 0.02 and abs(rms - 1) <= 0.1)
    flawed = control.flaw(Target.of(stack, QUICK), built.stack)
    assert flawed is None or control.name == "parallel"  # the others have their mechanism by construction
    assert built.matched is (control.exempt or (within and flawed is None))
    assert (built.reason is None) is built.matched
    assert built.stack.name == control.name == built.control
    assert built.stack.entities.names == stack.entities.names and list(built.stack.readouts) == ["sport", "league"]
    assert torch.equal(built.stack.first, stack.first) and torch.equal(built.stack.last, stack.last)
    assert all(torch.isfinite(weight).all() for weight in weights(built.stack))


def test_what_misses_says_by_how_much() -> None:
    built = member(Trained(), knowing("parallel LayerNorm"), settings=replace(QUICK, n_refine_steps=1))
    assert not built.matched and built.reason is not None
    figures = [float(x) for x in re.findall(r"\d+\.\d+", built.reason)]
    assert figures[0] == pytest.approx(built.fit.accuracy, abs=5e-4)
    assert figures[1] == built.fit.target_accuracy == 1.0
    assert any(figure == pytest.approx(built.fit.rms_ratio, abs=5e-3) for figure in figures[2:])


# ------------------------------------------------------------------ determinism


def same(one: Stack, other: Stack) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


@every
def test_a_seed_is_a_member_bit_by_bit(control: Control) -> None:
    settings = replace(QUICK, n_refine_steps=20)
    stack = knowing("sequential LayerNorm", n_relations=2)
    built = member(control, stack, 1, settings).stack
    assert same(built, member(control, stack, 1, settings).stack)
    assert not same(built, member(control, stack, 2, settings).stack)
    assert not same(built, member(control, stack, 1, replace(settings, seed=1)).stack)


@every
def test_a_member_is_built_where_its_target_lies(control: Control) -> None:
    """With a default device on which nothing is computed: what is made without naming the target's device breaks."""
    settings = replace(QUICK, n_refine_steps=1)
    target = Target.of(knowing("sequential LayerNorm", n_relations=2), settings)
    with torch.device("meta"):
        layers = control.layers(target, np.random.default_rng(5), settings)
    assert {w.device.type for w in weights(target.stack.with_layers(layers, control.name))} == {"cpu"}


def test_no_step_after_the_hash_is_the_hash() -> None:
    for kind in KINDS:
        target = Target.of(knowing(kind), QUICK)
        hashed, zero, three = (
            target.stack.with_layers(control.layers(target, np.random.default_rng(5), QUICK), "control")
            for control in (HashLookup(), PartialHash(0), PartialHash(3))
        )
        assert same(hashed, zero)
        assert not same(hashed, three)


# ------------------------------------------------------------------ the line-up


def test_build_controls_yields_every_member_of_every_control() -> None:
    stack, wanted = knowing("parallel LayerNorm", FEW), [("additive", 0), ("additive", 1), ("trained", 0)]
    chosen = [control for control in rote.CONTROLS if control.name in ("additive", "trained")]
    built = list(rote.build_controls(stack, controls=chosen, settings=QUICK))
    assert [(m.control, m.seed) for m in built] == wanted
    by_name = {control.name: control for control in chosen}
    assert all(same(m.stack, member(by_name[m.control], stack, m.seed).stack) for m in built)
    first = next(rote.build_controls(stack, seeds=1))
    assert (first.control, first.seed) == (CONTROLS[0].name, 0)
    quick = replace(QUICK, n_trained_members=5)
    seeds = [m.seed for m in rote.build_controls(stack, controls=chosen, seeds=3, settings=quick)]
    assert seeds == [0, 1, 2, 0, 1, 2]


def test_the_catalog_describes_the_controls_there_are() -> None:
    described = {card.name: (card.exempt, card.steps) for card in rote.catalog.CONTROLS}
    steps = {"hash_lookup": 0} | {c.name: c.steps for c in CONTROLS if isinstance(c, PartialHash)}
    assert described == {c.name: (c.exempt, steps.get(c.name)) for c in CONTROLS}
    assert [card.name for card in rote.catalog.CONTROLS] == [c.name for c in CONTROLS]


# ------------------------------------------------------------------ what cannot be matched


@every
@pytest.mark.parametrize("kind", ["sequential LayerNorm", "gated without bias"])
def test_one_class_for_everybody_gives_a_sane_member(control: Control, kind: str) -> None:
    stack = knowing(kind)
    stack = replace(stack, entities=replace(stack.entities, cls={"sport": np.zeros(MANY, dtype=int)}))
    built = member(control, stack, settings=replace(QUICK, n_refine_steps=20))
    assert all(torch.isfinite(weight).all() for weight in weights(built.stack))
    assert np.isfinite([built.fit.accuracy, built.fit.rms_ratio]).all()
    assert built.matched or built.reason


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_names_are_refused(n: int) -> None:
    stack = knowing("parallel LayerNorm")
    with pytest.raises(NotApplicable, match=r"no known names|one known name"):
        Target.of(stack.with_entities(stack.entities.take(np.arange(n))), QUICK)


@every
def test_two_names_are_enough(control: Control) -> None:
    built = member(control, knowing("sequential LayerNorm", 2), settings=replace(QUICK, n_refine_steps=20))
    assert all(torch.isfinite(weight).all() for weight in weights(built.stack))


def test_a_window_that_adds_the_same_for_all_is_refused() -> None:
    stack = knowing("parallel LayerNorm")
    silent = [replace(layer, mlp=replace(layer.mlp, w_out=0 * layer.mlp.w_out)) for layer in stack.layers]
    with pytest.raises(NotApplicable, match="the same"):
        Target.of(stack.with_layers(tuple(silent), "effective"), QUICK)
