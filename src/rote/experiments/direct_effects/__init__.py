"""Which heads and MLPs write the answer directly into the logits."""

from rote.experiments.direct_effects.card import CARD
from rote.experiments.direct_effects.section import blocks
from rote.experiments.entry import Entry

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.direct_effects.measure:DirectEffectsExperiment")
