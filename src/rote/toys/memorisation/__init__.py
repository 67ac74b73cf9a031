"""Memorisation in the pure, and bagging on the same networks."""

from rote.toys.memorisation.bagging_card import CARD as BAGGING_CARD
from rote.toys.memorisation.bagging_section import blocks as bagging_blocks
from rote.toys.memorisation.card import CARD
from rote.toys.memorisation.lead import memorisation_lead
from rote.toys.memorisation.section import blocks
from rote.toys.toy import Toy

TOY = Toy(
    name="memorisation",
    question="Is there anything to interpret inside pure memorisation? Are neurons like weak classifiers? (a minute)",
    title="Memorisation in the pure",
    settings="rote.toys.memorisation.toy:MemorisationSettings",
    work="rote.toys.memorisation.toy:MemorisationWork",
    lead=memorisation_lead,
    sections=((CARD, blocks), (BAGGING_CARD, bagging_blocks)),
)
