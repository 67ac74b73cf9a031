"""Where the readout heads look from the prompt's end, also when another relation is asked."""

from rote.experiments.entry import Entry
from rote.experiments.head_attention.card import CARD
from rote.experiments.head_attention.section import blocks

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.head_attention.measure:HeadAttentionExperiment")
