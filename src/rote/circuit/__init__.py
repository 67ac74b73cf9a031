"""The model's own circuit for a relation: extract ∘ lookup ∘ concatenate, searched on one half of the entities."""

from rote.circuit.circuit import Circuit, search
from rote.asking.known import KnownFacts, ask
from rote.circuit.other_relations import OtherRelation, reading_heads, with_relations
from rote.asking.prompts import Forward, PromptSet, Scores
from rote.asking.recall import ABLATIONS, Recall

__all__ = [
    "ABLATIONS",
    "Circuit",
    "Forward",
    "KnownFacts",
    "OtherRelation",
    "PromptSet",
    "Recall",
    "Scores",
    "ask",
    "reading_heads",
    "search",
    "with_relations",
]
