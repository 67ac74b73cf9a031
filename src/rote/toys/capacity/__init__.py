"""How many facts networks of a grid can be trained to store."""

from rote.toys.capacity.card import CARD
from rote.toys.capacity.lead import capacity_lead
from rote.toys.capacity.section import blocks
from rote.toys.toy import Toy

TOY = Toy(
    name="capacity",
    question="How many facts does an MLP store, and does that grow faster than its neurons? (5 minutes)",
    title="How many facts an MLP can store",
    settings="rote.toys.capacity.toy:CapacitySettings",
    work="rote.toys.capacity.toy:CapacityWork",
    lead=capacity_lead,
    sections=((CARD, blocks),),
)
