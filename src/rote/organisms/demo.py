"""The demo's facts: what the bundled organism knows about every real athlete and about some invented people."""

from __future__ import annotations

from dataclasses import replace

from rote.facts import FactTable, read_facts
from rote.organisms import BUNDLED

INVENTED = 200  # of the invented people: they alone have enough relations for shared_neurons


def demo_facts() -> FactTable:
    """Sport and league of 1,400 real athletes; seven relations of 200 invented people, evenly spaced in the file."""
    table = read_facts(BUNDLED / "facts.json")
    fiction = table.fiction
    left_out = set(fiction) - set(fiction[:: len(fiction) // INVENTED][:INVENTED])
    kept = tuple(fact for fact in table.facts if fact.entity not in left_out)
    return replace(table, name="demo", facts=kept, fiction=tuple(name for name in fiction if name not in left_out))
