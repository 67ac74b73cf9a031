"""What class neurons still see once other entities' span is taken away, beside the same on Gaussian vectors."""

from __future__ import annotations

from rote.experiments.orthogonal_remainder.card import CARD
from rote.page.document import Paragraph
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import CLASS, STACK, By, lines
from rote.page.shapes import pivot

_COLUMNS = {
    "neuron_auc": "the neuron's activation",
    "real": "its input on the remainder",
    "gaussian": "the same on Gaussian vectors",
}


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    for stack in lines(here.rows(), STACK):
        columns = lines(stack.rows, By(of=lambda r: r.condition or r.statistic, words=_COLUMNS))
        yield pivot(f"AUC of the best neuron of each class, {stack.name}; 0.5 is chance", columns, CLASS)
        yield Paragraph(text=_note(here, stack.rows[0].stack), role="note")


def _note(here: Here, stack: str | None) -> str:
    """Whether the remainder says more than vectors without any structure would."""
    real, toy = (here.one("remainder_auc", stack=stack, condition=c, cls=None) for c in ("real", "gaussian"))
    start = "The authors withdrew this experiment, and no verdict here rests on it"
    if not (real and toy) or real.low is None or real.high is None or toy.low is None or toy.high is None:
        return f"{start}."
    words = "do not overlap" if real.low > toy.high or toy.low > real.high else "overlap"
    return (
        f"{start}: vectors without any structure but the same difference between the classes give {toy.number} "
        f"{toy.interval} where the model's give {real.number} {real.interval}; the intervals {words}."
    )
