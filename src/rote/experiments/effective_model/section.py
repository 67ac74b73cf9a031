"""What the distilled circuit recalls, beside the model and beside guesses."""

from __future__ import annotations

from rote.experiments.effective_model.card import CARD
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import By, lines
from rote.page.shapes import bars, figure, table
from rote.page.view import Measured

_STATISTICS = {
    "effective_accuracy": "accuracy",
    "effective_balanced_accuracy": "balanced accuracy",
    "effective_agreement": "agreement with the model",
    "effective_loss_nats": "loss",
}
_CONDITIONS = {
    "report": "entities of the report half",
    "selection": "entities of the selection half",
    "shared": "entities that share a part",
    "shuffled": "permuted MLP weights",
    "exact": "report half, exact input",
    "exact_selection": "selection half, exact input",
    "exact_all_names": "all names of the report half, exact input",
    "exact_one_token": "names of one token, exact input",
}
_BARS = {
    "accuracy_cls": "whole model",
    "report": "effective model",
    "selection": "… selection half",
    "exact": "… exact input",
    "shared": "… shared parts",
    "shuffled": "… permuted weights",
    "additive_accuracy_held_out": "linear on parts",
    "baseline_majority": "commonest class",
    "baseline_last": "last part",
}
_BAR = By(of=lambda r: r.condition if r.statistic == "effective_accuracy" else r.statistic, words=_BARS)
_KINDS = ("whole model", "effective model", "controls and guesses")


def _kind(row: Measured) -> str:
    own = ("report", "selection", "shared", "exact")
    return _KINDS[0 if row.statistic == "accuracy_cls" else 1 if row.condition in own else 2]


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    known = [
        row for statistic in ("accuracy_cls", "baseline_majority", "baseline_last") for row in _known(here, statistic)
    ]
    linear = here.view.rows("lookup_window", "additive_accuracy_held_out", relation=here.relation)
    rows = [*known, *(r for r in here.rows("effective_accuracy") if r.condition in _BARS), *linear]
    places = _BAR.places(rows)
    rows.sort(key=lambda r: places[_BAR.value(r)])
    kinds = lines(rows, By(of=_kind, words={kind: kind for kind in _KINDS}, colors=(4, 0, 1)))
    yield figure(
        "Accuracy of the effective model beside the whole model and beside guesses that need no look-up.",
        "; ".join(f"{_BAR.called(row)} {row.number}" for row in rows) + ".",
        bars("", kinds, _BAR, value="accuracy among the classes", stacked=True),
    )
    statistic, on = By(of="statistic", words=_STATISTICS), By(of="condition", words=_CONDITIONS, title="on")
    yield table("The effective model", here.rows(), statistic, on)


def _known(here: Here, statistic: str) -> tuple[Measured, ...]:
    """Of names with two parts where there are such, since the effective model has no others.

    Their rows are those of two tokens where none has more.
    """
    for condition in ("two_part", "two_token", "all"):
        where = {"cls": None, "relation": here.relation, "condition": condition}
        if found := here.view.rows("known_facts", statistic, **where):
            return found
    return ()
