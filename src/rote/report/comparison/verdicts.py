"""Verdicts of several runs: those that differ first, then the line-ups side by side."""

from __future__ import annotations

from collections.abc import Sequence

from rote.page.document import Column, Paragraph, Part, Section, Table
from rote.page.view import View
from rote.records.outcomes import Outcome, judged, lined_up
from rote.report.comparison.differences import difference, difference_text
from rote.report.lineup.figure import line_up_figure
from rote.report.lineup.values import line_up, row_of
from rote.report.lineup.words import hypothesis_title, test_title, verdict_words

Named = Sequence[tuple[str, View]]
Line = tuple[Outcome | None, ...]


def verdicts_that_differ(named: Named) -> tuple[tuple[str, ...], int]:
    """A sentence for each verdict that two runs or more hold and that is not the same in all, and how many are held."""
    shared = [line for line in _lines(named) if sum(o is not None for o in line) > 1]
    return tuple(_sentence(named, line) for line in shared if _changed(line)), len(shared)


def _sentence(named: Named, line: Line) -> str:
    about = _about(line)
    said = "; ".join(f"{name}: {verdict_words(o.verdict)}" for (name, _), o in zip(named, line, strict=True) if o)
    relation = f" for “{about.relation}”" if about.relation and _several(named) else ""
    return f"{hypothesis_title(about.hypothesis)}, {test_title(about)}{relation} – {said}."


def verdict_section(named: Named) -> Section:
    """Both tables and the figure; a sentence where nothing has been judged."""
    lines = _lines(named)
    title = "The line-ups side by side"
    if not lines:
        text = "Neither run has been judged." if len(named) == 2 else "No run has been judged."
        return Section(name="lineup", title=title, blocks=(Paragraph(text=text),))
    relations = tuple(dict.fromkeys(_about(line).relation for line in lines))
    standings, verdicts = _standings(named), _verdicts(named, lines)
    if len(relations) == 1:
        figure = line_up_figure(named, relations[0])
        return Section(name="lineup", title=title, blocks=(standings, figure, verdicts))
    parts = (
        Part(title=f"Relation: {r}" if r else "All relations", blocks=(line_up_figure(named, r),)) for r in relations
    )
    return Section(name="lineup", title=title, blocks=(standings, verdicts, *parts))


def _lines(named: Named) -> list[Line]:
    """The outcomes of all runs by what they are about; None where a run has none."""
    found = [{o.key: o for o in lined_up(view.outcomes)} for _, view in named]
    keys = dict.fromkeys(key for outcomes in found for key in outcomes)
    return [tuple(outcomes.get(key) for outcomes in found) for key in keys]


def _about(line: Line) -> Outcome:
    return next(o for o in line if o is not None)


def _changed(line: Line) -> bool:
    return len({o.verdict for o in line if o is not None}) > 1


def _several(named: Named) -> bool:
    return len({o.relation for _, view in named for o in lined_up(view.outcomes)}) > 1


def _relation(named: Named, relation: str | None) -> tuple[str, ...]:
    """The cell that tells relations apart, where there are several."""
    return (relation or "–",) if _several(named) else ()


def _standings(named: Named) -> Table:
    """How each hypothesis stands in each run, relation by relation."""
    found = []
    for _, view in named:
        relations = dict.fromkeys(o.relation for o in lined_up(view.outcomes))
        found.append(
            {(j.hypothesis, r): j for r in relations for j in judged(o for o in view.outcomes if o.relation == r)}
        )
    keys = dict.fromkeys(key for by in found for key in by)
    rows = []
    for name, relation in keys:
        cells = []
        for by in found:
            j = by.get((name, relation))
            counts = "" if j is None else f" ({j.consistent} for, {j.inconsistent} against, {j.undecided} undecided)"
            cells.append("not judged" if j is None else j.standing + counts)
        rows.append((hypothesis_title(name), *_relation(named, relation), *cells))
    titles = ("hypothesis", *(["relation"] if _several(named) else []), *(name for name, _ in named))
    return Table(caption="How each hypothesis stands", columns=tuple(Column(title=t) for t in titles), rows=tuple(rows))


def _verdicts(named: Named, lines: list[Line]) -> Table:
    """Verdicts that differ first; the model's value in each run and the differences to the first."""
    names = tuple(name for name, _ in named)
    ordered = sorted(lines, key=lambda line: not _changed(line))
    rows = []
    for line in ordered:
        about = _about(line)
        verdicts = ("–" if o is None else _verdict(v, o) for (_, v), o in zip(named, line, strict=True))
        rows.append(
            (
                hypothesis_title(about.hypothesis),
                test_title(about),
                *_relation(named, about.relation),
                "yes" if _changed(line) else "",
                *verdicts,
                *_model_differences(named, line),
            )
        )
    texts = ("hypothesis", "test", *(["relation"] if _several(named) else []), "differs", *names)
    return Table(
        caption="Verdicts, those that differ first, with the model's value in each run",
        columns=(
            *(Column(title=title) for title in texts),
            *(Column(title=f"{name} − {names[0]}", numeric=True) for name in names[1:]),
        ),
        rows=tuple(rows),
    )


def _verdict(view: View, outcome: Outcome) -> str:
    words = verdict_words(outcome.verdict)
    model = next((s for s in line_up(view, outcome) if s.role == "model"), None)
    return words if model is None else f"{words}: {model.full}"


def _model_differences(named: Named, line: Line) -> tuple[str, ...]:
    rows = [None if o is None else row_of(view, o, "effective") for (_, view), o in zip(named, line, strict=True)]
    first, judged_first = rows[0], line[0]
    if first is None or judged_first is None:
        return ("–",) * (len(rows) - 1)
    form = named[0][1].form(judged_first.experiment, judged_first.statistic)
    return tuple(
        "–" if row is None else difference_text(form, difference(first, row, (named[0][0], name)))
        for (name, _), row in zip(named[1:], rows[1:], strict=True)
    )
