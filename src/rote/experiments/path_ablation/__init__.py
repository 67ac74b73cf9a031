"""How much each MLP of the window depends on the output of an earlier one."""

from rote.experiments.entry import Entry
from rote.experiments.path_ablation.card import CARD
from rote.experiments.path_ablation.section import blocks

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.path_ablation.measure:PathAblation")
