"""The model's own circuit for a relation: extract ∘ lookup ∘ concatenate, searched on one half of the entities."""

from rote.circuit.circuit import Circuit, search
from rote.circuit.known import KnownFacts, ask
from rote.circuit.prompts import Forward, PromptSet, Scores
from rote.circuit.recall import ABLATIONS, Recall

__all__ = ["ABLATIONS", "Circuit", "Forward", "KnownFacts", "PromptSet", "Recall", "Scores", "ask", "search"]
