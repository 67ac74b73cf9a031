"""Which earlier nodes feed the values of the readout heads."""

from rote.experiments.entry import Entry
from rote.experiments.value_inputs.card import CARD
from rote.experiments.value_inputs.section import blocks

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.value_inputs.measure:ValueInputsExperiment")
