"""The best neuron of each class beside what the same search finds on permuted labels, and what it reads."""

from __future__ import annotations

from rote.page.document import Axis, BarChart, Block, Column, Figure, Guide, Paragraph, Part, Series, Table
from rote.page.shapes import STACKS, per_relation
from rote.page.view import Measured, View

EXPERIMENT = "class_neurons"
_MEAN = "mean over the classes"
# (condition, words, colour)
_SEARCHES = (
    ("in_sample", "chosen half", 3),
    ("best", "other half", 0),
    ("in_sample_permuted", "permuted labels, chosen half", 5),
    ("permuted", "permuted labels, other half", 4),
)
_COSINES = (
    ("output", "its output weights"),
    ("readout", "the class's readout"),
    ("readout_difference", "that minus the others'"),
)
_LOSSES = (("kept", "kept"), ("mean", "mean-ablated"), ("zero", "zero-ablated"))


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    found: list[Block] = []
    stacks = [s for s in STACKS if view.rows(EXPERIMENT, "neuron_auc", relation=relation, stack=s)]
    for stack in stacks:
        sentence = _selection_effect(view, relation, stack)
        if sentence:
            found.append(Paragraph(text=sentence, role="finding"))
    charts = tuple(_bars(view, relation, stack) for stack in stacks)
    if charts:
        found.append(
            Figure(
                caption="ROC AUC of the best single neuron for each class. The search takes the highest of all "
                "neurons, so on the half it chose on it finds something in permuted labels too; only the other half "
                "counts. Whiskers: 95 % intervals over entities; for permuted labels, where one more permutation "
                "falls.",
                alt="Four bars for each class: the best neuron in and out of sample, on true and on permuted labels.",
                charts=charts,
            )
        )
    for stack in stacks:
        found.append(_auc_table(view, relation, stack))
        found.append(_loss_table(view, relation, stack))
        found.append(_weight_table(view, relation, stack))
    return tuple(found)


def _rows(view: View, relation: str | None, stack: str, statistic: str, condition: str | None) -> tuple[Measured, ...]:
    return view.rows(EXPERIMENT, statistic, relation=relation, stack=stack, condition=condition)


def _by_class(rows: tuple[Measured, ...]) -> dict[str, Measured]:
    return {row.cls if row.cls is not None else _MEAN: row for row in rows}


def _selection_effect(view: View, relation: str | None, stack: str) -> str:
    """What the search finds and what it would find anyway, in one sentence."""
    every = {name: _by_class(_rows(view, relation, stack, "neuron_auc", name)).get(_MEAN) for name, _, _ in _SEARCHES}
    seen, held, chance, null = (every[name] for name, _, _ in _SEARCHES)
    if seen is None or held is None or chance is None or null is None:
        return ""
    return (
        f"In the {STACKS[stack]} the best neuron of a class has, on average over the classes, an AUC of {seen.number} "
        f"on the entities it was chosen on and {held.number} {held.interval} on the others. The same search finds "
        f"{chance.number} in permuted labels on the entities it chose on, and {null.number} {null.interval} on the "
        "others."
    )


def _bars(view: View, relation: str | None, stack: str) -> BarChart:
    found = {name: _by_class(_rows(view, relation, stack, "neuron_auc", name)) for name, _, _ in _SEARCHES}
    categories = tuple(dict.fromkeys([name for rows in found.values() for name in rows if name != _MEAN] + [_MEAN]))
    series = []
    for condition, words, color in _SEARCHES:
        rows = [found[condition].get(name) for name in categories]
        series.append(
            Series(
                name=words,
                y=tuple(None if r is None else r.value for r in rows),
                low=tuple(None if r is None else r.low for r in rows),
                high=tuple(None if r is None else r.high for r in rows),
                hover=tuple(
                    () if r is None else tuple(part for part in (words, name, _neuron(r), r.full) if part)
                    for name, r in zip(categories, rows, strict=True)
                ),
                color=color,
            )
        )
    return BarChart(
        title=STACKS[stack],
        categories=categories,
        value=Axis(title="AUC", low=0.0, high=1.0),
        series=tuple(series),
        guides=(Guide(value=0.5, label="chance"),),
    )


def _neuron(row: Measured) -> str:
    return "" if row.neuron is None else f"L{row.layer}N{row.neuron}"


def _cell(row: Measured | None) -> str:
    return "–" if row is None else f"{row.number.removesuffix(' nats')} {row.interval}".strip()


def _auc_table(view: View, relation: str | None, stack: str) -> Table:
    found = [_by_class(_rows(view, relation, stack, "neuron_auc", name)) for name, _, _ in _SEARCHES]
    best = found[1]
    columns = ("class", "neuron", *(words for _, words, _ in _SEARCHES), "p, adjusted")

    def cells(name: str) -> tuple[str, ...]:
        row = best.get(name)
        p = "" if row is None or row.p_adjusted is None else f"{row.p_adjusted:.2g}"
        return name, "" if row is None else _neuron(row), *(_cell(rows.get(name)) for rows in found), p

    return _table(
        f"AUC of the best neuron of each class, on the half it was chosen on and on the other, {STACKS[stack]}",
        columns,
        [cells(name) for name in _names(best)],
        numeric_from=2,
    )


def _loss_table(view: View, relation: str | None, stack: str) -> Table:
    losses = [_by_class(_rows(view, relation, stack, "class_loss_nats", c)) for c, _ in _LOSSES]
    effects = _by_class(_rows(view, relation, stack, "direct_effect", None))
    rows = [(n, *(_cell(x.get(n)) for x in (*losses, effects))) for n in _names(effects)]
    columns = ("class", *(words for _, words in _LOSSES), "direct effect of one SD (logits)")
    return _table(f"Loss of each class (nats) without its best neuron, {STACKS[stack]}", columns, rows, numeric_from=1)


def _weight_table(view: View, relation: str | None, stack: str) -> Table:
    angles = [_by_class(_rows(view, relation, stack, "cosine", c)) for c, _ in _COSINES]
    without = _by_class(_rows(view, relation, stack, "auc_without_directions", None))
    rows = [(n, *(_cell(x.get(n)) for x in (*angles, without))) for n in _names(without)]
    columns = ("class", *(words for _, words in _COSINES), "AUC without these three")
    caption = f"Cosines of each best neuron's input weights with three directions, {STACKS[stack]}"
    return _table(caption, columns, rows, numeric_from=1)


def _names(rows: dict[str, Measured]) -> list[str]:
    return [*(name for name in rows if name != _MEAN), _MEAN]


def _table(caption: str, columns: tuple[str, ...], rows: list[tuple[str, ...]], *, numeric_from: int) -> Table:
    titles = tuple(Column(title=title, numeric=i >= numeric_from) for i, title in enumerate(columns))
    return Table(caption=caption, columns=titles, rows=tuple(rows))
