"""How well a linear readout finds the attribute at the name's last token, layer by layer."""

from rote.experiments.entry import Entry
from rote.experiments.readout.card import CARD
from rote.experiments.readout.section import blocks

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.readout.measure:ReadoutExperiment")
