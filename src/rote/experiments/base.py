"""What every experiment gets (`Study`), is (`Experiment`, `StackExperiment`) and gives (rows through `Tabulator`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from rote.asking import KnownFacts, Recall
from rote.catalog import ExperimentCard
from rote.circuit import Circuit, OtherRelation, with_relations
from rote.errors import InputError, NotApplicable
from rote.experiments import card
from rote.facts import RelationPrompts
from rote.model import Model
from rote.records import Absent, Record, Row
from rote.settings import Settings
from rote.stack import Stack
from rote.statistics import Bootstrap, Estimate, PigeonholeBootstrap, rng, stratified_sample
from rote.text import Text


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """One relation of a study: all facts as asked, the known ones as a `Recall`, and the circuit `searched`.

    `asked_otherwise` holds the known entities' prompts under the table's other relations, `others` what is known of
    those and which heads read it.
    """

    prompts: RelationPrompts
    known: KnownFacts
    recall: Recall
    searched: Circuit | None = None
    asked_otherwise: tuple[RelationPrompts, ...] = ()
    others: tuple[OtherRelation, ...] = ()

    @property
    def circuit(self) -> Circuit:
        """The circuit found; NotApplicable where none was searched, since no chosen experiment needs one."""
        if self.searched is None:
            raise NotApplicable("no circuit was searched: no card of the experiments chosen needs known_facts")
        return self.searched

    @property
    def settings(self) -> Settings:
        return self.recall.settings

    @cached_property
    def stack(self) -> Stack:
        """The effective model, which also reads the other relations; NotApplicable where there is no MLP window."""
        return with_relations(self.circuit.effective_model(self.recall), self.others)

    @cached_property
    def report(self) -> Bool[np.ndarray, " fact"]:
        """The half of the known facts on which everything is reported."""
        return ~self.recall.selection

    @cached_property
    def sample(self) -> Study:
        """The same study on at most max_entities facts of the report half, for experiments that choose nothing."""
        members = np.flatnonzero(self.report)
        chosen = members[sampled(self.recall.cls[members], self.settings, self.recall.relation)]
        return replace(self, recall=self.recall.take(chosen))

    @cached_property
    def bootstrap(self) -> PigeonholeBootstrap:
        """Resamples over the known facts' name tokens; the same for every experiment of the relation."""
        p = self.recall.prompts
        return bootstrap(p.first, p.last, self.settings, p.relation.name)

    def tabulator(self, experiment: str, stack: str = "model") -> Tabulator:
        return Tabulator(
            experiment=experiment,
            stack=stack,
            relation=self.recall.relation,
            seed=self.settings.seed,
            bootstrap=self.bootstrap,
            where=self.report,
        )


def bootstrap(
    first: np.ndarray, last: np.ndarray, settings: Settings, item: str, *, one_token_names: bool = True
) -> PigeonholeBootstrap:
    return PigeonholeBootstrap(
        first,
        last,
        n_resamples=settings.n_bootstrap,
        generator=rng(settings.seed, "bootstrap", item),
        one_token_names=one_token_names,
    )


@dataclass(kw_only=True, eq=False)
class Tabulator:
    """Collects rows of one experiment on one stack; `where` marks the observations that are reported."""

    experiment: str
    stack: str
    relation: str | None
    seed: int
    bootstrap: Bootstrap
    where: Bool[np.ndarray, " obs"] | None = None
    rows: list[Row] = field(default_factory=list)
    absents: list[Absent] = field(default_factory=list)

    def mean(self, statistic: str, values: Float[np.ndarray, " obs"], **key: Any) -> None:
        """The mean over the reported observations with its interval; absent where none counts."""
        self.means([statistic], np.asarray(values)[:, None], [key])

    def means(self, statistics: list[str], values: Float[np.ndarray, "obs column"], keys: list[dict[str, Any]]) -> None:
        """Many means at once, one column each."""
        if not keys:  # a head of layer 0 has no node before it
            return
        where = keys[0].pop("where", self.where)
        try:
            estimates = self.bootstrap.means(np.asarray(values, dtype=float), where=where)
        except NotApplicable as error:
            for statistic, key in zip(statistics, keys, strict=True):
                self.absent(statistic, error.reason, **key)
            return
        for statistic, estimate, key in zip(statistics, estimates, keys, strict=True):
            self.estimate(statistic, estimate, **key)

    def estimate(self, statistic: str, estimate: Estimate, **key: Any) -> None:
        self.rows.append(Row(statistic=statistic, **estimate.fields, **self._common(key)))

    def value(self, statistic: str, value: float, n: int | None = None, **key: Any) -> None:
        """A value without an interval."""
        self.rows.append(Row(statistic=statistic, value=value, n=n, **self._common(key)))

    def absent(self, statistic: str, reason: str, **key: Any) -> None:
        self.absents.append(Absent(statistic=statistic, reason=reason, **self._common(key)))

    def _common(self, key: Mapping[str, Any]) -> dict[str, Any]:
        common = {
            "experiment": self.experiment,
            "stack": self.stack,
            "relation": self.relation,
            "seed": self.seed,
        }
        return {**common, **key}

    def record(self, **tables: pd.DataFrame) -> Record:
        return Record(rows=tuple(self.rows), absent=tuple(self.absents), tables=tables)


class Experiment(ABC):
    """One experiment; `measure` yields its record for one relation. One that the catalog lacks sets its own `card`.

    A circuit is searched only where a card needs something: what `Study.circuit` gives needs "known_facts" at least.
    """

    name: ClassVar[str]

    @property
    def card(self) -> ExperimentCard:
        """What it asks, needs and yields; InputError where neither the catalog nor its class says."""
        try:
            return card(self.name)
        except KeyError:
            raise InputError(
                f"the catalog has no experiment {self.name!r}; expected its class to say what it is: set "
                "card = rote.catalog.ExperimentCard(...) there"
            ) from None

    @property
    def needs_circuit(self) -> bool:
        """Whether the circuit of the facts known is searched for it first."""
        return self.card.needs_facts and bool(self.card.needs)

    def planned_blocks(self, model: Model, prompts: RelationPrompts, settings: Settings) -> float | None:
        """Prompts times blocks that it passes on one relation, for --dry-run; None where nobody knows."""
        return None

    @abstractmethod
    def measure(self, study: Study) -> Record:
        """All rows of this experiment; NotApplicable where none can be had."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """A model and the running text that it is given to read."""

    model: Model
    text: Text
    settings: Settings


class TextExperiment(Experiment):
    """An experiment that reads running text: it needs no facts and runs once, whatever the relations."""

    def measure(self, study: Study) -> Record:
        raise NotApplicable(f"{self.name} reads running text, not facts")

    @abstractmethod
    def read(self, reading: Reading) -> Record:
        """All rows of this experiment; NotApplicable where none can be had."""


class StackExperiment(Experiment):
    """An experiment that runs on any stack (◆) and, where it has a full part, on the model itself."""

    needs_circuit = True  # there is no stack without one

    def planned_names(self, n_facts: int, settings: Settings) -> float | None:
        """Names that it runs every MLP of a stack on, for --dry-run; None where nobody knows."""
        return None

    def measure(self, study: Study) -> Record:
        parts = [self._on_model(study)]
        try:
            parts.append(self(study.stack, study.settings))
        except NotApplicable as error:
            parts.append(Record(absent=absents(self, "effective", study.recall.relation, study.settings, error.reason)))
        return joined(parts)

    @abstractmethod
    def __call__(self, stack: Stack, settings: Settings | None = None) -> Record:
        """The experiment on one stack."""

    def for_controls(self) -> StackExperiment:
        """The experiment without the parts that say nothing about a control, such as a shuffled control."""
        return self

    def _on_model(self, study: Study) -> Record:
        """The full part, on the model; none by default."""
        return Record()


def absents(
    experiment: Experiment, stack: str, relation: str | None, settings: Settings, reason: str
) -> tuple[Absent, ...]:
    """Every statistic of an experiment's card as absent, for one reason."""
    return tuple(
        Absent(
            experiment=experiment.name,
            stack=stack,
            statistic=statistic.name,
            relation=relation,
            reason=reason,
            seed=settings.seed,
        )
        for statistic in experiment.card.statistics
    )


def joined(records: list[Record]) -> Record:
    tables: dict[str, pd.DataFrame] = {}
    for record in records:
        tables |= record.tables
    return Record(
        rows=tuple(row for record in records for row in record.rows),
        absent=tuple(a for record in records for a in record.absent),
        tables=tables,
    )


def on_stack(experiment: str, stack: Stack, settings: Settings) -> Tabulator:
    """A tabulator over the stack's entities, all of them counted unless `where` says otherwise."""
    entities = stack.entities
    relation = next(iter(stack.readouts))
    return Tabulator(
        experiment=experiment,
        stack=stack.name,
        relation=relation,
        seed=settings.seed,
        bootstrap=bootstrap(entities.first, entities.last, settings, relation, one_token_names=False),
        where=None,
    )


def reported(stack: Stack, settings: Settings) -> Stack:
    """The stack with at most max_entities entities of the report half, sampled within classes.

    The same entities for every experiment and every stack of a study.
    """
    relation = next(iter(stack.readouts))
    members = np.flatnonzero(~stack.entities.selection)
    chosen = sampled(stack.entities.cls[relation][members], settings, relation)
    return stack.with_entities(stack.entities.take(members[chosen]))


def within_product(stack: Stack, settings: Settings) -> Stack:
    """The stack with the entities whose names fit a product of at most product_names × product_names.

    Entities are taken in a random order as long as their tokens are among those taken or there is still room; all
    are kept where their names fit. The complete product of the kept names is then small enough to be run.
    """
    entities, limit = stack.entities, settings.product_names
    if max(len(np.unique(entities.first)), len(np.unique(entities.last))) <= limit:
        return stack
    firsts: set[int] = set()
    lasts: set[int] = set()
    kept = []
    for i in rng(settings.seed, "product", next(iter(stack.readouts))).permutation(len(entities)):
        first, last = int(entities.first[i]), int(entities.last[i])
        if len(firsts | {first}) <= limit and len(lasts | {last}) <= limit:
            firsts.add(first)
            lasts.add(last)
            kept.append(i)
    return stack.with_entities(entities.take(np.sort(np.array(kept))))


def sampled(cls: Int[np.ndarray, " entity"], settings: Settings, item: str) -> Int[np.ndarray, " chosen"]:
    """At most max_entities entities, the same ones in every experiment and on every stack."""
    return stratified_sample(cls, size=settings.max_entities, generator=rng(settings.seed, "entities", item))
