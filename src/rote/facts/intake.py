"""Raw rows taken in one by one: counted to the end, kept up to a limit, their problems counted by kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rote.errors import FactsError
from rote.facts.tally import Tally

MAX_FACTS = 1_000_000
_MOST_BROKEN = 20  # lines of a file that are shown as broken; the others are counted


@dataclass(frozen=True, kw_only=True, slots=True)
class RawFact:
    """One row as a reader found it; `relation` None = the layout has no relation names.

    `aliases` are right answers beside the attribute, `cut` the length of the name's first part. `problem` says why the
    row is no fact. `broken` marks a line that is no row at all: `problem` is then a whole sentence, and the table is
    refused. `gap` marks an empty cell of a table with one column per relation.
    """

    entity: str
    relation: str | None
    attribute: str
    where: str
    aliases: tuple[str, ...] = ()
    cut: int | None = None
    template: str | None = None
    prefix: str | None = None
    fiction: bool = False
    problem: str = ""
    gap: bool = False
    broken: bool = False

    @property
    def reason(self) -> str:
        """Why this row is no fact; "" when it is one."""
        if self.problem:
            return self.problem
        if self.relation == "":
            return "the relation is empty"
        if not self.entity:
            return "the entity is empty"
        return "" if self.attribute else "the attribute is empty"


def broken(sentence: str) -> RawFact:
    """A line that is no row, with the whole sentence about it."""
    return RawFact(entity="", relation=None, attribute="", where="", problem=sentence, broken=True)


@dataclass(kw_only=True)
class Intake:
    """What was taken in.

    Attributes:
        usable, unusable: kept rows, at most the limit of each.
        n_rows, n_usable: of all rows, kept or not.
        tally: problems of rows that are no facts, gaps not counted.
        every: the same with gaps.
        problems: what makes the whole table unusable, each a sentence.
    """

    usable: list[RawFact] = field(default_factory=list)
    unusable: list[RawFact] = field(default_factory=list)
    n_rows: int = 0
    n_usable: int = 0
    tally: Tally = field(default_factory=Tally)
    every: Tally = field(default_factory=Tally)
    problems: list[str] = field(default_factory=list)

    def nothing(self, source: str) -> list[str]:
        """The sentences for a table without one usable row."""
        if not self.n_rows:
            return [f"{source} holds no rows; expected at least one fact below the column names"]
        return [
            f"none of the {self.n_rows:,} rows of {source} is a usable fact; correct them:",
            *self.every.lines(10),
        ]


def take_in(rows: Iterable[RawFact], source: str, limit: int = MAX_FACTS) -> Intake:
    """Read every row once, in bounded memory: beyond `limit` facts they are only counted and checked."""
    intake = Intake()
    lines: list[str] = []
    n_broken = 0
    try:
        for row in rows:
            if row.broken:
                n_broken += 1
                if n_broken <= _MOST_BROKEN:
                    lines.append(row.problem)
                continue
            _take(intake, row, limit)
    except FactsError as error:  # the reader cannot go on
        lines += error.problems
    rest = n_broken - _MOST_BROKEN
    if rest > 0:
        lines.append(f"and {rest:,} more problems of this kind")
    intake.problems += lines
    if intake.n_usable > limit:
        intake.problems.append(
            f"{source} holds {intake.n_usable:,} facts in {intake.n_rows:,} rows; at most {limit:,} are taken: "
            "give a sample of them, or raise the limit with --max-facts (max_facts=…)"
        )
    return intake


def _take(intake: Intake, row: RawFact, limit: int) -> None:
    intake.n_rows += 1
    reason = row.reason
    if not reason:
        intake.n_usable += 1
        if intake.n_usable <= limit:
            intake.usable.append(row)
        elif intake.n_usable == limit + 1:
            intake.usable.clear()  # the table is refused, so nothing needs them any more
        return
    intake.every.add(row.where, reason)
    if not row.gap:
        intake.tally.add(row.where, reason)
    if len(intake.unusable) < limit:
        intake.unusable.append(row)
