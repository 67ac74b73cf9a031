"""The line-up's place in the report: a section above the contents, and its sentences in the lead."""

from __future__ import annotations

from rote.page.document import Block, Judgement, Paragraph, Part, Section
from rote.page.view import View
from rote.records.outcomes import (
    CONSISTENT,
    INCONSISTENT,
    NOT_APPLICABLE,
    NOT_DECISIVE,
    Judged,
    Outcome,
    judged,
    lined_up,
)
from rote.report.lineup.figure import line_up_figure
from rote.report.lineup.tables import controls_values_table, matching_table, standing_table, verdict_table
from rote.report.lineup.words import hypothesis_title, listed, test_title

NAME = "lineup"
_ABOUT = (
    "Every hypothesis is judged by where the model stands among controls that were built to have its property, or "
    "not to have it, with the same inputs, width, entities and classes. The statistics and the controls were fixed "
    "before the run. A test that cannot tell its own controls apart decides nothing."
)


def line_up_section(view: View) -> Section | None:
    """The figure and its tables; None where there is no line-up to judge by."""
    relations = tuple(dict.fromkeys(o.relation for o in lined_up(view.outcomes)))
    if not relations:
        return None
    about: Block = Paragraph(text=_ABOUT, role="method")
    if len(relations) == 1:
        blocks: tuple[Block | Part, ...] = (about, *_blocks(view, relations[0]), *_left(view, relations))
    else:
        parts = (Part(title=f"Relation: {r}" if r else "All relations", blocks=_blocks(view, r)) for r in relations)
        blocks = (about, *parts, *_left(view, relations))
    return Section(name=NAME, title="The line-up: the model among controls of known mechanism", blocks=blocks)


def _left(view: View, relations: tuple[str | None, ...]) -> tuple[Block, ...]:
    """What was studied and not lined up, with the reason."""
    reasons = {(o.relation, o.reason): None for o in view.outcomes if o.relation not in relations}
    words = [f"{relation or 'all relations'}: {reason}" for relation, reason in reasons]
    return (Paragraph(text=f"Not judged: {'; '.join(words)}.", role="note"),) if words else ()


def _blocks(view: View, relation: str | None) -> tuple[Block, ...]:
    outcomes = tuple(o for o in view.outcomes if o.relation == relation)
    matching = matching_table(view, relation)
    return (
        line_up_figure((("", view),), relation),
        standing_table(outcomes),
        verdict_table(view, outcomes),
        controls_values_table(view, outcomes),
        *((matching,) if matching else ()),
    )


def judgements(outcomes: tuple[Outcome, ...]) -> tuple[Judgement, ...]:
    """For the lead: a sentence for each hypothesis that a test decided on, and one for the tests that could not."""
    outcomes = lined_up(outcomes)
    if not outcomes:
        return ()
    found = [
        Judgement(standing=j.standing, about=hypothesis_title(j.hypothesis), text=_sentence(j))
        for j in judged(outcomes)
        if any(o.decisive for o in j.outcomes)
    ]
    silent = [hypothesis_title(j.hypothesis) for j in judged(outcomes) if not any(o.decisive for o in j.outcomes)]
    if silent:
        found.append(Judgement(standing="undecided", about=listed(silent), text="no test could decide."))
    blind = _tests(outcomes, NOT_DECISIVE)
    if blind:
        found.append(
            Judgement(standing="cannot tell", about="Tests that decide nothing", text=_listed_or_all(blind, outcomes))
        )
    gone = _tests(outcomes, NOT_APPLICABLE)
    if gone:
        found.append(Judgement(standing="not applicable", about="Not to be asked here", text=f"{listed(gone)}."))
    return tuple(found)


def _listed_or_all(blind: list[str], outcomes: tuple[Outcome, ...]) -> str:
    n = len({test_title(o) for o in outcomes})
    if n > 1 and all(o.verdict == NOT_DECISIVE for o in outcomes):
        return f"all {n} of them; the reasons stand in the line-up below."
    return f"{listed(blind)}."


def _tests(outcomes: tuple[Outcome, ...], verdict: str) -> list[str]:
    """Tests by name; a test that is blind for one hypothesis only says for which."""
    by: dict[str, list[Outcome]] = {}
    for o in outcomes:
        by.setdefault(test_title(o), []).append(o)
    found = []
    for title, these in by.items():
        hit = [o for o in these if o.verdict == verdict]
        if hit and len(hit) == len(these):
            found.append(title)
        elif hit:
            found.append(f"{title} (on {listed([hypothesis_title(o.hypothesis).lower() for o in hit])})")
    return found


def _sentence(j: Judged) -> str:
    parts = [
        f"{words}: {listed(names)}"
        for verdict, words in (
            (CONSISTENT, "for it"),
            (INCONSISTENT, "against it"),
            ("in between", "between its controls"),
            ("unlike all controls", "unlike all controls"),
        )
        if (names := [test_title(o) for o in j.outcomes if o.verdict == verdict])
    ]
    return "; ".join(parts) + f" ({_counts(j)})."


def _counts(j: Judged) -> str:
    return f"{j.consistent} consistent, {j.inconsistent} inconsistent, {j.undecided} undecided"
