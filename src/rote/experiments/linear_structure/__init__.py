"""Whether MLP outputs for known names break the linear structure that a sum over tokens would have."""

from rote.experiments.entry import Entry
from rote.experiments.linear_structure.card import CARD
from rote.experiments.linear_structure.section import blocks

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.linear_structure.measure:LinearStructure")
