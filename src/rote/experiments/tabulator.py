"""Rows of one experiment on one stack, and the values behind its means, fact by fact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from rote.catalog import ExperimentCard
from rote.errors import ExperimentError, NotApplicable
from rote.records import Absent, Observations, Record, Row
from rote.statistics import Bootstrap, Estimate


@dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """What values are of: how observations are resampled, which of them are reported, and whose they are.

    `names`: of facts, the entity of each, so that its values can be kept; None where an observation is no fact.
    """

    bootstrap: Bootstrap
    where: Bool[np.ndarray, " obs"] | None = None
    names: Sequence[str] | None = None


@dataclass(kw_only=True, eq=False)
class Tabulator:
    """Collects rows of one card on one stack; ExperimentError for a statistic or condition that the card lacks.

    Values of the population are reported as means with intervals; of a population of facts, the value of each of at
    most `keep` facts stays beside the mean, in float32. The runner hands one in; `over` gives one that writes into the
    same record for another population or stack.
    """

    card: ExperimentCard
    stack: str
    relation: str | None
    seed: int
    population: Population | None = None
    keep: int = 0
    rows: list[Row] = field(default_factory=list)
    absents: list[Absent] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    _kept: dict[Any, _Kept] = field(default_factory=dict)

    def over(self, population: Population, stack: str | None = None) -> Tabulator:
        """The same record, of values of another population."""
        return replace(self, population=population, stack=stack or self.stack)

    def on(self, stack: str) -> Tabulator:
        """A record of its own for one stack, to be taken in with `take` once it is whole."""
        return Tabulator(
            card=self.card,
            stack=stack,
            relation=self.relation,
            seed=self.seed,
            population=self.population,
            keep=self.keep,
        )

    def take(self, other: Tabulator) -> None:
        """Take in what another has collected."""
        self.rows += other.rows
        self.absents += other.absents
        self.tables |= other.tables
        self.arrays |= other.arrays
        self._kept |= {(len(self._kept), key): kept for key, kept in other._kept.items()}

    @property
    def bootstrap(self) -> Bootstrap:
        """The resamples of the population."""
        assert self.population is not None
        return self.population.bootstrap

    @property
    def where(self) -> Bool[np.ndarray, " obs"] | None:
        """The observations that are reported; None for all."""
        return None if self.population is None else self.population.where

    def mean(self, statistic: str, values: Float[np.ndarray, " obs"], **key: Any) -> None:
        """The mean over the reported observations (or those of `where`) with its interval; absent where none counts."""
        self.means([statistic], np.asarray(values)[:, None], [key])

    def means(self, statistics: list[str], values: Float[np.ndarray, "obs column"], keys: list[dict[str, Any]]) -> None:
        """Many means at once, one column each; absent, with the reason, where no observation counts."""
        if not keys:  # a head of layer 0 has no node before it
            return
        where = keys[0].pop("where", self.where)
        values = np.asarray(values, dtype=float)
        try:
            estimates = self.bootstrap.means(values, where=where)
        except NotApplicable as error:
            for statistic, key in zip(statistics, keys, strict=True):
                self.absent(statistic, error.reason, **key)
            return
        for statistic, estimate, key in zip(statistics, estimates, keys, strict=True):
            self.estimate(statistic, estimate, **key)
        self._keep(statistics, values, where, keys)

    def estimate(self, statistic: str, estimate: Estimate, **key: Any) -> None:
        """An estimate made from the population's resamples, in the unit of its StatisticCard."""
        self.rows.append(Row(**estimate.fields, **self._identity(statistic, key)))

    def value(self, statistic: str, value: float, n: int | None = None, **key: Any) -> None:
        """A value without an interval, in the unit of its StatisticCard."""
        self.rows.append(Row(value=value, n=n, **self._identity(statistic, key)))

    def absent(self, statistic: str, reason: str, **key: Any) -> None:
        """A value that does not exist, and why."""
        self.absents.append(Absent(reason=reason, **self._identity(statistic, key)))

    def nothing(self, reason: str) -> None:
        """Every statistic of the card as absent, for one reason."""
        for statistic in self.card.statistics:
            self.absent(statistic.name, reason)

    def table(self, name: str, frame: pd.DataFrame) -> None:
        """A long table beside the rows."""
        self.tables[name] = frame

    def record(self) -> Record:
        """All that was collected."""
        kept = tuple(kept.observations() for kept in self._kept.values())
        return Record(
            rows=tuple(self.rows),
            absent=tuple(self.absents),
            tables=self.tables,
            arrays=self.arrays,
            observations=kept,
        )

    def _identity(self, statistic: str, key: Mapping[str, Any]) -> dict[str, Any]:
        """What a row is the value of; ExperimentError for what the card does not speak of."""
        try:
            found = self.card.statistic(statistic)
        except KeyError as error:
            raise ExperimentError(f"{error.args[0]}; expected a StatisticCard for each that is written") from None
        if not found.allows(key.get("condition")):
            raise ExperimentError(
                f"{self.card.name} gives {statistic} under the condition {key['condition']!r}; its card allows "
                f"{', '.join(found.conditions) or 'none'}: add it to the card's conditions"
            )
        who = {"experiment": self.card.name, "stack": self.stack, "relation": self.relation, "seed": self.seed}
        return {**who, "statistic": statistic, "unit": found.unit, **key}

    def _keep(
        self,
        statistics: Sequence[str],
        values: Float[np.ndarray, "obs column"],
        where: Bool[np.ndarray, " obs"] | None,
        keys: Sequence[Mapping[str, Any]],
    ) -> None:
        names = None if self.population is None else self.population.names
        if not self.keep or names is None:
            return
        mark = (id(names), None if where is None else where.tobytes())
        if mark not in self._kept:
            self._kept[mark] = _Kept.of(names, where, self.keep, self.seed)
        kept = self._kept[mark]
        kept.columns.append(values[kept.facts].astype(np.float32))
        kept.keys.extend(self._identity(s, key) for s, key in zip(statistics, keys, strict=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Kept:
    """Values of the facts that are kept of one population and mask, column after column."""

    names: Sequence[str]
    facts: Int[np.ndarray, " fact"]
    columns: list[Float[np.ndarray, "fact column"]] = field(default_factory=list)
    keys: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, names: Sequence[str], where: Bool[np.ndarray, " obs"] | None, most: int, seed: int) -> _Kept:
        """At most so many facts: those whose names come first in an order by hash, so the same in every experiment."""
        members = np.arange(len(names)) if where is None else np.flatnonzero(where)
        if len(members) > most:
            order = [blake2b(f"{seed}/{names[int(i)]}".encode(), digest_size=8).digest() for i in members]
            members = np.sort(members[sorted(range(len(members)), key=order.__getitem__)[:most]])
        return cls(names=names, facts=members)

    def observations(self) -> Observations:
        entities = tuple(self.names[i] for i in self.facts)
        return Observations(entities=entities, keys=tuple(self.keys), values=np.concatenate(self.columns, axis=1))
