"""How far the answer is in the logits, layer by layer."""

from rote.experiments.entry import Entry
from rote.experiments.logit_lens.card import CARD
from rote.experiments.logit_lens.section import blocks

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.logit_lens.measure:LogitLens")
