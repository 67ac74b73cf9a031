"""How both name tokens come together at the name's last position."""

from rote.experiments.concatenation.card import CARD
from rote.experiments.concatenation.section import blocks
from rote.experiments.entry import Entry

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.concatenation.measure:ConcatenationExperiment")
