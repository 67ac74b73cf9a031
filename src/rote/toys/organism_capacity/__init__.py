"""How many random facts organisms of several sizes come to hold."""

from rote.toys.organism_capacity.card import CARD
from rote.toys.organism_capacity.lead import organism_lead
from rote.toys.organism_capacity.section import blocks
from rote.toys.toy import Toy

TOY = Toy(
    name="organism_capacity",
    question="How many facts do small transformers hold, against parameters and exposures? (15 minutes)",
    title="How many facts organisms hold",
    subtitle="small transformers that read random facts",
    settings="rote.organisms.capacity:CapacityGrid",
    work="rote.toys.organism_capacity.toy:OrganismWork",
    lead=organism_lead,
    sections=((CARD, blocks),),
    rooms=("organisms",),
)
