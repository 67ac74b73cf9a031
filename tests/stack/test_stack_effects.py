"""Main effects of a stack, broken linear structure, and the readout: theorems with known answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from stack_maker import D_MODEL, KINDS, N_FIRST, N_LAST, N_LAYERS, make, of_kind
from torch import Tensor

from rote.errors import NotApplicable
from rote.experiments.linear_structure.measure import LinearStructure, broken_fractions, draw_pairs
from rote.settings import Settings
from rote.stack import Readout, Stack
from rote.stack.product import product_effects
from rote.statistics import two_way_main_effects

FIRSTS, LASTS = np.arange(N_FIRST), np.arange(N_LAST)
SETTINGS = Settings(n_bootstrap=50)
PAIRS = {"n_pairs": 20, "n_draws": 4}


def identity(x: Tensor) -> Tensor:
    return x


@pytest.mark.parametrize("kind", KINDS)
def test_streamed_effects_equal_those_of_the_full_table(kind: str) -> None:
    stack = of_kind(kind)
    first, last = (index.ravel() for index in np.indices((N_FIRST, N_LAST)))
    run = stack.run(stack.inputs(first, last))
    mlp_out, resid_post = product_effects(stack, FIRSTS, LASTS)
    for effects, outputs in ((mlp_out, run.mlp_out), (resid_post, run.resid[1:])):
        assert len(effects) == len(outputs) == N_LAYERS
        for effect, output in zip(effects, outputs, strict=True):
            whole = two_way_main_effects(output.double().numpy().reshape(N_FIRST, N_LAST, D_MODEL))
            assert effect.interaction_share == pytest.approx(whole.interaction_share, abs=1e-6)
            np.testing.assert_allclose(effect.main.grand, whole.grand, atol=1e-6)
            np.testing.assert_allclose(effect.main.first, whole.first, atol=1e-6)
            np.testing.assert_allclose(effect.main.last, whole.last, atol=1e-6)
            assert 0 < effect.interaction_share < 1


def test_effects_over_part_of_the_names_use_that_part_only() -> None:
    stack, firsts, lasts = make(), np.array([7, 2, 4]), np.array([5, 1])
    small = replace(stack, first=stack.first[firsts], last=stack.last[lasts])
    for some, whole in zip(
        product_effects(stack, firsts, lasts)[0], product_effects(small, np.arange(3), np.arange(2))[0], strict=True
    ):
        assert some.interaction_share == whole.interaction_share


@pytest.mark.parametrize("parallel", [True, False])
def test_an_additive_stack_has_no_interaction(parallel: bool) -> None:
    additive = make(activation=identity, norm=None, parallel=parallel)
    for effects in product_effects(additive, FIRSTS, LASTS):
        assert all(effect.interaction_share == pytest.approx(0, abs=1e-5) for effect in effects)
    positive = make(norm=None, parallel=parallel)  # the same weights with a nonlinearity
    assert all(effect.interaction_share > 0.01 for effect in product_effects(positive, FIRSTS, LASTS)[0])


def constant(stack: Stack) -> Stack:
    """The MLPs add the same to every name."""
    layers = tuple(replace(y, mlp=replace(y.mlp, w_out=torch.zeros_like(y.mlp.w_out))) for y in stack.layers)
    return stack.with_layers(layers, "constant")


def test_a_constant_output_has_no_interaction_share() -> None:
    mlp_out, resid_post = product_effects(constant(make()), FIRSTS, LASTS)
    for effect in mlp_out:
        with pytest.raises(NotApplicable, match="constant"):
            _ = effect.interaction_share
    assert all(effect.interaction_share == pytest.approx(0, abs=1e-5) for effect in resid_post)
    stack = make()
    one_name = replace(stack, first=stack.first[:1].expand(N_FIRST, -1), last=stack.last[:1].expand(N_LAST, -1))
    with pytest.raises(NotApplicable, match="constant"):
        _ = product_effects(one_name, FIRSTS, LASTS)[0][0].interaction_share


# ------------------------------------------------------------------ linear structure
def values(stack: Stack, condition: str) -> dict[tuple[str, int], float]:
    rows = LinearStructure()(stack, SETTINGS).rows
    found = {(r.site, r.layer): r.value for r in rows if r.statistic == "broken_fraction" and r.condition == condition}
    assert found
    return found  # type: ignore[return-value]


def test_a_stack_that_ignores_one_name_breaks_nothing() -> None:
    """out(A, B) = f(A): swapping surnames changes no midpoint."""
    stack = make(n_entities=24)
    for deaf in (replace(stack, last=torch.zeros_like(stack.last)), replace(stack, first=0 * stack.first)):
        assert list(values(deaf, "real").values()) == pytest.approx([0] * 2 * N_LAYERS, abs=1e-5)
    assert min(values(stack, "real").values()) > 0.05


def test_an_additive_stack_breaks_nothing() -> None:
    additive = make(activation=identity, norm=None, n_entities=24)
    assert list(values(additive, "real").values()) == pytest.approx([0] * 2 * N_LAYERS, abs=1e-5)


def test_outputs_that_are_independent_for_each_name_break_as_much_as_random_names_do() -> None:
    """The positive control: broken is 1 where no trace of linear structure is left."""

    def hashed(x: Tensor) -> Tensor:
        return torch.sin(1e4 * x)

    broken = []
    for seed in range(12):
        stack = make(norm=None, activation=hashed, n_entities=24, seed=seed)
        pairs = draw_pairs(stack, np.random.default_rng(seed), known=True, **PAIRS)
        broken += [np.mean(broken_fractions(stack, pairs)["mlp_out", layer]) for layer in range(N_LAYERS)]
    assert np.mean(broken) == pytest.approx(1, abs=0.05)


def test_a_constant_output_gives_absent_rows_not_numbers() -> None:
    record = LinearStructure()(constant(make(n_entities=24)), SETTINGS)
    absent = {(a.statistic, a.site, a.condition) for a in record.absent}
    assert ("broken_fraction", "mlp_out", "real") in absent and ("interaction_share", "mlp_out", None) in absent
    assert all(np.isfinite(row.value) for row in record.rows)


def scaled(stack: Stack, factor: float) -> Stack:
    """The last MLP's output times a factor, so that nothing else changes."""
    last = stack.layers[-1]
    assert last.mlp.b_out is not None
    mlp = replace(last.mlp, w_out=last.mlp.w_out * factor, b_out=last.mlp.b_out * factor)
    return stack.with_layers((*stack.layers[:-1], replace(last, mlp=mlp)), stack.name)


def test_scaling_an_output_changes_neither_its_cosines_nor_what_breaks() -> None:
    stack = make(n_entities=24)
    pairs = draw_pairs(stack, np.random.default_rng(0), known=True, **PAIRS)
    assert pairs
    big = scaled(stack, 37.0)
    key = ("mlp_out", N_LAYERS - 1)
    np.testing.assert_allclose(broken_fractions(big, pairs)[key], broken_fractions(stack, pairs)[key], rtol=1e-5)
    one, other = stack.run_entities().mlp_out[-1], big.run_entities().mlp_out[-1]
    cosine = torch.nn.functional.cosine_similarity
    torch.testing.assert_close(cosine(one, one.roll(1, 0)), cosine(other, other.roll(1, 0)), rtol=1e-5, atol=1e-5)
    shares = [product_effects(s, FIRSTS, LASTS)[0][-1].interaction_share for s in (stack, big)]
    assert shares[0] == pytest.approx(shares[1], rel=1e-5)


def test_swapped_names_are_unknown_and_random_ones_share_no_token() -> None:
    stack = make(n_entities=30)
    entities = stack.entities
    known = set(zip(entities.first.tolist(), entities.last.tolist(), strict=True))
    for pair in draw_pairs(stack, np.random.default_rng(1), known=True, **PAIRS):
        (a, b), (c, d) = pair.a, pair.b
        assert {pair.a, pair.b} <= known and not {(a, d), (c, b)} & known
        for one, two in pair.draws:
            assert not {one, two} & known
            assert len({a, c, one[0], two[0]}) == len({b, d, one[1], two[1]}) == 4


# ------------------------------------------------------------------ readout
def readout(stack: Stack) -> Readout:
    return stack.readouts["sport"]


def test_scores_are_the_linear_map_and_probabilities_their_softmax() -> None:
    stack = make()
    x, r = stack.run_entities().output, readout(stack)
    scores = torch.stack([(row - r.centre) @ r.weight for row in x])
    torch.testing.assert_close(r.scores(x), scores, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(r.log_probs(x), (scores / 0.7).log_softmax(-1), rtol=1e-5, atol=1e-5)
    assert (r.predict(x) == scores.argmax(-1).numpy()).all()


def test_calibration_finds_the_temperature_of_least_loss() -> None:
    stack = make()
    x, r, cls = stack.run_entities().output, readout(stack), stack.entities.cls["sport"]
    cls = np.where(np.arange(len(cls)) % 3 == 0, cls, r.predict(x))  # right in part, so that a best one exists
    use = stack.entities.selection

    def loss(t: float) -> float:
        logp = replace(r, temperature=t).log_probs(x)[torch.as_tensor(use)]
        n, k = logp.shape
        smooth = torch.full_like(logp, 1 / (n + k))
        smooth[range(n), cls[use]] = (n + 1) / (n + k)
        return float(-(smooth * logp).sum(-1).mean())

    fitted = r.calibrated(x, cls, use)
    grid = np.exp(np.linspace(-4, 5, 400))
    assert loss(fitted.temperature) <= min(map(loss, grid)) + 1e-6
    assert grid[np.argmin([loss(t) for t in grid])] == pytest.approx(fitted.temperature, rel=0.05)
    assert (fitted.predict(x) == r.predict(x)).all()
    unused = np.where(use, cls, (cls + 1) % 3)  # entities outside `use` have no say
    assert r.calibrated(x, unused, use).temperature == fitted.temperature


def test_a_readout_that_is_always_right_still_has_a_finite_temperature() -> None:
    stack = make()
    x, r = stack.run_entities().output, readout(stack)
    right, use = r.predict(x), np.ones(40, dtype=bool)
    fitted = r.calibrated(x, right, use)
    sharper = replace(fitted, temperature=fitted.temperature / 2)
    rows = np.arange(len(right))
    assert np.exp(-6.9) < fitted.temperature < np.exp(6.9)
    assert (sharper.log_probs(x)[rows, right].mean() > fitted.log_probs(x)[rows, right].mean()).item()


def test_calibration_undoes_a_scaling_of_the_scores() -> None:
    stack = make()
    x, r = stack.run_entities().output, readout(stack)
    cls, use = stack.entities.cls["sport"], np.ones(40, dtype=bool)
    cls = np.where(np.arange(len(cls)) % 3 == 0, cls, r.predict(x))
    big = replace(r, weight=r.weight * 5)
    torch.testing.assert_close(
        r.calibrated(x, cls, use).log_probs(x), big.calibrated(x, cls, use).log_probs(x), rtol=1e-3, atol=1e-3
    )


def test_a_readout_centred_on_vectors_scores_their_mean_as_zero() -> None:
    stack = make()
    x, r = stack.run_entities().output, readout(stack)
    centred = r.centred_on(x)
    torch.testing.assert_close(centred.centre, x.mean(0))
    torch.testing.assert_close(centred.scores(x).mean(0), torch.zeros(3), rtol=0, atol=1e-4)
    difference = centred.scores(x) - r.scores(x)
    torch.testing.assert_close(difference, difference[:1].expand_as(difference), rtol=0, atol=1e-4)
    assert centred.weight is r.weight and centred.temperature == r.temperature and r.centre is not centred.centre
