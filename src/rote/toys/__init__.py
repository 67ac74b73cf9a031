"""Small networks and organisms trained for one question, one folder each; here is the one tuple of all of them."""

from __future__ import annotations

from rote.toys import capacity, memorisation, organism_capacity
from rote.toys.toy import Toy

TOYS: tuple[Toy, ...] = (memorisation.TOY, capacity.TOY, organism_capacity.TOY)


def toy(name: str) -> Toy:
    """One toy by its name; KeyError with the names there are."""
    for found in TOYS:
        if found.name == name:
            return found
    raise KeyError(f"no toy is called {name!r}; there are {', '.join(t.name for t in TOYS)}")
