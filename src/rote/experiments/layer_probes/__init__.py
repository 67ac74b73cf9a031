"""How the class becomes linearly readable, layer by layer."""

from rote.experiments.entry import Entry
from rote.experiments.layer_probes.card import CARD
from rote.experiments.layer_probes.section import blocks

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.layer_probes.measure:LayerProbes")
