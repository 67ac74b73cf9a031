"""How well the distilled circuit recalls what the whole model recalls."""

from rote.experiments.effective_model.card import CARD
from rote.experiments.effective_model.section import blocks
from rote.experiments.entry import Entry

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.effective_model.measure:EffectiveModelExperiment")
