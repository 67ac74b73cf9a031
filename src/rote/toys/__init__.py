"""Small networks and organisms trained for one question, one folder each; here is the one tuple of all of them."""

from __future__ import annotations

from importlib import import_module

from rote.toys.toy import Toy

_ROOMS = (
    "memorisation",
    "capacity",
    "organism_capacity",
)
TOYS: tuple[Toy, ...] = tuple(import_module(f"rote.toys.{room}").TOY for room in _ROOMS)


def toy(name: str) -> Toy:
    """One toy by its name; KeyError with the names there are."""
    for found in TOYS:
        if found.name == name:
            return found
    raise KeyError(f"no toy is called {name!r}; there are {', '.join(t.name for t in TOYS)}")
