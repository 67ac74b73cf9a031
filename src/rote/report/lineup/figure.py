"""The line-up as typed content: a row for each hypothesis and test, a strip of marks for each run."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rote.page import numbers
from rote.page.document import LineUp, Mark, Strip, StripGroup, StripRow
from rote.page.numbers import PLAIN
from rote.page.view import View
from rote.records.outcomes import NOT_APPLICABLE, NOT_DECISIVE, Judged, Outcome, judged, lined_up
from rote.report.lineup.values import Stood, line_up, title_of
from rote.report.lineup.words import (
    control_code,
    control_label,
    control_title,
    hypothesis_statement,
    hypothesis_title,
    test_detail,
    test_form,
    test_title,
    verdict_tone,
    verdict_words,
)

_LEGEND = (
    ("model", "the model and its interval"),
    ("with", "controls with the property"),
    ("without", "controls without it"),
    ("other", "other controls"),
    ("trained", "control trained by gradient"),
    ("unmatched", "hollow: unmatched, no reference"),
)
_CAPTION = (
    "Each row is one test with a scale of its own. The vertical band is the model; every mark is the mean of a "
    "control's members, its line the 95 % interval for one more member. A test is decisive only if no control with "
    "the property overlaps one without it, and if planted worlds certified it; grey rows cannot tell. A line that "
    "reaches an edge, and a triangle there, go on beyond it."
)
# how far beyond the references' own span their intervals and the model may stretch the scale
_STRETCH = 0.7
_PAD = 0.06


def line_up_figure(runs: Sequence[tuple[str, View]], relation: str | None) -> LineUp:
    """The figure of one or several runs; `runs` holds (name, run), the relation's verdicts are shown."""
    found = [{o.key: o for o in lined_up(view.outcomes) if o.relation == relation} for _, view in runs]
    keys = dict.fromkeys(key for outcomes in found for key in outcomes)
    hypotheses = dict.fromkeys(key[0] for key in keys)
    standing = [{j.hypothesis: j for j in judged(outcomes.values())} for outcomes in found]
    stood = [{o.key: line_up(v, o) for o in outcomes.values()} for outcomes, (_, v) in zip(found, runs, strict=True)]
    groups = tuple(
        StripGroup(
            title=hypothesis_title(name),
            statement=hypothesis_statement(name),
            rows=tuple(
                _row([o.get(key) for o in found], [s.get(key, ()) for s in stood]) for key in keys if key[0] == name
            ),
            summaries=tuple(_summary(j.get(name)) for j in standing),
        )
        for name in hypotheses
    )
    every = [s for by in stood for line in by.values() for s in line]
    roles = {s.role for s in every} | ({"unmatched"} if any(not s.matched for s in every) else set())
    drawn = {s.stack for s in every if s.role in ("other", "trained")}
    others = [c for _, view in runs for c in view.controls if c in drawn]
    return LineUp(
        caption=_CAPTION,
        runs=tuple(name for name, _ in runs) if len(runs) > 1 else (),
        groups=groups,
        legend=tuple((role, words) for role, words in _LEGEND if role in roles),
        codes=tuple((control_code(c), control_title(c)) for c in dict.fromkeys(others)),
    )


def _summary(judged_: Judged | None) -> str:
    if judged_ is None:
        return "not judged"
    return (
        f"{judged_.standing}: {judged_.consistent} for, {judged_.inconsistent} against, {judged_.undecided} undecided"
    )


def _row(outcomes: Sequence[Outcome | None], stood: Sequence[tuple[Stood, ...]]) -> StripRow:
    about = next(o for o in outcomes if o is not None)
    low, high = _scale([s for line in stood for s in line])
    return StripRow(
        title=test_title(about),
        detail=test_detail(about),
        low=low,
        high=high,
        low_text=_end(about, low, high, low),
        high_text=_end(about, low, high, high),
        strips=tuple(_strip(o, line) for o, line in zip(outcomes, stood, strict=True)),
    )


def _end(outcome: Outcome, low: float, high: float, value: float) -> str:
    return numbers.number(test_form(outcome), value, low, high)


def _scale(stood: Sequence[Stood]) -> tuple[float, float]:
    """All references and the model, other controls nearby, and as much of the intervals as leaves values apart."""
    core = [s for s in stood if s.role in ("model", "with", "without")] or list(stood)
    if not core:
        return 0.0, 1.0
    low, high = min(s.value for s in core), max(s.value for s in core)
    halves = [(s.high - s.low) / 2 for s in core if s.low is not None and s.high is not None]
    reach = max(_STRETCH * (high - low), 2 * median(halves) if halves else 0.0) or max(abs(high), 1e-9)
    ends = [e for s in core for e in (s.low, s.high) if e is not None]
    near = [s.value for s in stood if low - reach <= s.value <= high + reach]
    bottom = min(*near, max(min([low, *ends]), low - reach))
    top = max(*near, min(max([high, *ends]), high + reach))
    pad = _PAD * (top - bottom) or 0.5 * reach
    return bottom - pad, top + pad


def _strip(outcome: Outcome | None, stood: tuple[Stood, ...]) -> Strip:
    if outcome is None:
        return Strip(verdict="not in this run", tone="none", note="", alt="No such verdict in this run.", marks=())
    words = verdict_words(outcome.verdict)
    said = "; ".join(_said(s) for s in stood if s.role in ("model", "with", "without"))
    return Strip(
        verdict=words,
        tone=verdict_tone(outcome.verdict),
        note=_note(outcome),
        alt=f"{test_title(outcome)}: {words}. {said or 'No values'}.",
        marks=tuple(
            Mark(
                name="model" if s.role == "model" else _name(s),
                role=s.role,
                value=s.value,
                low=s.low,
                high=s.high,
                hover=f"{title_of(s)}: {s.full}",
                unmatched=not s.matched,
            )
            for s in stood
        ),
    )


def _said(stood: Stood) -> str:
    where = {"with": " (with the property)", "without": " (without it)"}.get(stood.role, "")
    return f"{title_of(stood)}{where} {stood.full}"


def _name(stood: Stood) -> str:
    """References by name, the others by their short code; what is unmatched says so."""
    name = control_label(stood.stack) if stood.role in ("with", "without") else control_code(stood.stack)
    return name if stood.matched else f"{name} unmatched"


def _note(outcome: Outcome) -> str:
    if outcome.verdict == NOT_DECISIVE:
        return "its own controls overlap" if _overlap(outcome) else outcome.reason.split(";")[0]
    if outcome.verdict == NOT_APPLICABLE:
        return outcome.reason
    return "" if outcome.t is None else f"t = {numbers.number(PLAIN, outcome.t)}"


def _overlap(outcome: Outcome) -> bool:
    """Whether a control with the property and one without could both yield one value."""
    return any(
        with_.low <= without.high and without.low <= with_.high
        for with_ in outcome.with_controls
        for without in outcome.without_controls
        if with_.low is not None and with_.high is not None and without.low is not None and without.high is not None
    )
