"""Main effects of first and last names, and what is left: the interaction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import splu

from rote.errors import NotApplicable

_ROUNDING = 64 * np.finfo(float).eps  # relative to the largest value: below it, nothing varies


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoWay:
    """table[f, l] = grand + first[f] + last[l] + interaction[f, l], on a complete product; effects sum to zero."""

    grand: Float[np.ndarray, "..."]
    first: Float[np.ndarray, "first ..."]
    last: Float[np.ndarray, "last ..."]
    interaction: Float[np.ndarray, "first last ..."]
    _scale: float

    @property
    def additive(self) -> Float[np.ndarray, "first last ..."]:
        """The table without its interaction."""
        return self.grand + self.first[:, None] + self.last[None, :]

    @property
    def variances(self) -> tuple[float, float, float]:
        """(first, last, interaction): mean squares over the product, summed over the trailing axes."""
        cells = self.interaction.shape[0] * self.interaction.shape[1]
        return (
            float(np.square(self.first).sum() / len(self.first)),
            float(np.square(self.last).sum() / len(self.last)),
            float(np.square(self.interaction).sum() / cells),
        )

    @property
    def interaction_share(self) -> float:
        """√(σ²_interaction / σ²_total): 0 where the table is additive. NotApplicable where it is constant."""
        first, last, interaction = self.variances
        return float(np.sqrt(interaction / _total(first + last + interaction, self._scale)))

    @property
    def main_effects_r2(self) -> float:
        """(σ²_first + σ²_last) / σ²_total = 1 − interaction_share². NotApplicable where the table is constant."""
        first, last, interaction = self.variances
        return (first + last) / _total(first + last + interaction, self._scale)


def _total(variance: float, scale: float) -> float:
    if variance <= (_ROUNDING * scale) ** 2:
        raise NotApplicable("the output is constant over the product, so no share of its variance exists")
    return variance


def two_way_main_effects(table: Float[np.ndarray, "first last ..."]) -> TwoWay:
    """Split a complete product into grand mean, main effects and interaction (means over the other factor).

    Exact least squares where every cell is there once. Trailing axes (such as d_model) are split one by one.
    """
    table = np.asarray(table, dtype=float)
    if table.ndim < 2 or 0 in table.shape[:2]:
        raise ValueError(
            f"the table has the shape {table.shape}: expected [first, last, ...], with at least one of each"
        )
    if not np.isfinite(table).all():
        raise ValueError(
            "the table holds values that are not finite: use two_way_least_squares on the cells there are"
        )
    grand = table.mean(axis=(0, 1))
    first, last = table.mean(axis=1) - grand, table.mean(axis=0) - grand
    interaction = table - grand - first[:, None] - last[None, :]
    return TwoWay(grand=grand, first=first, last=last, interaction=interaction, _scale=_norm(table, 2))


def _norm(values: np.ndarray, axes: int) -> float:
    """The largest norm of a cell over the trailing axes."""
    return float(np.sqrt(np.square(values).sum(axis=tuple(range(axes, values.ndim))).max()))


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoWayFit:
    """values[o] = grand + first[first_level[o]] + last[last_level[o]] + residual[o] on any set of cells.

    `first`, `last` are the effects of `first_levels`, `last_levels`, zero on average over the observations. Where
    the cells fall into unconnected parts (no chain of shared names between them), effects of different parts cannot
    be told apart by a shift; predictions and residuals can. `n_components` counts the parts.
    """

    grand: Float[np.ndarray, "..."]
    first: Float[np.ndarray, "first ..."]
    last: Float[np.ndarray, "last ..."]
    residual: Float[np.ndarray, "obs ..."]
    first_levels: Shaped[np.ndarray, " first"]
    last_levels: Shaped[np.ndarray, " last"]
    n_components: int
    _total_variance: float
    _scale: float

    @property
    def main_effects_r2(self) -> float:
        """1 − SS_residual / SS_total about the grand mean. NotApplicable where the values are constant."""
        residual = float(np.square(self.residual).sum() / len(self.residual))
        return 1 - residual / _total(self._total_variance, self._scale)

    @property
    def interaction_share(self) -> float:
        """√(SS_residual / SS_total); on an incomplete product the part that main effects cannot fit."""
        residual = float(np.square(self.residual).sum() / len(self.residual))
        return float(np.sqrt(residual / _total(self._total_variance, self._scale)))


def two_way_least_squares(
    values: Float[np.ndarray, "obs ..."], first: Shaped[np.ndarray, " obs"], last: Shaped[np.ndarray, " obs"]
) -> TwoWayFit:
    """Least squares of two crossed, unbalanced fixed effects, exactly.

    The normal equations of the one-hot design are singular by one dimension for each connected part of the graph
    (first names, last names; an edge for each observation); one last name of each part is fixed at zero, which
    leaves a positive definite sparse system, and this is solved by a sparse LU factorisation. No iteration, so the
    residuals are orthogonal to every name's indicator to rounding.
    """
    values = np.asarray(values, dtype=float)
    first_levels, row = np.unique(np.asarray(first), return_inverse=True)
    last_levels, column = np.unique(np.asarray(last), return_inverse=True)
    if not len(values) or row.shape != (len(values),) or column.shape != (len(values),):
        raise ValueError(
            f"{len(values)} values, {len(row)} first and {len(column)} last: expected equal numbers, at least 1"
        )
    if not np.isfinite(values).all():
        raise ValueError("some values are not finite: leave them out first")
    grand = values.mean(axis=0)
    targets = (values - grand).reshape(len(values), -1)
    n_components, effects = _solve(targets, row, column, len(first_levels), len(last_levels))
    fitted_first, fitted_last = effects[: len(first_levels)], effects[len(first_levels) :]
    residual = targets - fitted_first[row] - fitted_last[column]
    shift = fitted_last[column].mean(axis=0)
    shape = values.shape[1:]
    return TwoWayFit(
        grand=grand,
        first=(fitted_first + shift).reshape(-1, *shape),
        last=(fitted_last - shift).reshape(-1, *shape),
        residual=residual.reshape(values.shape),
        first_levels=first_levels,
        last_levels=last_levels,
        n_components=n_components,
        _total_variance=float(np.square(targets).sum() / len(targets)),
        _scale=_norm(values, 1),
    )


def _solve(
    targets: np.ndarray, row: np.ndarray, column: np.ndarray, n_first: int, n_last: int
) -> tuple[int, Float[np.ndarray, "level target"]]:
    n_levels = n_first + n_last
    ones, observation = np.ones(len(row)), np.arange(len(row))
    design = sparse.csr_matrix(
        (np.r_[ones, ones], (np.r_[observation, observation], np.r_[row, n_first + column])),
        (len(row), n_levels),
    )
    normal = (design.T @ design).tocsc()
    n_components, component = csgraph.connected_components(normal, directed=False)
    # np.unique gives the first level of each part in reversed order, hence a last name
    _, fixed = np.unique(component[::-1], return_index=True)
    free = np.setdiff1d(np.arange(n_levels), n_levels - 1 - fixed)
    effects = np.zeros((n_levels, targets.shape[1]))
    factor = splu(normal[free][:, free].tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    effects[free] = factor.solve(np.asarray(design.T @ targets)[free])
    return int(n_components), effects


def adjusted_by_fixed_effects(
    values: Float[np.ndarray, "obs ..."], first: Shaped[np.ndarray, " obs"], last: Shaped[np.ndarray, " obs"]
) -> Float[np.ndarray, "obs ..."]:
    """Values less their first-name and last-name fixed effects: the residuals of `two_way_least_squares`.

    An observation whose first or last name occurs nowhere else is fitted exactly, so its residual is 0.
    """
    return two_way_least_squares(values, first, last).residual
