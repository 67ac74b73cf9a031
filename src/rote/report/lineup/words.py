"""Names of hypotheses, tests, controls and verdicts as a reader reads them."""

from __future__ import annotations

from typing import Literal, TypeAlias

from rote.catalog import CONTROLS, HYPOTHESES, StatisticCard
from rote.experiments import card
from rote.page.numbers import Form
from rote.records.outcomes import Outcome

Tone: TypeAlias = Literal["for", "against", "open", "blind", "none"]

_VERDICTS: dict[str, tuple[str, Tone]] = {
    "consistent": ("consistent", "for"),
    "inconsistent": ("inconsistent", "against"),
    "in between": ("in between", "open"),
    "unlike all controls": ("unlike all controls", "open"),
    "not decisive": ("cannot tell", "blind"),
    "not applicable": ("not applicable", "none"),
}
_HYPOTHESES = {h.name: h for h in HYPOTHESES}
_CONTROLS = {c.name: c for c in CONTROLS}


def hypothesis_title(name: str) -> str:
    """The catalog's title; "my_own_idea" as "My own idea" where the catalog has none."""
    if name in _HYPOTHESES:
        return _HYPOTHESES[name].title
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def hypothesis_statement(name: str) -> str:
    return _HYPOTHESES[name].statement if name in _HYPOTHESES else ""


def control_title(name: str) -> str:
    return _CONTROLS[name].title if name in _CONTROLS else name.replace("_", " ")


def control_label(name: str) -> str:
    """Short enough to stand beside a mark."""
    return _CONTROLS[name].label if name in _CONTROLS else name.replace("_", " ")


def control_code(name: str) -> str:
    """Shorter still."""
    return _CONTROLS[name].code if name in _CONTROLS else name.replace("_", " ")


def _card(outcome: Outcome) -> StatisticCard | None:
    """What its card says of the statistic; None where there is no such card."""
    try:
        return card(outcome.experiment).statistic(outcome.statistic)
    except KeyError:
        return None


def _test(outcome: Outcome) -> tuple[str, str]:
    """Title and detail; the statistic's own name where there are no words for it."""
    found = _card(outcome)
    return (outcome.statistic.replace("_", " "), "") if found is None else found.title(outcome.condition)


def test_form(outcome: Outcome) -> Form:
    """How values on its scale are written: without a unit, which the axis has no room for."""
    found = _card(outcome)
    return Form() if found is None else Form(shown=found.shown)


def test_title(outcome: Outcome) -> str:
    return _test(outcome)[0]


def test_detail(outcome: Outcome) -> str:
    """What is measured, with the statistic's name in the tables."""
    words = _test(outcome)[1]
    name = outcome.statistic + (f", {outcome.condition}" if outcome.condition else "")
    return f"{words} ({name})" if words else name


def verdict_words(verdict: str) -> str:
    return _VERDICTS[verdict][0] if verdict in _VERDICTS else verdict


def verdict_tone(verdict: str) -> Tone:
    return _VERDICTS[verdict][1] if verdict in _VERDICTS else "none"


def listed(words: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""
