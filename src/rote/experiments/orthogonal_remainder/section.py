"""What class neurons still see once other entities' span is taken away, beside the same on Gaussian vectors."""

from __future__ import annotations

from rote.page.document import Block, Column, Paragraph, Part, Table
from rote.page.shapes import STACKS, per_relation, shared_n
from rote.page.view import Measured, View

EXPERIMENT = "orthogonal_remainder"
_MEAN = "mean over the classes"
_COLUMNS = (
    ("neuron_auc", None, "the neuron's activation"),
    ("remainder_auc", "real", "its input on the remainder"),
    ("remainder_auc", "gaussian", "the same on Gaussian vectors"),
)


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    return tuple(block for stack in STACKS for block in _of_stack(view, relation, stack))


def _of_stack(view: View, relation: str | None, stack: str) -> tuple[Block, ...]:
    """The controls of a line-up are not shown here: no verdict rests on this experiment."""
    columns = [
        (words, {row.cls or _MEAN: row for row in rows})
        for statistic, condition, words in _COLUMNS
        if (rows := view.rows(EXPERIMENT, statistic, relation=relation, stack=stack, condition=condition))
    ]
    if not columns:
        return ()
    every = [row for _, rows in columns for row in rows.values()]
    names = [*dict.fromkeys(row.cls for row in every if row.cls is not None), _MEAN]
    more, cell = shared_n(every)
    table = Table(
        caption=f"AUC of the best neuron of each class, {STACKS[stack]}; 0.5 is chance{more}",
        columns=(Column(title="class"), *(Column(title=words, numeric=True) for words, _ in columns)),
        rows=tuple((name, *(cell(rows.get(name)) for _, rows in columns)) for name in names),
    )
    note = Paragraph(text=_note(dict(columns)), role="note")
    return (table, note)


def _note(columns: dict[str, dict[str, Measured]]) -> str:
    """Whether the remainder says more than vectors without any structure would."""
    real, toy = (columns.get(words, {}).get(_MEAN) for _, _, words in _COLUMNS[1:])
    start = "The authors withdrew this experiment, and no verdict here rests on it"
    if real is None or toy is None or None in (real.low, real.high, toy.low, toy.high):
        return f"{start}."
    assert real.low is not None and real.high is not None and toy.low is not None and toy.high is not None
    apart = real.low > toy.high or toy.low > real.high
    words = "do not overlap" if apart else "overlap"
    return (
        f"{start}: vectors without any structure but the same difference between the classes give {toy.number} "
        f"{toy.interval} where the model's give {real.number} {real.interval}; the intervals {words}."
    )
