"""Whether MLP outputs are larger for known names than for unknown ones made of the same tokens."""

from rote.experiments.entry import Entry
from rote.experiments.known_norms.card import CARD
from rote.experiments.known_norms.section import blocks

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.known_norms.measure:KnownNorms")
