"""Outcomes as a terminal shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from rote.catalog import hypothesis
from rote.errors import printable
from rote.judge.overall import Standing, overall
from rote.judge.verdict import Numbers
from rote.records.outcomes import Outcome, Position

_STYLES = {"consistent": "green", "inconsistent": "red", "survives": "green", "contradicted": "red"}


def renderables(outcomes: Iterable[Outcome]) -> Iterator[Table | Text]:
    """One table for each relation: a hypothesis's standing, and below it every test with its reason."""
    outcomes = list(outcomes)
    standings = overall(outcomes)
    for relation in dict.fromkeys(standing.relation for standing in standings):
        table = Table(title=Text(printable(relation or "")), expand=True, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for header in ("hypothesis, test", "verdict", "t", "effective"):
            table.add_column(header, no_wrap=True)  # a terminal's narrowness is the reason's to bear
        table.add_column("reason")
        for standing in standings:
            if standing.relation == relation:
                _rows(table, standing, outcomes)
        yield table
    if not outcomes:
        yield Text("There is nothing to judge: the run has no rows of any relation.")


def _rows(table: Table, standing: Standing, outcomes: list[Outcome]) -> None:
    name = Text(hypothesis(standing.hypothesis).title, style="bold")
    word = Text(standing.word, style=f"bold {_STYLES.get(standing.word, '')}".strip())
    table.add_row(name, word, "", "", Text(printable(standing.sentence)))
    for outcome in outcomes:
        if (outcome.relation, outcome.hypothesis) == (standing.relation, standing.hypothesis):
            t = "" if outcome.t is None else f"{outcome.t:.2f}"
            verdict = Text(outcome.verdict, style=_STYLES.get(outcome.verdict, "dim"))
            table.add_row(
                Text(printable(f"  {outcome.statistic}")), verdict, t, _value(outcome), Text(printable(outcome.reason))
            )
    table.add_section()


def _value(outcome: Outcome) -> str:
    if outcome.value is None:
        return ""
    model = Position(name="effective", value=outcome.value, low=outcome.value_low, high=outcome.value_high)
    # in the digits of the whole cell, as in the reason
    number = Numbers.of([model, *outcome.with_controls, *outcome.without_controls]).number
    return number(outcome.value)
