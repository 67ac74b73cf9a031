"""What an experiment is, by what it is handed (its card's `takes`), and what it is handed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool

from rote.asking import KnownFacts, Recall, TaskPrompts
from rote.catalog import TASK, ExperimentCard
from rote.circuit import Circuit, OtherRelation, with_relations
from rote.errors import NotApplicable
from rote.experiments.cost import Cost, Sizes
from rote.experiments.populations import resampled, sampled
from rote.experiments.tabulator import Population, Tabulator
from rote.facts import RelationPrompts
from rote.model import Model
from rote.records import Record
from rote.settings import Settings
from rote.stack import Stack
from rote.text import Text


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """One relation of a study (CIRCUIT): all facts as asked, the known ones as a `Recall`, and the circuit found.

    `asked_otherwise` holds the known entities' prompts under the table's other relations, `not_asked` why there are
    none under some of them; `others` what is known of those relations and which heads read it.
    """

    prompts: RelationPrompts
    known: KnownFacts
    recall: Recall
    circuit: Circuit
    asked_otherwise: tuple[RelationPrompts, ...] = ()
    not_asked: Mapping[str, str] = field(default_factory=dict)
    others: tuple[OtherRelation, ...] = ()
    prepared: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        return self.recall.settings

    @property
    def relation(self) -> str:
        return self.recall.relation

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
    def population(self) -> Population:
        """The known facts, resampled over their name tokens in the same way by every experiment of the relation."""
        resamples = resampled(self.recall.prompts, self.settings, self.recall.relation)
        return Population(bootstrap=resamples, where=self.report, names=self.recall.names)


@dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
    """One relation as asked (FACTS): prompts, and what the model answers to each; no circuit is searched for it.

    `text` where the card takes TEXT too; `prepared` holds the arrays that `Experiment.prepare` has made.
    """

    model: Model
    prompts: RelationPrompts
    known: KnownFacts
    settings: Settings
    text: Text | None = None
    prepared: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def relation(self) -> str:
        return self.prompts.relation.name

    @cached_property
    def population(self) -> Population:
        """All facts asked, known or not."""
        p = self.prompts
        return Population(bootstrap=resampled(p, self.settings, p.relation.name), names=p.entities)


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """A model (MODEL) and, where the card takes TEXT, the running text that it is given to read.

    `prepared` holds the arrays that `Experiment.prepare` has made.
    """

    model: Model
    settings: Settings
    words: Text | None = None
    prepared: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def text(self) -> Text:
        """NotApplicable where no text was given."""
        if self.words is None:
            raise NotApplicable(NO_TEXT)
        return self.words


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A model and the prompts that the experiment made for it (TASK)."""

    model: Model
    prompts: TaskPrompts
    settings: Settings
    prepared: Mapping[str, np.ndarray] = field(default_factory=dict)


NO_TEXT = "no text was given"


class Experiment(ABC):
    """One experiment. Its class owns its parameters: the fields of a data class, part of a run's fingerprint.

    `measure` writes into the tabulator that it is handed. What it is given follows from `card.takes`: `Study` for
    CIRCUIT, `Facts` for FACTS, `Reading` for TEXT or MODEL, `Task` for TASK; STACK is a `StackExperiment`'s.
    """

    card: ClassVar[ExperimentCard]

    @property
    def name(self) -> str:
        return self.card.name

    @abstractmethod
    def measure(self, given: Any, out: Tabulator) -> None:
        """Write all rows; NotApplicable, before any, where none can be had."""

    def check(self, model: Model, text: Text | None, settings: Settings) -> None:
        """Refuse, before any work, input that it could not use; InputError with all that is wrong."""
        if TASK in self.card.takes:
            self.task(model.tokenizer)

    def prepare(self, given: Any) -> Mapping[str, np.ndarray]:
        """Arrays made once, before anything is measured, and kept with the run: what is trained, for instance."""
        return {}

    def task(self, tokenizer: Any) -> TaskPrompts:
        """The prompts of an experiment that takes TASK; NotImplementedError where its class does not make them."""
        raise NotImplementedError(f"{self.name} takes a task, and its class makes none: define task(self, tokenizer)")

    def cost(self, sizes: Sizes) -> Cost | None:
        """What it takes on one relation, for --dry-run; None where nobody knows."""
        return None

    def tabulator(self, stack: str, relation: str | None, settings: Settings, *, keep: bool = False) -> Tabulator:
        """What the experiment writes into."""
        most = settings.max_entities if keep else 0
        return Tabulator(card=self.card, stack=stack, relation=relation, seed=settings.seed, keep=most)

    def record(self, given: Study | Facts | Reading | Task) -> Record:
        """What it yields for one relation, or once; all its statistics absent where it does not apply (NotApplicable).

        Any other error of `measure` is the caller's.
        """
        relation = getattr(given, "relation", None)
        out = self.tabulator("model", relation, given.settings, keep=True)
        population = getattr(given, "population", None)
        try:
            self.measure(given, out if population is None else out.over(population))
        except NotApplicable as error:
            return self.absent("model", relation, given.settings, error.reason)
        return out.record()

    def absent(self, stack: str, relation: str | None, settings: Settings, reason: str) -> Record:
        """Every statistic of the card as absent, for one reason."""
        out = self.tabulator(stack, relation, settings)
        out.nothing(reason)
        return out.record()


class StackExperiment(Experiment):
    """An experiment that runs on any stack (◆) and, where it has a full part, on the model itself."""

    def measure(self, given: Study, out: Tabulator) -> None:
        parts: dict[str, Callable[[Tabulator], None]] = {}
        if type(self).on_model is not StackExperiment.on_model:
            parts["model"] = lambda to: self.on_model(given, to)
        parts["effective"] = lambda to: self.on_stack(given.stack, given.settings, to)
        for stack, part in parts.items():
            into = out.on(stack)
            try:
                part(into)
            except NotApplicable as error:
                into = out.on(stack)
                into.nothing(error.reason)
            out.take(into)

    def __call__(self, stack: Stack, settings: Settings | None = None) -> Record:
        """The experiment on one stack: the effective model, a control, or any that is built by hand.

        Unlike `record`, it lets NotApplicable out.
        """
        settings = settings or Settings()
        out = self.tabulator(stack.name, next(iter(stack.readouts)), settings)
        self.on_stack(stack, settings, out)
        return out.record()

    @abstractmethod
    def on_stack(self, stack: Stack, settings: Settings, out: Tabulator) -> None:
        """Write the rows of one stack; NotApplicable where none can be had."""

    def on_model(self, study: Study, out: Tabulator) -> None:
        """Write the rows of the full part, on the model; without this there is none."""

    def for_controls(self) -> StackExperiment:
        """The experiment without the parts that say nothing about a control, such as a shuffled control."""
        return self
