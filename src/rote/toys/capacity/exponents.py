"""How the facts stored grow: log–log slopes along one axis of the grid, everything else held fixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from rote.errors import NotApplicable
from rote.statistics import Estimate, PigeonholeBootstrap, rng

N_BOOTSTRAP = 2000


@dataclass(frozen=True, kw_only=True)
class GridAxis:
    """`column` grows; networks are compared only with those that agree in `fixed`; `square`: with neurons = d_model."""

    name: str
    column: str
    fixed: tuple[str, ...]
    square: bool = False


AXES: tuple[GridAxis, ...] = (
    GridAxis(name="neurons", column="n_neurons", fixed=("d_model", "n_layers", "n_classes", "embedding")),
    GridAxis(name="d_model", column="d_model", fixed=("n_neurons", "n_layers", "n_classes", "embedding")),
    GridAxis(
        name="neurons and d_model together",
        column="n_neurons",
        fixed=("n_layers", "n_classes", "embedding"),
        square=True,
    ),
    GridAxis(name="parameters", column="trained_parameters", fixed=("n_layers", "n_classes", "embedding")),
    GridAxis(name="layers", column="n_layers", fixed=("n_neurons", "d_model", "n_classes", "embedding")),
    GridAxis(name="classes", column="n_classes", fixed=("n_neurons", "d_model", "n_layers", "embedding")),
)


def steps_along(networks: pd.DataFrame, axis: GridAxis) -> list[tuple[str, pd.DataFrame]]:
    """The networks of every two neighbouring sizes of an axis, by name: how the exponent itself changes."""
    sizes = sorted(networks[axis.column].unique())
    return [(f"{axis.name} {a} to {b}", networks[networks[axis.column].isin((a, b))]) for a, b in pairwise(sizes)]


def exponent(networks: pd.DataFrame, axis: GridAxis, *, value: str, seed: int) -> Estimate:
    """The least-squares slope of log value on log axis within groups that agree in everything fixed.

    The interval resamples configurations and, separately, seeds (pigeonhole bootstrap), so it holds both the noise of
    training and how well one power describes the whole grid. A number without a unit; NotApplicable where no group has
    two values.
    """
    chosen = networks[networks[value] > 0]
    if axis.square:
        chosen = chosen[chosen["n_neurons"] == chosen["d_model"]]
    group = chosen.groupby(list(axis.fixed), sort=True).ngroup().to_numpy()
    varied = pd.Series(chosen[axis.column].to_numpy()).groupby(group).transform("nunique").to_numpy() > 1
    if not varied.any():
        raise NotApplicable(f"no two configurations differ in {axis.name} alone")
    chosen, group = chosen[varied], np.unique(group[varied], return_inverse=True)[1]
    x, y = (np.log(chosen[name].to_numpy(dtype=float)) for name in (axis.column, value))
    bootstrap = PigeonholeBootstrap(
        _labels(chosen, [*axis.fixed, axis.column, "n_neurons", "d_model"]),
        chosen["seed"].to_numpy(),
        n_resamples=N_BOOTSTRAP,
        generator=rng(seed, "toy_exponent", f"{axis.name}/{value}"),
    )
    return bootstrap.interval(lambda weights: slope(x, y, group, weights))


def slope(
    x: Float[np.ndarray, " obs"],
    y: Float[np.ndarray, " obs"],
    group: Int[np.ndarray, " obs"],
    weights: Float[np.ndarray, "resample obs"],
) -> Float[np.ndarray, " resample"]:
    """Weighted slope of y on x with an intercept for each group; NaN where x does not vary within any."""
    member = np.eye(int(group.max()) + 1)[group]
    total = np.maximum(weights @ member, 1e-300)

    # an intercept for each group is the same as taking each group's means away
    def within(values: Float[np.ndarray, " obs"]) -> Float[np.ndarray, "resample obs"]:
        return np.asarray(values - (((weights * values) @ member) / total)[:, group])

    dx, dy = within(x), within(y)
    spread = (weights * dx**2).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 1e-9, (weights * dx * dy).sum(1) / spread, np.nan)


def _labels(frame: pd.DataFrame, columns: Sequence[str]) -> Int[np.ndarray, " obs"]:
    return np.asarray(frame.groupby(list(dict.fromkeys(columns)), sort=True).ngroup().to_numpy())
