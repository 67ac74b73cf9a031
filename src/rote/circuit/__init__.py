"""The model's own circuit for a relation: extract ∘ lookup ∘ concatenate, searched on one half of the entities."""

from rote.circuit.circuit import Circuit, search
from rote.circuit.other_relations import OtherRelation, with_relations
from rote.circuit.readout_heads import reading_heads
