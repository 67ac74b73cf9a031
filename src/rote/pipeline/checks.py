"""A table's questions before a tokenizer, while no weight is loaded: what must be refused, and what will be missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rote.asking.examples import in_seeded_order
from rote.errors import FactsError
from rote.experiments.base import Experiment
from rote.facts import FactTable, RelationPrompts, build_prompts
from rote.facts.table import cut, shortened
from rote.facts.wording import LEAST_LEFT, Wording, shots_problem, without_examples
from rote.pipeline.bos import vocabulary
from rote.pipeline.choosing import studied
from rote.pipeline.questions import joined
from rote.settings import Settings

_MOST_NOTES = 8


@dataclass(kw_only=True)
class Checks:
    """What is wrong with the questions that would be asked.

    problems: why the study is refused. notes: what it will lack.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Checker:
    """Puts the relations of a table before a tokenizer as a study of `relation` (None: of all) would."""

    model: str
    table: FactTable
    tokenizer: Any
    config: Any
    relation: Sequence[str] | None
    experiments: Sequence[Experiment]
    leave_out: bool
    settings: Settings

    def check(self) -> Checks:
        """All problems of the relations that are studied, and what cannot be asked beside them."""
        found = Checks()
        chosen = self.table if self.relation is None else self.table.select(self.relation)
        prompts: dict[str, RelationPrompts] = {}
        wrong: dict[str, FactsError] = {}
        for described in chosen.relations:
            try:
                prompts[described.name] = self._prompts(described.name)
            except FactsError as error:
                wrong[described.name] = error
        self._say_wrong(found, wrong, alone=not prompts)
        for asked in prompts.values():
            found.problems += beyond(self.model, asked, vocabulary(self.config))
        counts = {name: (len(asked), len(asked.classes)) for name, asked in prompts.items()}
        try:
            studied(self.table, self.relation, self.experiments, counts)
        except FactsError as error:
            found.problems += error.problems
        else:
            self._say_beside(found, [r.name for r in self.table.relations if r not in chosen.relations])
        return found

    def _prompts(self, name: str, *, leave_out: bool | None = None) -> RelationPrompts:
        """A relation's prompts before any example; which facts are examples is not known before the model is asked."""
        wording = Wording(tokenizer=self.tokenizer, blank=self.settings.blank, chat=self.settings.chat)
        described = self.table.relation(name)
        any_of_them = in_seeded_order(self.table, name, self.settings.seed)[: self.settings.shots]
        wording.of(described, any_of_them)  # whether examples can be written
        prompts = build_prompts(
            without_examples(self.table, wording.of(described), ()),
            name,
            self.tokenizer,
            max_length=getattr(self.config, "max_position_embeddings", None),
            leave_out=self.leave_out if leave_out is None else leave_out,
            blank=self.settings.blank,
            split=self.settings.split,
        )
        searched = any(e.card.needs_circuit for e in self.experiments)
        least = self.settings.min_known if searched and len(prompts) >= self.settings.min_known else LEAST_LEFT
        too_few = shots_problem(name, len(prompts), self.settings.shots, least) if self.settings.shots else ""
        if too_few:
            raise FactsError(too_few)
        return prompts

    def _say_wrong(self, found: Checks, wrong: dict[str, FactsError], *, alone: bool) -> None:
        """A relation that cannot be asked at all is left out, unless it was named or nothing else is left."""
        missing: dict[str, FactsError] = {}
        refused: list[str] = []
        for name, error in wrong.items():
            may_be_left_out = not alone and (self.leave_out or self.relation is None)
            reason = self._reason(name) if may_be_left_out else None
            if reason is None:
                refused += error.problems
            else:
                missing[name] = reason
        found.problems += shortened(refused, limit=200)
        found.notes += _told(missing, "cannot be asked and is left out", "cannot be asked and are left out")

    def _say_beside(self, found: Checks, names: Sequence[str]) -> None:
        """Relations that are not studied are asked too, where heads are watched under other questions."""
        if not any(e.card.needs_circuit for e in self.experiments):
            return
        reasons = {name: self._reason(name) for name in names}
        missing = {name: reason for name, reason in reasons.items() if reason is not None}
        beside = "beside the studied ones cannot be asked: what needs it is absent"
        found.notes += _told(missing, beside, beside)

    def _reason(self, name: str) -> FactsError | None:
        """Why a relation cannot be asked even without the facts that cannot, or None."""
        try:
            self._prompts(name, leave_out=True)
        except FactsError as error:
            return error
        return None


def _told(missing: dict[str, FactsError], one: str, several: str) -> list[str]:
    if not missing:
        return []
    every = [f"{cut(name, 60)!r} ({cut(joined(error.problems, 1))})" for name, error in missing.items()]
    more = f", and {len(every) - _MOST_NOTES} more" if len(every) > _MOST_NOTES else ""
    what = f"1 relation {one}" if len(every) == 1 else f"{len(every):,} relations {several}"
    return [f"{what}: {', '.join(every[:_MOST_NOTES])}{more}"]


def beyond(model: str, prompts: RelationPrompts, size: int | None) -> list[str]:
    """The sentence about token ids that the model has no embedding for."""
    answers = (token for spellings in prompts.answers for spelling in spellings for token in spelling)
    largest = max(int(prompts.tokens.max(initial=0)), *answers)
    if size is None or largest < size:
        return []
    return [
        f"the tokenizer of {model} gives the token id {largest} in prompts of relation {prompts.relation.name!r}; the "
        f"model has {size} embeddings: expected the model's own tokenizer"
    ]
