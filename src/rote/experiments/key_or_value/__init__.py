"""Whether an early MLP matters for the keys or for the values of the readout heads."""

from rote.experiments.entry import Entry
from rote.experiments.key_or_value.card import CARD
from rote.experiments.key_or_value.section import blocks

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.key_or_value.measure:KeyOrValueExperiment")
