"""Which facts the model knows, beside what the name tokens alone would tell."""

from rote.experiments.entry import Entry
from rote.experiments.known_facts.card import CARD
from rote.experiments.known_facts.section import blocks

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.known_facts.measure:KnownFactsExperiment")
