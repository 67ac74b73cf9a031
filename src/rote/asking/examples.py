"""Which facts are shown as examples before a question: such as the model does not know, their answers different."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rote.asking.known import ask
from rote.errors import FactsError
from rote.facts import Fact, FactTable, Relation, build_prompts
from rote.facts.spans import tokens_of
from rote.facts.wording import Wording, without_examples
from rote.model import Model
from rote.settings import Settings
from rote.statistics import rng

AMONG = 96  # facts, in their seeded order, among which examples are chosen


def in_seeded_order(table: FactTable, relation: str, seed: int) -> list[Fact]:
    """A relation's facts in the order in which they are asked for examples; the table's order decides nothing."""
    facts = sorted(table.of(relation), key=lambda fact: fact.entity)
    return [facts[i] for i in rng(seed, "examples", relation).permutation(len(facts))]


def examples_of(
    model: Model, table: FactTable, relation: str, settings: Settings, wording: Wording
) -> tuple[Fact, ...]:
    """`settings.shots` examples of a relation, in the order in which they stand before the question.

    The first facts in their seeded order are asked without any example. Then one after another is taken: of those
    whose answer stands in the fewest examples so far, one that the model does not know before one that it knows. So
    the examples of fewer shots are the first ones of more. Facts that cannot be asked are no examples where their
    words are unknown to the tokenizer, nor entities that the prefix names.
    """
    if not settings.shots:
        return ()
    described = table.relation(relation)
    first = in_seeded_order(table, relation, settings.seed)[:AMONG]
    candidates = [fact for fact in first if fact.entity not in described.prefix and _legible(wording, described, fact)]
    known = _known(model, table, described.name, candidates, settings, wording)
    return different(candidates, known, settings.shots)


def different(candidates: Sequence[Fact], known: set[str], n: int) -> tuple[Fact, ...]:
    """`n` of the candidates, by the use of their answer so far, then unknown before known, then their own order."""
    left = list(enumerate(candidates))
    uses: Counter[str] = Counter()
    taken: list[Fact] = []
    while left and len(taken) < n:
        best = min(left, key=lambda item: (uses[item[1].attribute], item[1].entity in known, item[0]))
        left.remove(best)
        taken.append(best[1])
        uses[best[1].attribute] += 1
    return tuple(taken)


def _known(
    model: Model, table: FactTable, relation: str, candidates: Sequence[Fact], settings: Settings, wording: Wording
) -> set[str]:
    """The entities of the candidates that the model knows without an example; none where they cannot be asked."""
    asked = without_examples(table, wording.of(table.relation(relation)), ())
    kept = {fact.entity for fact in candidates}
    asked = FactTable(
        name=table.name, relations=asked.relations, facts=tuple(f for f in asked.facts if f.entity in kept)
    )
    longest = getattr(model.config, "max_position_embeddings", None)
    try:
        prompts = build_prompts(asked, relation, model.tokenizer, max_length=longest, blank=settings.blank)
    except FactsError:
        return set()
    known = ask(model, prompts, settings).known
    return {entity for entity, knows in zip(prompts.entities, known, strict=True) if knows}


def _legible(wording: Wording, relation: Relation, fact: Fact) -> bool:
    """Whether the tokenizer has every word of an example."""
    ids, _ = tokens_of(wording.tokenizer, relation.prefix + wording.example(relation, fact))
    return wording.tokenizer.unk_token_id not in ids
