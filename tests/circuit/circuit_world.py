"""One small study of the bundled organism, with its literal twin beside it; made once per test session."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from plain_neox import PlainNeoX, Trace
from torch import Tensor

import rote
from rote.asking import KnownFacts, Recall, ask
from rote.circuit import Circuit, search
from rote.experiments.base import Experiment, Facts, Study
from rote.facts import Fact, FactTable, RelationPrompts, build_prompts, read_facts
from rote.model import Model
from rote.organisms import BUNDLED
from rote.records import Record
from rote.settings import Settings

SETTINGS = Settings(
    n_bootstrap=200,
    batch_size=32,
    product_side=40,
    max_entities=36,
    stratum_parts=4,
    stratum_facts=12,
)
PAIRS = {"n_pairs": 40, "n_draws": 4}  # of linear_structure, where it is called by hand
N_FALSE = 6  # facts with a wrong class: the model does not know them
CLASSES = ("baseball", "basketball", "football")


@cache
def model() -> Model:
    return rote.load_model(BUNDLED, dtype="float64")  # so that the twins agree to 1e-5 in every derived figure


@cache
def plain() -> PlainNeoX:
    return PlainNeoX(BUNDLED)


def cut(table: FactTable, per_class: int) -> FactTable:
    """The first facts of each class, in the table's order."""
    kept = [f for name in CLASSES for f in [f for f in table.facts if f.attribute == name][:per_class]]
    return replace(table, facts=tuple(sorted(kept, key=table.facts.index)), left_out=())


@cache
def facts() -> FactTable:
    """90 true facts about real athletes and N_FALSE false ones, asked without a one-shot prefix."""
    every = read_facts("athletes", relation="sport", prefix="")
    table = cut(every, 30)
    entities = set(table.entities)
    others = [f for f in every.facts if f.entity not in entities][:N_FALSE]
    wrong = {name: CLASSES[(i + 1) % 3] for i, name in enumerate(CLASSES)}
    false = tuple(Fact(entity=f.entity, relation="sport", attribute=wrong[f.attribute]) for f in others)
    return replace(table, facts=table.facts + false)


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """The study as rote sees it, and each known fact's clean passes as the twin sees them."""

    prompts: RelationPrompts
    known: KnownFacts
    recall: Recall
    circuit: Circuit
    study: Study
    plain: PlainNeoX

    @cached_property
    def class_tokens(self) -> list[int]:
        encode = self.plain.tokenizer.encode
        return [encode(f" {name}", add_special_tokens=False)[0] for name in CLASSES]

    def ids(self, entity: str) -> list[int]:
        return list(self.plain.tokenizer.encode(f"Fact: {entity} plays the sport of"))

    @cached_property
    def entities(self) -> list[str]:
        """The known ones."""
        return [fact.entity for fact in self.recall.prompts.facts]

    @cached_property
    def cls(self) -> list[int]:
        return [CLASSES.index(fact.attribute) for fact in self.recall.prompts.facts]

    @property
    def selection(self) -> list[int]:
        return np.flatnonzero(self.recall.selection).tolist()

    @property
    def report(self) -> list[int]:
        return np.flatnonzero(~self.recall.selection).tolist()

    @cached_property
    def full(self) -> list[list[int]]:
        """Token ids of every known fact's prompt."""
        return [self.ids(entity) for entity in self.entities]

    @cached_property
    def names(self) -> list[list[int]]:
        """`<bos>` and the name's own tokens in the prompt."""
        return [[ids[0], *ids[s - 1 : s + 1]] for ids, s in zip(self.full, self.last, strict=True)]

    @cached_property
    def last(self) -> list[int]:
        """The position of the name's last token."""
        return [len(self.plain.tokenizer.encode(f"Fact: {entity}")) - 1 for entity in self.entities]

    @cached_property
    def clean(self) -> list[Trace]:
        return [self.plain.run(ids) for ids in self.full]

    @cached_property
    def clean_names(self) -> list[Trace]:
        return [self.plain.run(ids) for ids in self.names]

    def at_name(self, what: str, layer: int, *, name_only: bool = False) -> list[Tensor]:
        """A clean activation of every known fact at the name's last token."""
        if name_only:
            return [trace[what, layer][-1] for trace in self.clean_names]
        return [trace[what, layer][s] for trace, s in zip(self.clean, self.last, strict=True)]

    @property
    def others(self) -> list[list[int]]:
        """Per draw, the fact from which each fact's resampled value comes."""
        return [draw.tolist() for draw in self.recall.others]

    def right(self, trace: Trace, i: int) -> bool:
        """Whether the class scores at the end are right."""
        return int(trace["logits"][-1][self.class_tokens].argmax()) == self.cls[i]

    def right_token(self, trace: Trace, i: int) -> bool:
        return int(trace["logits"][-1].argmax()) == self.class_tokens[self.cls[i]]


@cache
def world() -> World:
    prompts = build_prompts(facts(), "sport", model().tokenizer)
    known = ask(model(), prompts, SETTINGS)
    recall = Recall.of(model(), prompts, known.known, SETTINGS)
    circuit = search(recall)
    study = Study(prompts=prompts, known=known, recall=recall, circuit=circuit)
    return World(prompts=prompts, known=known, recall=recall, circuit=circuit, study=study, plain=plain())


def measured(experiment: Experiment, study: Study) -> Record:
    """What an experiment yields, handed of a study what its card takes."""
    if experiment.card.needs_circuit:
        return experiment.record(study)
    facts = Facts(model=study.recall.model, prompts=study.prompts, known=study.known, settings=study.settings)
    return experiment.record(facts)


def value(record: Record, statistic: str, **key: object) -> float:
    """The one row with these key fields."""
    rows = [r for r in record.rows if r.statistic == statistic and all(getattr(r, k) == v for k, v in key.items())]
    assert len(rows) == 1, f"{len(rows)} rows for {statistic} {key}"
    return float(rows[0].value)
