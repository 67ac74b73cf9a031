"""The neurons that tell a class from the others: how well, by chance how well, and what they read and write."""

from rote.experiments.class_neurons.card import CARD
from rote.experiments.class_neurons.section import blocks
from rote.experiments.entry import Entry

ENTRY = Entry(card=CARD, section=blocks, measure="rote.experiments.class_neurons.measure:ClassNeurons")
