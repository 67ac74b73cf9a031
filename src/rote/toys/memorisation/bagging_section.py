"""Neurons as voters: subsets of them, the correlation of their errors, and the same with independent neurons."""

from __future__ import annotations

from typing import Any

from rote.page.document import Axis, Block, Column, Figure, Guide, Part, Table, XYChart
from rote.page.shapes import percent_axis, series
from rote.page.view import Measured, View
from rote.toys.memorisation.lead import TASK_WORDS, first_configuration
from rote.toys.memorisation.section import NETWORKS, configuration, task

EXPERIMENT = "bagging"
_KINDS = ((None, "the network's neurons", 0), ("independent", "as strong, but independent", 1))


def blocks(view: View) -> tuple[Block | Part, ...]:
    return (*_subsets(view), *_votes(view))


def _subsets(view: View) -> tuple[Figure, ...]:
    first = first_configuration(view)

    def rows(name: str, source: str | None) -> list[Measured]:
        found = view.rows(EXPERIMENT, "subset_accuracy", condition=name, source=source)
        return [r for r in found if {k: v for k, v in r.parameters.items() if k != "share"} == first]

    charts = []
    for name, words in TASK_WORDS.items():
        lines = tuple(
            series(
                rows(name, source),
                name=label,
                x=lambda r: float(r.parameters["share"]),
                label=lambda r: f"{100 * r.parameters['share']:.0f} % of the neurons",
                color=color,
                style="dash" if source else "solid",
            )
            for source, label, color in _KINDS
            if rows(name, source)
        )
        if lines:
            charts.append(
                XYChart(
                    title=words,
                    x=Axis(title="share of the neurons", low=-0.02, high=1.04, percent=True),
                    y=percent_axis("accuracy on seen facts") if name else Axis(title=""),
                    series=lines,
                    guides=(Guide(value=0.5, label="chance"),),
                )
            )
    if not charts:
        return ()
    caption = (
        "Accuracy of the summed contributions of random neurons, in the first configuration, and of neurons that are "
        "each as strong but independent of the others given the class. Where the network's line ends above the other, "
        "its neurons make up for each other's errors, as votes that are merely added up do not."
    )
    return (Figure(caption=caption, alt="Accuracy rises with the share of neurons.", charts=tuple(charts)),)


def _votes(view: View) -> tuple[Table, ...]:
    rows = view.rows(EXPERIMENT, "vote_accuracy")
    if not rows:
        return ()

    def cell(row: Measured, statistic: str, source: str | None, **more: Any) -> str:
        where = {"condition": row.condition, "source": source, "parameters": {**row.parameters, **more}}
        found = view.one(EXPERIMENT, statistic, **where)
        return "–" if found is None else f"{found.number} {found.interval}".strip()

    titles = (
        "one vote",
        "correlation of errors",
        "of independent ones",
        "variance of wrong votes",
        "of independent ones",
        "majority of votes",
        "of independent ones",
        "sum of all neurons",
        "of independent ones",
        "n",
    )
    return (
        Table(
            caption="Votes of single neurons on the seen facts",
            columns=(
                Column(title=NETWORKS),
                Column(title="learned"),
                *(Column(title=title, numeric=True) for title in titles),
            ),
            rows=tuple(
                (
                    configuration(row),
                    task(row),
                    f"{row.number} {row.interval}".strip(),
                    *(
                        cell(row, statistic, source, **more)
                        for statistic, more in (
                            ("error_correlation", {}),
                            ("vote_count_variance", {}),
                            ("majority_accuracy", {}),
                            ("subset_accuracy", {"share": 1.0}),
                        )
                        for source in (None, "independent")
                    ),
                    row.count,
                )
                for row in rows
            ),
        ),
    )
