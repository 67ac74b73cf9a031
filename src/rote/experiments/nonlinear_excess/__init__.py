"""How much of an answer exists only for both names together, and how much of that the neurons inherit."""

from rote.experiments.entry import Entry
from rote.experiments.nonlinear_excess.card import CARD
from rote.experiments.nonlinear_excess.section import blocks

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.nonlinear_excess.measure:NonlinearExcess")
