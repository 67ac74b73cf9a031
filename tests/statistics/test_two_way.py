"""Main effects and fixed effects are exact least squares, on complete and on broken products."""

from __future__ import annotations

import numpy as np
import pytest

from rote.errors import NotApplicable
from rote.statistics import adjusted_by_fixed_effects, rng, two_way_least_squares, two_way_main_effects
from rote.statistics import two_way as module


def test_the_parts_add_up_and_are_orthogonal() -> None:
    table = rng(0, "table").normal(size=(7, 9, 4))
    parts = two_way_main_effects(table)
    assert parts.additive + parts.interaction == pytest.approx(table)
    assert parts.first.sum(axis=0) == pytest.approx(np.zeros(4))
    assert parts.interaction.sum(axis=0) == pytest.approx(np.zeros((9, 4)))
    assert sum(parts.variances) == pytest.approx(table.reshape(-1, 4).var(axis=0).sum())
    assert parts.main_effects_r2 == pytest.approx(1 - parts.interaction_share**2)


def test_an_additive_table_has_no_interaction_and_a_pure_interaction_nothing_else() -> None:
    a, b = rng(0, "a").normal(size=12), rng(0, "b").normal(size=15)
    assert two_way_main_effects(a[:, None] + b).interaction_share == pytest.approx(0, abs=1e-12)
    assert two_way_main_effects(np.tile(b, (12, 1))).main_effects_r2 == pytest.approx(1)
    sign = np.where(np.add.outer(np.arange(12), np.arange(14)) % 2, 1.0, -1.0)
    assert two_way_main_effects(sign).interaction_share == pytest.approx(1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_output_has_no_share_of_variance(dtype: type) -> None:
    table = np.full((5, 6, 3), 0.1, dtype=dtype)
    table[2, 3] = np.nextafter(table[2, 3], dtype(1))  # rounding is no variance
    with pytest.raises(NotApplicable, match="constant"):
        _ = two_way_main_effects(table).interaction_share
    cells = np.arange(5), np.arange(5)
    with pytest.raises(NotApplicable, match="constant"):
        _ = two_way_least_squares(table[cells], *cells).main_effects_r2


def test_least_squares_on_a_complete_product_is_the_closed_form() -> None:
    table = rng(0, "t").normal(size=(6, 8))
    first, last = (index.ravel() for index in np.indices(table.shape))
    fit, parts = two_way_least_squares(table.ravel(), first, last), two_way_main_effects(table)
    assert fit.residual.reshape(6, 8) == pytest.approx(parts.interaction)
    assert fit.first == pytest.approx(parts.first) and fit.last == pytest.approx(parts.last)
    assert fit.interaction_share == pytest.approx(parts.interaction_share)
    assert fit.n_components == 1


@pytest.mark.parametrize("cells", [0, 10**9], ids=["conjugate gradients", "Cholesky"])
@pytest.mark.parametrize(("n", "n_first", "n_last"), [(60, 10, 25), (60, 30, 9), (25, 30, 30)])
def test_adjusted_values_equal_dense_least_squares(
    n: int, n_first: int, n_last: int, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DENSE_CELLS", cells)
    generator = rng(n, "cells", n_first)
    first, last = generator.integers(0, n_first, n), generator.integers(0, n_last, n)  # (25, 30, 30): many parts
    values = generator.normal(size=(n, 2))
    design = np.concatenate([np.eye(n_first)[first], np.eye(n_last)[last]], axis=1)
    expected = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    assert adjusted_by_fixed_effects(values, first, last) == pytest.approx(expected, abs=1e-9)
    fit = two_way_least_squares(values[:, 0], first, last)
    place = np.searchsorted(fit.first_levels, first), np.searchsorted(fit.last_levels, last)
    assert fit.grand + fit.first[place[0]] + fit.last[place[1]] + fit.residual == pytest.approx(values[:, 0])
    assert fit.last[place[1]].mean() == pytest.approx(0, abs=1e-12)


def test_adjustment_removes_name_effects_and_leaves_what_is_joint() -> None:
    generator = rng(0, "joint")
    first, last = generator.integers(0, 20, 400), generator.integers(0, 20, 400)
    names = generator.normal(size=20)[first] + generator.normal(size=20)[last]
    joint = generator.normal(size=400)
    assert adjusted_by_fixed_effects(names, first, last) == pytest.approx(np.zeros(400), abs=1e-10)
    with_names = adjusted_by_fixed_effects(joint + 5 * names, first, last)
    assert with_names == pytest.approx(adjusted_by_fixed_effects(joint, first, last), abs=1e-10)


def test_names_may_be_text() -> None:
    values = np.array([1.0, 2.0, 4.0])
    fit = two_way_least_squares(values, np.array(["a", "a", "b"]), np.array(["x", "y", "y"]))
    assert fit.first_levels.tolist() == ["a", "b"] and fit.residual == pytest.approx(np.zeros(3), abs=1e-12)


def test_broken_input_is_refused() -> None:
    with pytest.raises(ValueError, match="equal numbers"):
        two_way_least_squares(np.ones(3), np.arange(2), np.arange(3))
    with pytest.raises(ValueError, match="not finite"):
        two_way_main_effects(np.full((2, 2), np.nan))
