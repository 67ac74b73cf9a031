"""What is true of every control by construction, as theorems, each with a control beside it of which it is false."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from lineup_maker import FEW, QUICK, knowing, member
from stack_maker import KINDS

from rote.experiments import NonlinearExcess, PathAblation
from rote.experiments.nonlinear_excess.measure import RATIOS, product_excess
from rote.lineup import (
    Additive,
    AndGates,
    ClassBooster,
    Control,
    HashLookup,
    Parallel,
    ShuffledMatched,
    SingleStep,
    Target,
)
from rote.stack import Stack, permuted
from rote.stack.product import product_effects
from rote.statistics import rng

kinds = pytest.mark.parametrize("kind", KINDS)
BLIND = (SingleStep(), AndGates(), Parallel())
blind = pytest.mark.parametrize("control", BLIND, ids=lambda control: control.name)


# ------------------------------------------------------------------ additive


def largest_interaction(stack: Stack) -> float:
    """Over every output of every layer, the largest joint effect of two names, in SDs of that output."""
    names = stack.entities
    worst = 0.0
    for site in product_effects(stack, np.unique(names.first), np.unique(names.last)):
        worst = max(worst, *(float(np.sqrt(e.interaction.max() / e.total.mean())) for e in site))
    return worst


@kinds
def test_additive_outputs_have_no_interaction(kind: str) -> None:
    stack = knowing(kind, n_relations=2, double=False)
    assert largest_interaction(member(Additive(), stack).stack) <= 1e-5
    assert largest_interaction(member(ShuffledMatched(), stack).stack) > 0.1


def test_additive_has_no_excess_to_take_shares_of() -> None:
    stack, found = knowing("parallel LayerNorm", double=False), {}
    for control in (Additive(), HashLookup()):
        record = NonlinearExcess()(member(control, stack).stack, QUICK)
        found[control.name] = {r.statistic: r.value for r in record.rows if r.layer is None}
        absent = {(a.statistic, a.condition) for a in record.absent if a.layer is None}
        if control.name == "additive":
            wanted = {(name, None) for name in ("inherited", "norm", "activation")}
            assert wanted | {("median_excess_ratio", name) for name in RATIOS} <= absent
    assert abs(found["additive"]["interaction_score"]) <= 1e-5 < 1e-2 < abs(found["hash_lookup"]["interaction_score"])


# ------------------------------------------------------------------ single_step, and_gates, parallel


def later_change(stack: Stack) -> float:
    """The largest change of what any MLP gives when what earlier ones gave is taken away, swapped or enlarged."""
    run, worst = stack.run_entities(), 0.0
    generator = torch.Generator().manual_seed(0)
    for i in range(len(stack.layers) - 1):
        own = run.mlp_out[i]
        noise = torch.randn(len(own), stack.layers[i].mlp.w_out.shape[0], generator=generator).to(own.dtype)
        for other in (torch.zeros_like(own), own.flip(0), -3 * own, noise @ stack.layers[i].mlp.w_out):
            changed = stack.run(run.resid[0], output={i: other})
            for later in range(i + 1, len(stack.layers)):
                worst = max(worst, float((changed.mlp_out[later] - run.mlp_out[later]).abs().max()))
    return worst


@kinds
@blind
def test_no_mlp_reads_what_another_computed(control: Control, kind: str) -> None:
    stack = knowing(kind, n_relations=3)
    assert later_change(member(control, stack).stack) <= 1e-6
    assert later_change(member(HashLookup(), stack).stack) > 1e-2


@kinds
@blind
def test_nothing_runs_along_their_paths(control: Control, kind: str) -> None:
    stack = knowing(kind)
    assert abs(path_share(member(control, stack).stack)) <= 1e-6
    assert path_share(member(HashLookup(), stack).stack) > 1e-2


def path_share(stack: Stack) -> float:
    rows = PathAblation()(stack, QUICK).rows
    (share,) = [r.value for r in rows if (r.statistic, r.condition, r.layer) == ("path_share", "additive", None)]
    return share


def inherited(stack: Stack) -> float:
    """Σ over facts of |inherited excess|, as a share of all the excess there is."""
    terms = product_excess(stack).overall
    return float(np.abs(terms["inherited"]).sum() / np.abs(terms["total"]).sum())


@kinds
def test_single_step_neurons_inherit_no_excess(kind: str) -> None:
    stack = knowing(kind)
    assert inherited(member(SingleStep(), stack).stack) <= 1e-6
    assert inherited(member(HashLookup(), stack).stack) > 1e-3


@kinds
def test_every_parallel_layer_has_the_answer_by_itself(kind: str) -> None:
    stack = knowing(kind, FEW)
    target = Target.of(stack, QUICK)

    def alone(control: Control, seed: int) -> list[float]:
        run = member(control, stack, seed).stack.run(target.x)
        n = len(run.mlp_out)
        return [target.fit(target.base + n * out).accuracy for out in run.mlp_out]

    good = [seed for seed in range(3) if member(Parallel(), stack, seed).matched]
    assert good, "no member of three holds every name in every layer"
    assert min(min(alone(Parallel(), seed)) for seed in good) >= target.accuracy - 0.02 - 1e-9
    assert min(alone(HashLookup(), 0)) < target.accuracy - 0.2


def test_a_parallel_member_with_a_layer_that_does_not_know_is_not_matched() -> None:
    stack = knowing("parallel LayerNorm", FEW)
    target, built = Target.of(stack, QUICK), member(Parallel(), stack)
    assert built.matched
    silent = replace(
        built.stack.layers[0], mlp=replace(built.stack.layers[0].mlp, w_out=0 * built.stack.layers[0].mlp.w_out)
    )
    reason = Parallel().flaw(target, built.stack.with_layers((silent, *built.stack.layers[1:]), "parallel"))
    assert reason is not None
    assert "alone reads" in reason


def test_gates_open_on_their_own_names_only() -> None:
    """On average over a neuron's names, and as far as a linear map of what is read can tell tokens apart."""
    stack = knowing("parallel LayerNorm")
    built = member(AndGates(), stack).stack
    run, entities = built.run_entities(), built.entities
    posts = built.layers[0].post(run.mlp_in[0])
    assert (posts >= 0).all() and built.layers[0].mlp.activation is torch.relu
    sorted_posts = posts.sort(0).values
    assert float((sorted_posts[: len(entities) // 4] == 0).double().mean()) > 0.5  # shut for some of the names
    assert (sorted_posts[-1] > 0).double().mean() > 0.9


def test_a_parallel_control_with_a_layer_that_lacks_the_answer_is_not_matched() -> None:
    stack = knowing("sequential LayerNorm", FEW)
    target, built = Target.of(stack, QUICK), member(Parallel(), stack)
    assert built.matched and Parallel().flaw(target, built.stack) is None
    first = built.stack.layers[0]
    silent = replace(first, mlp=replace(first.mlp, w_out=0 * first.mlp.w_out))
    flaw = Parallel().flaw(target, built.stack.with_layers((silent, *built.stack.layers[1:]), "parallel"))
    assert flaw is not None and f"MLP {first.number} alone" in flaw


# ------------------------------------------------------------------ hash_lookup


@kinds
def test_before_the_look_up_weights_are_permuted_ones_scaled_per_neuron(kind: str) -> None:
    stack = knowing(kind)
    built = member(HashLookup(), stack).stack
    for own, model in zip(built.layers[:-1], stack.layers[:-1], strict=True):
        assert same_numbers(own.mlp.w_out, model.mlp.w_out)
        if model.mlp.b_out is not None:
            assert same_numbers(own.mlp.b_out, model.mlp.b_out)
        if model.mlp.w_gate is not None:
            assert same_numbers(own.mlp.w_in, model.mlp.w_in)
    last, model = built.layers[-1], stack.layers[-1]
    assert not same_numbers(last.mlp.w_out, model.mlp.w_out)  # the look-up is fitted


def same_numbers(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    assert one is not None and other is not None
    return torch.equal(one.flatten().sort().values, other.flatten().sort().values)


@kinds
def test_the_hash_is_shuffled_matched_of_the_same_seed_column_by_column(kind: str) -> None:
    stack = knowing(kind)
    built = member(HashLookup(), stack, seed=4).stack
    generator = rng(QUICK.seed, "lineup/hash_lookup", 4)
    for own, model in zip(built.layers[:-1], stack.layers[:-1], strict=True):
        plain = permuted(model, generator)
        name = "w_in" if model.mlp.w_gate is None else "w_gate"
        scaled, given = getattr(own.mlp, name), getattr(plain.mlp, name)
        gain = (scaled / given).median(0).values
        assert torch.allclose(scaled, given * gain, atol=1e-12) and (gain > 0).all()


def test_the_hash_does_not_know_the_classes() -> None:
    """Other answers for the same names leave every layer before the look-up as it is, bit by bit."""
    stack = knowing("sequential LayerNorm")
    order = np.random.default_rng(0).permutation(len(stack.entities))
    other = replace(stack, entities=replace(stack.entities, cls={"sport": stack.entities.cls["sport"][order]}))
    for control, known in ((HashLookup(), False), (SingleStep(), True)):
        one, two = (member(control, s).stack for s in (stack, other))
        before = [torch.equal(a.mlp.w_out, b.mlp.w_out) for a, b in zip(one.layers, two.layers, strict=True)]
        assert all(before[:-1]) is not known
        assert not before[-1]


# ------------------------------------------------------------------ class_booster


@kinds
def test_a_booster_reads_and_writes_nothing_but_readout_directions(kind: str) -> None:
    """Turning the rest of the input, with its length and mean as they are (a norm sees these), changes nothing."""
    stack = knowing(kind, n_relations=2)
    centred = [r.weight - r.weight.mean(1, keepdim=True) for r in stack.readouts.values()]
    span = torch.linalg.svd(torch.cat(centred, 1), full_matrices=False)
    span = span[0][:, span[1] > 1e-9]
    built = member(ClassBooster(), stack).stack
    run = built.run_entities()
    for layer, read, out in zip(built.layers, run.mlp_in, run.mlp_out, strict=True):
        assert torch.allclose(out @ span @ span.T, out, atol=1e-9)
        turned = turned_outside(read, span)
        assert float((turned - read).abs().max()) > 0.1
        assert torch.allclose(layer.mlp_out(turned), out, atol=1e-9)
    other = member(ShuffledMatched(), stack).stack.layers[0]
    assert not torch.allclose(
        other.mlp_out(turned_outside(run.mlp_in[0], span)), other.mlp_out(run.mlp_in[0]), atol=0.1
    )


def turned_outside(x: torch.Tensor, span: torch.Tensor) -> torch.Tensor:
    """x with what is orthogonal to the span and to the mean turned within that space."""
    ones = torch.ones(x.shape[1], 1, dtype=x.dtype)
    kept = torch.linalg.qr(torch.cat([span, ones], 1))[0]
    free = torch.linalg.svd(torch.eye(len(ones), dtype=x.dtype) - kept @ kept.T)[0][:, : len(ones) - kept.shape[1]]
    generator = torch.Generator().manual_seed(1)
    turn = torch.linalg.qr(torch.randn(free.shape[1], free.shape[1], generator=generator, dtype=x.dtype))[0]
    return x @ kept @ kept.T + x @ free @ turn @ free.T
