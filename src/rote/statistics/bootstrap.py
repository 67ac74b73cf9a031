"""The pigeonhole bootstrap: intervals for entities that share first or last names.

Two athletes with one surname are not two independent observations. So the levels of each factor (first parts of
names, last parts) are resampled with replacement, separately, and every entity gets the product of the
counts of its levels as its weight. Source: Owen (2007), "The pigeonhole bootstrap", Annals of Applied
Statistics 1(2).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from rote.errors import NotApplicable
from rote.statistics.estimates import Estimate
from rote.statistics.weighted import (
    balanced_accuracy,
    ratio,
    weighted_auc,
    weighted_cohens_d,
    weighted_median,
    weighted_medians,
)

_LEVEL = (2.5, 97.5)
_KEPT_BYTES = 128 * 2**20  # weights up to this size are drawn once and kept
_BLOCK_BYTES = 16 * 2**20  # larger ones are drawn again for every statistic, this much at a time


class _Factor:
    """Counts of one factor's levels per resample; the same whenever and in whatever blocks they are drawn."""

    def __init__(self, labels: Shaped[np.ndarray, " entity"], seed: int) -> None:
        self.levels = np.unique(labels)
        self.seed = seed

    def index(self, labels: Shaped[np.ndarray, "*any"]) -> Int[np.ndarray, "*any"]:
        """Positions of labels among the levels; raises ValueError for a label that is no level."""
        labels = np.asarray(labels)
        # a label beyond the last level is searched to len(levels); brought inside, it differs from what stands there
        index = np.minimum(np.searchsorted(self.levels, labels), len(self.levels) - 1)
        unknown = np.unique(labels[self.levels[index] != labels])
        if len(unknown):
            raise ValueError(f"{len(unknown)} labels are no levels of the factor, such as {unknown[0]!r}")
        return index

    def blocks(self, n_resamples: int, size: int) -> Iterator[Float[np.ndarray, "resample level"]]:
        generator = np.random.Generator(np.random.PCG64(self.seed))
        n = len(self.levels)
        for start in range(0, n_resamples, size):
            rows = min(size, n_resamples - start)
            # each resample draws from a range of its own, so that one bincount counts the levels of all of them; rows
            # come one after the other from one stream, so the size of a block changes nothing
            drawn = generator.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
            yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(float)


class Bootstrap(ABC):
    """Weights of observations in every resample, and intervals of weighted statistics from them.

    Every method takes `where`: the observations that count (all where it is left out). Raises NotApplicable
    where no observation counts or the statistic is undefined on them, ValueError for values that are not
    finite. Intervals are 95 % percentile intervals; resamples in which the statistic is undefined are
    dropped and counted.
    """

    n_resamples: int
    n_observations: int

    def __init__(self, n_resamples: int, n_observations: int) -> None:
        self.n_resamples, self.n_observations = n_resamples, n_observations
        self._kept: np.ndarray | None = None

    @abstractmethod
    def _drawn(self, size: int) -> Iterator[Float[np.ndarray, "resample obs"]]:
        """The weights, `size` resamples at a time."""

    def _blocks(self) -> Iterator[Float[np.ndarray, "resample obs"]]:
        bytes_per_resample = 8 * max(self.n_observations, 1)
        size = max(_BLOCK_BYTES // bytes_per_resample, 1)
        if self.n_resamples * bytes_per_resample > _KEPT_BYTES:
            yield from self._drawn(size)
            return
        for start in range(0, self.n_resamples, size):
            yield self.weights[start : start + size]

    @property
    def weights(self) -> Float[np.ndarray, "resample obs"]:
        """Every weight (8 bytes each). Up to 128 MiB they are kept; the statistics below never hold more."""
        if self._kept is not None:
            return self._kept
        size = max(_BLOCK_BYTES // (8 * max(self.n_observations, 1)), 1)
        weights = np.concatenate(list(self._drawn(size)))
        if weights.nbytes <= _KEPT_BYTES:
            weights.setflags(write=False)
            self._kept = weights
        return weights

    def interval(
        self,
        statistic: Callable[[Float[np.ndarray, "resample obs"]], Float[np.ndarray, " resample"]],
        *,
        where: Bool[np.ndarray, " obs"] | None = None,
    ) -> Estimate:
        """Value and interval of any statistic of weights: it gets many resamples at once.

        The weights hold the observations `where` only. The value is the statistic under equal weights. NaN
        from it means "undefined in this resample".
        """
        mask = self._mask(where)
        value = float(statistic(np.ones((1, int(mask.sum()))))[0])
        columns = slice(None) if mask.all() else mask
        replicates = [self._defined(statistic, block[:, columns]) for block in self._blocks()]
        return _estimate(value, np.concatenate(replicates), int(mask.sum()))

    @staticmethod
    def _defined(
        statistic: Callable[[np.ndarray], np.ndarray], block: Float[np.ndarray, "resample obs"]
    ) -> Float[np.ndarray, " resample"]:
        result = np.full(len(block), np.nan)
        drawn = block.any(axis=1)
        if drawn.any():
            result[drawn] = statistic(block[drawn])
        return result

    def weighted(
        self,
        statistic: Callable[[Float[np.ndarray, " obs"]], float],
        *,
        where: Bool[np.ndarray, " obs"] | None = None,
    ) -> Estimate:
        """As `interval`, for a statistic that takes the weights of one resample and gives one number."""
        return self.interval(lambda block: np.array([float(statistic(row)) for row in block]), where=where)

    def mean(self, values: Shaped[np.ndarray, " obs"], *, where: Bool[np.ndarray, " obs"] | None = None) -> Estimate:
        """The mean in the values' unit; of a Boolean vector, a fraction. The interval of a constant is the constant."""
        return self.means(np.asarray(values)[:, None], where=where)[0]

    def means(
        self, values: Shaped[np.ndarray, "obs column"], *, where: Bool[np.ndarray, " obs"] | None = None
    ) -> tuple[Estimate, ...]:
        """The mean of each column, all in one matrix product."""
        mask = self._mask(where)
        used = self._values(values, mask)
        origin = used[0]  # constants stay exact, and large offsets lose no digits
        # the column of ones sums the weights; rows outside `where` stay 0, so no block of weights is cut and copied
        shifted = np.zeros((self.n_observations, used.shape[1] + 1))
        shifted[mask, :-1], shifted[mask, -1] = used - origin, 1.0
        sums = np.concatenate([block @ shifted for block in self._blocks()])
        replicates = origin + ratio(sums[:, :-1], sums[:, -1:])
        value = np.where((used == origin).all(axis=0), origin, used.mean(axis=0))
        return tuple(_estimate(float(v), column, len(used)) for v, column in zip(value, replicates.T, strict=True))

    def median(self, values: Shaped[np.ndarray, " obs"], *, where: Bool[np.ndarray, " obs"] | None = None) -> Estimate:
        """The weighted median."""
        mask = self._mask(where)
        used = self._values(np.asarray(values)[:, None], mask)[:, 0]
        return self.interval(lambda weights: weighted_median(used, weights), where=mask)

    def medians(
        self, values: Shaped[np.ndarray, "obs column"], *, where: Bool[np.ndarray, " obs"] | None = None
    ) -> tuple[Estimate, ...]:
        """The weighted median of each column, several times as fast as one after the other."""
        mask = self._mask(where)
        used = self._values(values, mask)
        replicates = np.concatenate([weighted_medians(used, block[:, mask]) for block in self._blocks()])
        middle = np.median(used, axis=0)
        return tuple(_estimate(float(v), column, len(used)) for v, column in zip(middle, replicates.T, strict=True))

    def balanced_accuracy(
        self,
        correct: Bool[np.ndarray, " obs"],
        cls: Shaped[np.ndarray, " obs"],
        *,
        where: Bool[np.ndarray, " obs"] | None = None,
    ) -> Estimate:
        """Mean over classes of the accuracy within the class (a fraction); resamples that lack a class are dropped."""
        mask = self._mask(where)
        used, classes = self._values(np.asarray(correct)[:, None], mask)[:, 0], np.asarray(cls)[mask]
        return self.interval(lambda weights: balanced_accuracy(used, classes, weights), where=mask)

    def auc(
        self,
        scores: Float[np.ndarray, " obs"],
        labels: Bool[np.ndarray, " obs"],
        *,
        where: Bool[np.ndarray, " obs"] | None = None,
    ) -> Estimate:
        """Area under the ROC curve of scores for labels, from 0 to 1, ties counting ½."""
        mask = self._mask(where)
        used, truth = (
            self._values(np.asarray(scores)[:, None], mask)[:, 0],
            np.asarray(labels, dtype=bool)[mask],
        )
        return self.interval(lambda weights: weighted_auc(used, truth, weights), where=mask)

    def cohens_d(
        self,
        values: Float[np.ndarray, " obs"],
        labels: Bool[np.ndarray, " obs"],
        *,
        where: Bool[np.ndarray, " obs"] | None = None,
    ) -> Estimate:
        """Effect size of labels on values: (mean of True − mean of False) in pooled SDs."""
        mask = self._mask(where)
        used, truth = (
            self._values(np.asarray(values)[:, None], mask)[:, 0],
            np.asarray(labels, dtype=bool)[mask],
        )
        return self.interval(lambda weights: weighted_cohens_d(used, truth, weights), where=mask)

    def _mask(self, where: Bool[np.ndarray, " obs"] | None) -> Bool[np.ndarray, " obs"]:
        if where is None:
            mask = np.ones(self.n_observations, dtype=bool)
        else:
            mask = np.asarray(where)
            if mask.dtype != bool or mask.shape != (self.n_observations,):
                raise ValueError(f"where is {mask.dtype}{mask.shape}: expected bool({self.n_observations},)")
        if not mask.any():
            raise NotApplicable("there is no observation to average over")
        return mask

    def _values(self, values: np.ndarray, mask: np.ndarray) -> Float[np.ndarray, "used column"]:
        values = np.asarray(values)
        if values.ndim != 2 or len(values) != self.n_observations:
            raise ValueError(f"values have the shape {values.shape}: expected {self.n_observations} observations")
        used = np.asarray(values[mask], dtype=float)
        if not np.isfinite(used).all():
            count = int((~np.isfinite(used)).any(axis=1).sum())
            raise ValueError(f"{count} of {len(used)} values are not finite: leave them out with `where`")
        return used


class PigeonholeBootstrap(Bootstrap):
    """Resamples first and last parts of names separately; the weight of an entity is count(first) · count(last).

    `first`, `last`: labels (ids or strings) of each entity. `has_first`: False for a name of one token, whose first
    part is missing: it is no level, and the weight is count(last). Without `last` there is one factor, whose levels
    are `first`. Two seeds are drawn from `generator`; the same generator state gives the same resamples. The variance
    of single entities counts about three times (Owen 2007), so intervals are wide where names hardly matter; with few
    levels (15) percentile intervals are slightly narrow, as everywhere. Raises ValueError for labels that are not one
    of each per entity, or none at all.
    """

    def __init__(
        self,
        first: Shaped[np.ndarray, " entity"],
        last: Shaped[np.ndarray, " entity"] | None = None,
        *,
        has_first: Bool[np.ndarray, " entity"] | None = None,
        n_resamples: int = 2000,
        generator: np.random.Generator,
    ) -> None:
        first = np.asarray(first)
        second = np.empty((len(first), 0)) if last is None else np.asarray(last)[:, None]
        there = np.ones(len(first), dtype=bool) if has_first is None else np.asarray(has_first)
        if first.ndim != 1 or not len(first) or len(second) != len(first) or there.shape != first.shape:
            shapes = [None if x is None else np.shape(x) for x in (first, last, has_first)]
            raise ValueError(f"first, last and has_first have the shapes {shapes}: expected [entity] for all")
        super().__init__(n_resamples, len(first))
        seeds = generator.integers(0, 2**63, size=2)  # one per factor: weights can be drawn again instead of kept
        self._factors = _Factor(first[there], int(seeds[0])), _Factor(second.ravel(), int(seeds[1]))
        self._labels = first[:, None], second, there[:, None]

    def _drawn(self, size: int) -> Iterator[Float[np.ndarray, "resample entity"]]:
        yield from self.observations(*self._labels)._drawn(size)

    def observations(
        self,
        first: Shaped[np.ndarray, "obs _"],
        last: Shaped[np.ndarray, "obs _"],
        has_first: Bool[np.ndarray, "obs _"] | None = None,
    ) -> ObservationBootstrap:
        """The same resamples for other observations, each made of any number of first and last parts.

        A cell of the product has one of each; a pair of names (A, B) has `first = [[A₁, B₁], …]`,
        `last = [[A₂, B₂], …]`. The weight is the product of the counts of the distinct levels of the
        observation, so a pair that shares a surname counts it once. Raises ValueError for a label that is no level
        given before, and for lengths that differ.
        """
        first, last = np.asarray(first), np.asarray(last)
        if first.ndim != 2 or last.ndim != 2 or len(first) != len(last):
            raise ValueError(
                f"first and last have the shapes {first.shape} and {last.shape}: expected [obs, any] twice"
            )
        sides = [
            _Side.of(factor, labels, there)
            for factor, labels, there in zip(self._factors, (first, last), (has_first, None), strict=True)
        ]
        return ObservationBootstrap([side for side in sides if side is not None], len(first), self.n_resamples)


@dataclass(frozen=True, eq=False)
class _Side:
    """One factor's part in observations: which level stands in each place, and whether it counts there."""

    factor: _Factor
    index: Int[np.ndarray, "obs part"]
    counts: Bool[np.ndarray, "obs part"]

    @classmethod
    def of(
        cls, factor: _Factor, labels: Shaped[np.ndarray, "obs part"], there: Bool[np.ndarray, "obs part"] | None
    ) -> _Side | None:
        """None where the factor stands in no observation."""
        if there is None:
            there = np.ones(labels.shape, dtype=bool)
        if not there.any():
            return None
        index = factor.index(np.where(there, labels, factor.levels[0]))
        return cls(factor, index, _first_of_each(np.where(there, index, -1)) & there)


class ObservationBootstrap(Bootstrap):
    """Weights of pairs, products or anything made of names: `PigeonholeBootstrap.observations` gives it."""

    def __init__(self, sides: Sequence[_Side], n_observations: int, n_resamples: int) -> None:
        super().__init__(n_resamples, n_observations)
        self._sides = sides

    def _drawn(self, size: int) -> Iterator[Float[np.ndarray, "resample obs"]]:
        blocks = (side.factor.blocks(self.n_resamples, size) for side in self._sides)
        for counts in zip(*blocks, strict=True):
            weights = np.ones((len(counts[0]), self.n_observations))
            for count, side in zip(counts, self._sides, strict=True):
                for column, used in zip(side.index.T, side.counts.T, strict=True):
                    weights *= count[:, column] if used.all() else np.where(used, count[:, column], 1.0)
            yield weights


def _first_of_each(index: Int[np.ndarray, "obs part"]) -> Bool[np.ndarray, "obs part"]:
    """False where a level stood in the same observation before."""
    once = np.ones(index.shape, dtype=bool)
    for part in range(1, index.shape[1]):
        once[:, part] = (index[:, :part] != index[:, part : part + 1]).all(axis=1)
    return once


def _estimate(value: float, replicates: Float[np.ndarray, " resample"], n: int) -> Estimate:
    if not np.isfinite(value):
        raise NotApplicable(f"the value is undefined on these {n} observations")
    defined = replicates[np.isfinite(replicates)]
    dropped = len(replicates) - len(defined)
    if n < 2 or 2 * len(defined) < len(replicates):
        return Estimate(value=value, n=n, dropped=dropped)
    low, high = np.percentile(defined, _LEVEL)
    return Estimate(value=value, ci_low=float(low), ci_high=float(high), n=n, dropped=dropped)
