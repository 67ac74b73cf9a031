"""Which MLP layers look the attribute up, with both curves and the evidence."""

from rote.experiments.entry import Entry
from rote.experiments.lookup_window.card import CARD
from rote.experiments.lookup_window.section import blocks

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.lookup_window.measure:LookupWindowExperiment")
