"""How much of the residual stream the last few tokens account for, layer by layer."""

from rote.experiments.entry import Entry
from rote.experiments.local_processing.card import CARD
from rote.experiments.local_processing.section import blocks

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.local_processing.measure:LocalProcessing")
