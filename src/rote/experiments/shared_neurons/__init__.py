"""Whether the same neurons matter for every fact about an entity."""

from rote.experiments.entry import Entry
from rote.experiments.shared_neurons.card import CARD
from rote.experiments.shared_neurons.section import blocks

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.shared_neurons.measure:SharedNeurons")
