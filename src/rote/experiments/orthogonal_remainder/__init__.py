"""What a class neuron still sees of an entity once everything that many other entities span is taken away."""

from rote.experiments.entry import Entry
from rote.experiments.orthogonal_remainder.card import CARD
from rote.experiments.orthogonal_remainder.section import blocks

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.orthogonal_remainder.measure:OrthogonalRemainder")
