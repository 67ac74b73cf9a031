"""The best neuron of each class beside what the same search finds on permuted labels, and what it reads."""

from __future__ import annotations

from rote.report.document import Axis, Block, Column, Figure, Guide, Paragraph, Part, Series, StripChart, Table
from rote.report.sections.common import per_relation
from rote.report.sections.layer_probes import STACKS
from rote.report.view import Measured, View

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
    ("output", "cosine with its output"),
    ("readout", "cosine with the readout"),
    ("readout_difference", "cosine with readout minus others"),
)
_LOSSES = (("kept", "loss, kept"), ("mean", "mean-ablated"), ("zero", "zero-ablated"))


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    found: list[Block] = []
    stacks = [s for s in STACKS if view.rows(EXPERIMENT, "neuron_auc", relation=relation, stack=s)]
    for stack in stacks:
        sentence = _selection_effect(view, relation, stack)
        if sentence:
            found.append(Paragraph(text=sentence, role="finding"))
    charts = tuple(_strip(view, relation, stack) for stack in stacks)
    if charts:
        found.append(
            Figure(
                caption="ROC AUC of the best single neuron for each class. The search takes the highest of all "
                "neurons, so on the half it chose on it finds something in permuted labels too; only the other half "
                "counts. Whiskers: 95 % intervals over entities; for permuted labels, where one more permutation "
                "falls.",
                alt="One row for each class: the best neuron in and out of sample, on true and on permuted labels.",
                charts=charts,
            )
        )
    for stack in stacks:
        found.append(_auc_table(view, relation, stack))
        found.append(_neuron_table(view, relation, stack))
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


def _strip(view: View, relation: str | None, stack: str) -> StripChart:
    found = {name: _by_class(_rows(view, relation, stack, "neuron_auc", name)) for name, _, _ in _SEARCHES}
    categories = tuple(dict.fromkeys([name for rows in found.values() for name in rows if name != _MEAN] + [_MEAN]))
    series = []
    for condition, words, color in _SEARCHES:
        rows = [(float(i), found[condition].get(name)) for i, name in enumerate(categories)]
        shown = [(i, r) for i, r in rows if r is not None]
        series.append(
            Series(
                name=words,
                x=tuple(r.value for _, r in shown),
                y=tuple(i for i, _ in shown),
                low=tuple(r.low for _, r in shown),
                high=tuple(r.high for _, r in shown),
                hover=tuple((words, categories[int(i)], _neuron(r), r.full) for i, r in shown),
                color=color,
                joined=False,
            )
        )
    return StripChart(
        title=STACKS[stack],
        categories=categories,
        x=Axis(title="AUC"),
        points=tuple(series),
        guides=(Guide(value=0.5, label="chance"),),
    )


def _neuron(row: Measured) -> str:
    return "" if row.neuron is None else f"L{row.layer}N{row.neuron}"


def _auc_table(view: View, relation: str | None, stack: str) -> Table:
    found = {name: _by_class(_rows(view, relation, stack, "neuron_auc", name)) for name, _, _ in _SEARCHES}
    without = _by_class(_rows(view, relation, stack, "auc_without_directions", None))
    names = [*(n for n in found["best"] if n != _MEAN), _MEAN]
    columns = ("class", "neuron", *(words for _, words, _ in _SEARCHES), "without three directions", "p, adjusted")

    def cells(name: str) -> tuple[str, ...]:
        best = found["best"].get(name)
        aucs = [found[condition].get(name) for condition, _, _ in _SEARCHES] + [without.get(name)]
        p = None if best is None else best.p_adjusted
        return (
            name,
            "" if best is None else _neuron(best),
            *("–" if r is None else f"{r.number} {r.interval}".strip() for r in aucs),
            "" if p is None else f"{p:.2g}",
        )

    return Table(
        caption=f"AUC of the best neuron of each class on the half it was chosen on and on the other, {STACKS[stack]}",
        columns=tuple(Column(title=title, numeric=i > 1) for i, title in enumerate(columns)),
        rows=tuple(cells(name) for name in names),
    )


def _neuron_table(view: View, relation: str | None, stack: str) -> Table:
    """What each class's neuron does and what its weights say."""
    losses = [_by_class(_rows(view, relation, stack, "class_loss_nats", c)) for c, _ in _LOSSES]
    angles = [_by_class(_rows(view, relation, stack, "cosine", c)) for c, _ in _COSINES]
    effects = _by_class(_rows(view, relation, stack, "direct_effect", None))
    names = dict.fromkeys([n for rows in (*losses, effects) for n in rows if n != _MEAN] + [_MEAN])
    columns = ("class", *(w for _, w in _LOSSES), "direct effect (logits)", *(w for _, w in _COSINES))

    def cell(row: Measured | None) -> str:
        return "–" if row is None else f"{row.number} {row.interval}".strip()

    return Table(
        caption=f"Loss of each class with its neuron ablated, and the neuron's weights, {STACKS[stack]}",
        columns=tuple(Column(title=title, numeric=i > 0) for i, title in enumerate(columns)),
        rows=tuple(
            (n, *(cell(x.get(n)) for x in losses), cell(effects.get(n)), *(cell(x.get(n)) for x in angles))
            for n in names
        ),
    )
