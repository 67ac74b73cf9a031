"""The best neuron of each class beside what the same search finds on permuted labels, and what it reads."""

from __future__ import annotations

from dataclasses import replace

from rote.experiments.class_neurons.card import CARD
from rote.page.document import Guide
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import CLASS, STACK, By, Line, lines
from rote.page.shapes import bars, figure, finding, pivot
from rote.page.view import Measured

_SEARCHES = {
    "in_sample": "chosen half",
    "best": "other half",
    "in_sample_permuted": "permuted labels, chosen half",
    "permuted": "permuted labels, other half",
}
_SEARCH = By(of="condition", words=_SEARCHES, colors=(3, 0, 5, 4))
_LOSSES = {
    "kept": "kept",
    "mean": "mean-ablated",
    "zero": "zero-ablated",
    "direct_effect": "direct effect of one SD (logits)",
}
_WEIGHTS = {
    "output": "its output weights",
    "readout": "the class's readout",
    "readout_difference": "that minus the others'",
    "auc_without_directions": "AUC without these three",
}
_TABLES = (
    ("Loss of each class without its best neuron", ("class_loss_nats", "direct_effect"), _LOSSES),
    (
        "Cosines of each best neuron's input weights with three directions",
        ("cosine", "auc_without_directions"),
        _WEIGHTS,
    ),
)


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    stacks = lines(here.rows("neuron_auc"), STACK)
    for stack in stacks:
        yield finding(_selection_effect(stack))
    yield figure(
        "ROC AUC of the best single neuron for each class. The search takes the highest of all neurons, so on the half "
        "it chose on it finds something in permuted labels too; only the other half counts. Whiskers: 95 % intervals "
        "over entities; for permuted labels, where one more permutation falls.",
        "Four bars for each class: the best neuron in and out of sample, on true and on permuted labels.",
        *(
            bars(
                s.name,
                lines(s.rows, _SEARCH),
                _class(s),
                value="AUC",
                span=(0, 1),
                guides=[Guide(value=0.5, label="chance")],
            )
            for s in stacks
        ),
    )
    for stack in stacks:
        adjusted = tuple(r for r in stack.rows if r.p_adjusted is not None)
        p = Line(name="p, adjusted", rows=adjusted, cell=lambda r: f"{r.p_adjusted:.2g}")
        caption = f"AUC of the best neuron of each class, on the half it was chosen on and on the other, {stack.name}"
        yield pivot(caption, (*lines(stack.rows, _SEARCH), p), _class(stack))
        for caption, statistics, words in _TABLES:
            rows = here.rows(*statistics, stack=stack.rows[0].stack)
            columns = lines(rows, By(of=lambda r: r.condition or r.statistic, words=words))
            yield pivot(f"{caption}, {stack.name}", columns, CLASS)


def _class(stack: Line) -> By:
    """Classes with the neuron that was found for each."""
    found = {r.cls: f"{r.cls} (L{r.layer}N{r.neuron})" for r in stack.rows if r.neuron is not None}
    return replace(CLASS, words={**found, **CLASS.words}, title="class and neuron")


def _selection_effect(stack: Line) -> str:
    """What the search finds and what it would find anyway, in one sentence."""
    means: dict[str | None, Measured] = {r.condition: r for r in stack.rows if r.cls is None}
    if not set(_SEARCHES) <= set(means):
        return ""
    seen, held, chance, null = (means[name] for name in _SEARCHES)
    return (
        f"In the {stack.name} the best neuron of a class has, on average over the classes, an AUC of {seen.number} on "
        f"the entities it was chosen on and {held.number} {held.interval} on the others. The same search finds "
        f"{chance.number} in permuted labels on the entities it chose on, and {null.number} {null.interval} on the "
        "others."
    )
