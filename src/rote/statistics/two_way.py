"""Main effects of first and last names, and what is left: the interaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import linalg, sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import cg

from rote.errors import MeasurementError, NotApplicable

_ROUNDING = 16  # units in the last place of the largest cell: what varies less than this is constant
_DENSE_CELLS = 4_000_000  # up to 2,000 × 2,000 names the counts are an ordinary matrix (32 MB)


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoWay:
    """cell[f, l] = grand + first[f] + last[l] + interaction[f, l] on a complete product; effects sum to 0."""

    grand: Float[np.ndarray, "..."]
    first: Float[np.ndarray, "first ..."]
    last: Float[np.ndarray, "last ..."]
    interaction: Float[np.ndarray, "first last ..."]
    _noise: float

    @property
    def additive(self) -> Float[np.ndarray, "first last ..."]:
        """The table without its interaction."""
        return np.asarray(self.grand + self.first[:, None] + self.last[None, :])

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
        """√(σ²_interaction / σ²_total), from 0 (an additive table) to 1. NotApplicable where the table is constant."""
        first, last, interaction = self.variances
        return float(np.sqrt(interaction / _total(first + last + interaction, self._noise)))

    @property
    def main_effects_r2(self) -> float:
        """(σ²_first + σ²_last) / σ²_total = 1 − interaction_share², a fraction. NotApplicable for a constant table."""
        first, last, interaction = self.variances
        return (first + last) / _total(first + last + interaction, self._noise)


def _rounding(values: np.ndarray) -> float:
    """Relative size of rounding in values of this type: float32 output is constant to float32's precision."""
    kind = np.asarray(values).dtype
    return float(_ROUNDING * np.finfo(kind if kind.kind == "f" else float).eps)


def _total(variance: float, noise: float) -> float:
    # a share of rounding would be any number between 0 and 1
    if variance <= noise**2:
        raise NotApplicable("the output is constant over the product, so no share of its variance exists")
    return variance


def two_way_main_effects(table: Float[np.ndarray, "first last ..."]) -> TwoWay:
    """Split a complete product into grand mean, main effects and interaction (means over the other factor).

    Exact least squares where every cell is there once. Trailing axes (such as d_model) are split one by one. Raises
    ValueError for an empty table and for values that are not finite.
    """
    rounding = _rounding(table)
    table = np.asarray(table, dtype=float)
    if table.ndim < 2 or 0 in table.shape[:2]:
        raise ValueError(
            f"the table has the shape {table.shape}: expected [first, last, ...], with at least one of each"
        )
    if not np.isfinite(table).all():
        raise ValueError("the table holds values that are not finite: use two_way_least_squares on the cells there are")
    grand = table.mean(axis=(0, 1))
    first, last = table.mean(axis=1) - grand, table.mean(axis=0) - grand
    interaction = table - grand - first[:, None] - last[None, :]
    return TwoWay(grand=grand, first=first, last=last, interaction=interaction, _noise=rounding * _norm(table, 2))


def _norm(values: np.ndarray, axes: int) -> float:
    """The largest norm of a cell over the trailing axes."""
    return float(np.sqrt(np.square(values).sum(axis=tuple(range(axes, values.ndim))).max()))


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoWayFit:
    """values[o] = grand + first[first_level[o]] + last[last_level[o]] + residual[o] on any set of cells.

    `first`, `last` are the effects of `first_levels`, `last_levels`, zero on average over the observations.
    Where the cells fall into `n_components` > 1 unconnected parts (no chain of shared names between them), a
    shift between the first and the last names of one part is undetermined, and one name of the part has effect
    0 before centring; fitted values and residuals do not depend on it.
    """

    grand: Float[np.ndarray, "..."]
    first: Float[np.ndarray, "first ..."]
    last: Float[np.ndarray, "last ..."]
    residual: Float[np.ndarray, "obs ..."]
    first_levels: Shaped[np.ndarray, " first"]
    last_levels: Shaped[np.ndarray, " last"]
    n_components: int
    _total_variance: float
    _noise: float

    @property
    def main_effects_r2(self) -> float:
        """1 − SS_residual / SS_total about the grand mean, a fraction. NotApplicable where the values are constant."""
        residual = float(np.square(self.residual).sum() / len(self.residual))
        return 1 - residual / _total(self._total_variance, self._noise)

    @property
    def interaction_share(self) -> float:
        """√(SS_residual / SS_total); on an incomplete product the part that main effects cannot fit.

        NotApplicable where the values are constant.
        """
        residual = float(np.square(self.residual).sum() / len(self.residual))
        return float(np.sqrt(residual / _total(self._total_variance, self._noise)))


def two_way_least_squares(
    values: Float[np.ndarray, "obs ..."], first: Shaped[np.ndarray, " obs"], last: Shaped[np.ndarray, " obs"]
) -> TwoWayFit:
    """Least squares of two crossed, unbalanced fixed effects, exactly.

    The factor with more levels is eliminated: with N the counts of cells [first, last], D the counts of levels
    and t the sums of values by level, (D_last − Nᵀ D_first⁻¹ N) β_last = t_last − Nᵀ D_first⁻¹ t_first, and then
    β_first = D_first⁻¹ (t_first − N β_last). The system is singular by one dimension for each connected part of
    the graph of names (an edge for each observation); fixing one level of each part at 0 leaves a positive
    definite one. It is solved by Cholesky, so residuals are orthogonal to every name's indicator to rounding;
    by conjugate gradients to 1e-13 where N is too large to hold. Raises ValueError for no values, lengths that differ
    and values that are not finite; MeasurementError where the gradients do not converge.
    """
    rounding = _rounding(values)
    values = np.asarray(values, dtype=float)
    first_levels, row = np.unique(np.asarray(first), return_inverse=True)
    last_levels, column = np.unique(np.asarray(last), return_inverse=True)
    if not len(values) or row.shape != (len(values),) or column.shape != (len(values),):
        raise ValueError(
            f"{len(values)} values, {len(row)} first and {len(column)} last: expected equal numbers, not 0"
        )
    if not np.isfinite(values).all():
        raise ValueError("some values are not finite: leave them out first")
    grand = values.mean(axis=0)
    targets = (values - grand).reshape(len(values), -1)
    if len(first_levels) >= len(last_levels):
        n_components, fitted_first, fitted_last = _solve(targets, row, column)
    else:
        n_components, fitted_last, fitted_first = _solve(targets, column, row)
    residual = targets - fitted_first[row] - fitted_last[column]
    # targets and residuals average 0 over the observations, so the factors' averages cancel: one shift centres both
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
        _noise=rounding * _norm(values, 1),
    )


def _solve(
    targets: Float[np.ndarray, "obs target"], large: Int[np.ndarray, " obs"], small: Int[np.ndarray, " obs"]
) -> tuple[int, Float[np.ndarray, "large target"], Float[np.ndarray, "small target"]]:
    """Number of connected parts, effects of the factor that is eliminated, effects of the other."""
    by_large, by_small = _indicator(large), _indicator(small)
    counts = (by_large @ by_small.T).tocsr()
    # parts of the small factor alone: every level of the large one has an observation, so it hangs on one of these
    parts, part = csgraph.connected_components(counts.T @ counts, directed=False)
    free = np.setdiff1d(np.arange(counts.shape[1]), np.unique(part, return_index=True)[1])
    if counts.shape[0] * counts.shape[1] <= _DENSE_CELLS:
        counts = counts.toarray()
    size_large, size_small = np.bincount(large).astype(float), np.bincount(small).astype(float)
    sum_large, sum_small = by_large @ targets, by_small @ targets
    shares = sparse.diags(1 / size_large) @ counts
    right = sum_small - shares.T @ sum_large
    left = sparse.diags(size_small) - counts.T @ shares  # as large as the small factor only
    effects = np.zeros((counts.shape[1], targets.shape[1]))
    if len(free):
        effects[free] = _positive_definite_solve(left[free][:, free], right[free])
    return int(parts), (sum_large - counts @ effects) / size_large[:, None], effects


def _indicator(level: Int[np.ndarray, " obs"]) -> sparse.csr_matrix:
    """[level, obs]: 1 where the observation has the level."""
    return sparse.csr_matrix((np.ones(len(level)), (level, np.arange(len(level)))))


def _positive_definite_solve(left: Any, right: np.ndarray) -> np.ndarray:
    if not sparse.issparse(left):
        return np.asarray(linalg.solve(np.asarray(left), right, assume_a="pos"))
    # a factorisation fills in on a graph of names; conjugate gradients need its non-zeros only
    jacobi = sparse.diags(1 / left.diagonal())
    columns = []
    for column in right.T:
        solved, failed = cg(left, column, rtol=1e-13, atol=0.0, maxiter=20 * len(right), M=jacobi)
        if failed:
            raise MeasurementError(f"fixed effects of {len(right)} names did not converge in {failed} steps")
        columns.append(solved)
    return np.stack(columns, axis=1)


def adjusted_by_fixed_effects(
    values: Float[np.ndarray, "obs ..."], first: Shaped[np.ndarray, " obs"], last: Shaped[np.ndarray, " obs"]
) -> Float[np.ndarray, "obs ..."]:
    """Values less their first-name and last-name fixed effects: the residuals of `two_way_least_squares`.

    An observation whose first or last name occurs nowhere else is fitted exactly, so its residual is 0. Raises what
    that raises: ValueError, MeasurementError.
    """
    return two_way_least_squares(values, first, last).residual
