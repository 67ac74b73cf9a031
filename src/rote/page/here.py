"""What a section draws from: one experiment of a run, one relation at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from rote.catalog import ExperimentCard
from rote.page.document import Block, Part
from rote.page.view import Measured, View

Blocks: TypeAlias = Iterable[Block | Part | None]
Draw: TypeAlias = Callable[[View], tuple[Block | Part, ...]]


@dataclass(frozen=True, kw_only=True)
class Here:
    """One experiment of a run, and one of its relations: what its section draws from."""

    view: View
    card: ExperimentCard
    relation: str | None

    def rows(self, *statistics: str, **where: Any) -> tuple[Measured, ...]:
        """Its rows with one of these statistics and exactly these key fields."""
        return self.view.rows(self.card.name, *statistics, relation=self.relation, **where)

    def one(self, statistic: str, **where: Any) -> Measured | None:
        """The first such row, None where there is none."""
        return next(iter(self.rows(statistic, **where)), None)


def section_of(card: ExperimentCard) -> Callable[[Callable[[Here], Blocks]], Draw]:
    """Makes a section of what draws one relation: its blocks, or a titled part for each relation of several."""

    def made(draw: Callable[[Here], Blocks]) -> Draw:
        def blocks(view: View) -> tuple[Block | Part, ...]:
            drawn = []
            for relation in view.relations(card.name):
                here = Here(view=view, card=card, relation=relation)
                drawn.append((relation, tuple(block for block in draw(here) if block is not None)))
            if len(drawn) == 1:
                return drawn[0][1]
            return tuple(
                Part(
                    title=f"Relation: {relation}" if relation is not None else "All relations together",
                    blocks=tuple(b for b in found if not isinstance(b, Part)),
                )
                for relation, found in drawn
                if found
            )

        return blocks

    return made
