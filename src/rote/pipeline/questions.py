"""How a model is asked the facts of a table: the prompts of every relation, each made once, when it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from rote.asking.examples import examples_of
from rote.errors import FactsError
from rote.facts import Fact, FactTable, Relation, RelationPrompts, build_prompts
from rote.facts.table import cut
from rote.facts.wording import LEAST_LEFT, Wording, shots_problem, without_examples
from rote.model import Model
from rote.pipeline.bos import bos_problems
from rote.settings import Settings

Asked = RelationPrompts | FactsError


@dataclass(frozen=True, kw_only=True, eq=False)
class Questions:
    """The relations of a table as they are put to one model.

    A relation that cannot be asked is no error of the others: `of` raises for it alone, `all` says why it is missing.
    FactsError where the tokenizer has no bos token, and none was not asked for.
    """

    model: Model
    table: FactTable | None
    settings: Settings
    more: Questions | None = field(default=None, repr=False)  # with more examples, of which these are the first
    leave_out: bool = True  # False: a relation that was asked for and cannot be asked is refused
    _made: dict[str, Asked] = field(default_factory=dict, init=False, repr=False)
    _examples: dict[str, tuple[Fact, ...]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        model = self.model
        problems = bos_problems(model.name, model.tokenizer, model.config, without=model.without_bos)
        if problems:
            raise FactsError(problems)

    def with_shots(self, shots: int) -> Questions:
        """The same with fewer examples: the first of these."""
        if shots == self.settings.shots:
            return self
        fewer = replace(self.settings, shots=shots)
        return Questions(model=self.model, table=self.table, settings=fewer, leave_out=self.leave_out, more=self)

    def of(self, name: str) -> RelationPrompts:
        """A relation's prompts; FactsError with all that is wrong with it."""
        if name not in self._made:
            self._made[name] = self._make(name)
        made = self._made[name]
        if isinstance(made, FactsError):
            raise made
        return made

    def all(self, names: Sequence[str]) -> tuple[dict[str, RelationPrompts], dict[str, str]]:
        """The prompts of the relations that can be asked, and why the others cannot.

        FactsError, with all that is wrong with any of them, where none can be asked, or one cannot and none may be
        left out.
        """
        prompts: dict[str, RelationPrompts] = {}
        wrong: dict[str, FactsError] = {}
        for name in names:
            try:
                prompts[name] = self.of(name)
            except FactsError as error:
                wrong[name] = error
        if wrong and (not prompts or not self.leave_out):
            raise FactsError(problem for error in wrong.values() for problem in error.problems)
        return prompts, {name: said(error) for name, error in wrong.items()}

    def otherwise(self, name: str, relation: str) -> RelationPrompts:
        """The facts of relation `name` asked as another relation is, but the examples of either.

        FactsError where not even two classes can be asked.
        """
        worded, shown = self.worded(relation), {fact.entity for fact in self.examples(relation)}
        prompts = build_prompts(self._worded_table(name), name, **self._limits, asked_as=worded).merged()
        return prompts.take([i for i, entity in enumerate(prompts.entities) if entity not in shown])

    def worded(self, name: str) -> Relation:
        """A relation as it is asked: with examples before its question, or in a chat, as the settings say."""
        assert self.table is not None
        return self._wording.of(self.table.relation(name), self.examples(name))

    def examples(self, name: str) -> tuple[Fact, ...]:
        """The facts of a relation that stand before its question; FactsError where it has too few for that."""
        assert self.table is not None
        if name not in self._examples:
            shots = self.settings.shots
            too_few = shots_problem(name, len(self.table.of(name)), shots, LEAST_LEFT) if shots else ""
            if too_few:
                raise FactsError(too_few)
            self._examples[name] = self._chosen(name)
        return self._examples[name]

    def _chosen(self, name: str) -> tuple[Fact, ...]:
        assert self.table is not None
        if self.more is not None:
            with suppress(FactsError):  # more examples may be too many
                return self.more.examples(name)[: self.settings.shots]
        found = examples_of(self.model, self.table, name, self.settings, self._wording)
        if len(found) < self.settings.shots:
            raise FactsError(
                f"relation {cut(name)!r} has {len(found)} facts that can be examples; {self.settings.shots} were asked "
                "for: ask with fewer --shots (Settings.shots)"
            )
        return found

    def _make(self, name: str) -> Asked:
        """Answers whole, or only their class tokens, as the settings say."""
        try:
            prompts = build_prompts(self._worded_table(name), name, **self._limits)
        except FactsError as error:
            return error
        return prompts if self.settings.answers == "whole" else prompts.merged()

    def _worded_table(self, name: str) -> FactTable:
        assert self.table is not None
        return without_examples(self.table, self.worded(name), self.examples(name))

    @property
    def _wording(self) -> Wording:
        return Wording(tokenizer=self.model.tokenizer, blank=self.settings.blank, chat=self.settings.chat)

    @property
    def _limits(self) -> dict[str, Any]:
        longest = getattr(self.model.config, "max_position_embeddings", None)  # in tokens
        chosen = {"blank": self.settings.blank, "split": self.settings.split}
        return {"tokenizer": self.model.tokenizer, "max_length": longest, **chosen}


def said(error: FactsError, most: int = 3) -> str:
    """What is wrong, as the one reason why a relation's figures are absent."""
    return joined(error.problems, most)


def joined(problems: Iterable[str], most: int = 3) -> str:
    """Several sentences as one, the first few of them."""
    every = list(problems)
    more = f"; and {len(every) - most} more" if len(every) > most else ""
    return "; ".join(every[:most]) + more
