"""The sections on single neurons and on what only both names bring, on rows that the experiments wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from measured import bare
from synthetic_run import BUNDLED, PYTHIA, write_run

from rote.experiments import card
from rote.experiments.class_neurons import section as class_neurons
from rote.experiments.nonlinear_excess import section as nonlinear_excess
from rote.experiments.orthogonal_remainder import section as orthogonal_remainder
from rote.experiments.shared_neurons import section as shared_neurons
from rote.page.document import Figure, Paragraph, Table
from rote.page.view import Measured, View
from rote.records import Record, Row, RunFolder
from rote.report import load_view, render_text

SECTIONS = {
    "class_neurons": class_neurons,
    "shared_neurons": shared_neurons,
    "nonlinear_excess": nonlinear_excess,
    "orthogonal_remainder": orthogonal_remainder,
}


@pytest.fixture(scope="module")
def view(runs: dict[str, Path]) -> View:
    return load_view(RunFolder.read_only(runs["full"]))


def changed(folder: Path, experiment: str, change: Callable[[Row], tuple[Row, ...]]) -> View:
    """A run of one experiment, each of its rows changed, left out or joined by others."""
    found = BUNDLED.record(experiment)
    rows = tuple(row for each in found.rows for row in change(each))
    return load_view(RunFolder.read_only(write_run(folder, BUNDLED, {experiment: replace(found, rows=rows)})))


def cell(row: Measured | None) -> str:
    assert row is not None
    return f"{row.number} {row.interval}".strip()


def tables(view: View, experiment: str) -> dict[str, Table]:
    return {block.caption: block for block in SECTIONS[experiment].blocks(view) if isinstance(block, Table)}


def table(view: View, experiment: str, start: str) -> Table:
    (found,) = [t for caption, t in tables(view, experiment).items() if caption.startswith(start)]
    return found


# class_neurons


def test_the_selection_effect_is_said_first_and_in_numbers(view: View) -> None:
    def auc(condition: str) -> Measured:
        found = view.one("class_neurons", "neuron_auc", stack="effective", condition=condition, cls=None)
        assert found is not None
        return found

    seen, held, chance, null = map(auc, ("in_sample", "best", "in_sample_permuted", "permuted"))
    _, found, *_ = class_neurons.blocks(view)  # after that of the whole model
    assert isinstance(found, Paragraph) and found.text == (
        f"In the effective model the best neuron of a class has, on average over the classes, an AUC of {seen.number} "
        f"on the entities it was chosen on and {cell(held)} on the others. The same search finds {chance.number} in "
        f"permuted labels on the entities it chose on, and {cell(null)} on the others."
    )


def test_every_class_has_its_neuron_its_search_and_its_weights(view: View) -> None:
    where = {"stack": "effective", "cls": "football"}
    best = view.one("class_neurons", "neuron_auc", condition="best", **where)
    assert best is not None and best.p_adjusted is not None
    searches = ("in_sample", "best", "in_sample_permuted", "permuted")
    aucs = [t for caption, t in tables(view, "class_neurons").items() if caption.startswith("AUC")][1]
    assert [row[0] for row in aucs.rows][-1] == "mean over the classes"
    (line,) = [row for row in aucs.rows if row[0].startswith("football")]
    assert line == (
        f"football (L{best.layer}N{best.neuron})",
        *(cell(view.one("class_neurons", "neuron_auc", condition=c, **where)) for c in searches),
        f"{best.p_adjusted:.2g}",
    )
    losses = [t for caption, t in tables(view, "class_neurons").items() if caption.startswith("Loss")][1]
    (line,) = [row for row in losses.rows if row[0] == "football"]
    for shown, condition in zip(line[1:4], ("kept", "mean", "zero"), strict=True):
        loss = view.one("class_neurons", "class_loss_nats", condition=condition, **where)
        assert loss is not None and shown == f"{bare(loss)} {loss.interval}, n = {loss.count}"
    assert line[4].startswith(cell(view.one("class_neurons", "direct_effect", **where)))
    (figure,) = [block for block in class_neurons.blocks(view) if isinstance(block, Figure)]
    chart = figure.charts[1]
    assert chart.categories[-1] == "mean over the classes" and len(chart.series) == len(searches)
    place = next(i for i, name in enumerate(chart.categories) if name.startswith("football"))
    assert chart.series[1].y[place] == best.value and best.full in chart.series[1].hover[place]


# shared_neurons


def test_linked_pairs_are_marked_and_the_resample_stands_beside(view: View) -> None:
    def correlation(stack: str, condition: str) -> Measured:
        rows = view.rows("shared_neurons", "fact_correlation", stack=stack, condition=condition)
        return next(r for r in rows if set(r.parameters["relations"]) == {"league", "sport"})

    (figure,) = [block for block in shared_neurons.blocks(view) if isinstance(block, Figure)]
    chart = figure.charts[0]
    assert chart.columns == chart.rows == ("city", "hand", "league", "pet", "sport")
    i, j = chart.rows.index("league"), chart.columns.index("sport")
    linked = correlation("model", "linked")
    assert chart.values[i][j] == chart.values[j][i] == linked.value and chart.values[i][i] is None
    assert chart.printed[i][j] == f"{linked.number}*" and not chart.printed[i][0].endswith("*")
    pairs = table(view, "shared_neurons", "Correlation for each pair")
    (line,) = [row for row in pairs.rows if set(row[0].split(" and ")) == {"league", "sport"}]
    assert line[1:] == (
        "linked",
        *(cell(correlation(s, c)) for s in ("model", "effective") for c in ("linked", "linked_resample")),
    )
    assert [row[0] for row in table(view, "shared_neurons", "Size").rows] == ["not linked", "linked"]


# nonlinear_excess


def test_the_excess_is_told_in_one_sentence_and_three_tables(view: View) -> None:
    def whole(statistic: str) -> str:
        return cell(view.one("nonlinear_excess", statistic, layer=None))

    finding, *_ = nonlinear_excess.blocks(view)
    assert isinstance(finding, Paragraph) and finding.text == (
        f"In the effective model, the part of the score that exists only for both names together is on average "
        f"{whole('interaction_score')}. Of it the layers' inputs already held {whole('inherited')}, the activation "
        f"function added {whole('activation')} and the norm {whole('norm')}."
    )
    ratios = table(view, "nonlinear_excess", "The study's ratio")
    assert [row[0] for row in ratios.rows] == ["1", "2", "3", "all layers"]
    assert [c.title for c in ratios.columns[1:]] == [
        "clamped, rising neurons", "clamped, all neurons", "not clamped, rising neurons", "not clamped, all neurons"
    ]  # fmt: skip
    (last,) = view.rows("nonlinear_excess", "median_excess_ratio", layer=None, condition="raw_all")
    assert ratios.rows[-1][-1] == cell(last)


def test_an_excess_that_may_be_0_is_not_split_and_says_so(tmp_path: Path) -> None:
    shares = {"inherited", "norm", "activation", "median_excess_ratio"}
    found = changed(tmp_path, "nonlinear_excess", lambda r: () if r.statistic in shares else (r,))
    finding, *_ = nonlinear_excess.blocks(found)
    assert isinstance(finding, Paragraph) and "it cannot be told from 0" in finding.text
    assert not [caption for caption in tables(found, "nonlinear_excess") if caption.startswith("The study's ratio")]


# orthogonal_remainder


@pytest.mark.parametrize(("real", "toy", "words"), [(0.61, 0.60, "overlap"), (0.7, 0.6, "do not overlap")])
def test_the_remainder_stands_beside_the_toy_and_claims_nothing(
    tmp_path: Path, real: float, toy: float, words: str
) -> None:
    def moved(row: Row) -> tuple[Row, ...]:
        value = {"real": real, "gaussian": toy}.get(row.condition or "", row.value)
        return (replace(row, value=value, ci_low=value - 0.02, ci_high=value + 0.02),)

    text = [
        b.text
        for b in orthogonal_remainder.blocks(changed(tmp_path, "orthogonal_remainder", moved))
        if isinstance(b, Paragraph)
    ]
    assert "no verdict here rests on it" in text[0] and f"the intervals {words}." in text[0]
    assert f"give {toy:.3f} [{toy - 0.02:.3f}, {toy + 0.02:.3f}] where the model's give {real:.3f}" in text[0]


# controls, and what was published


@pytest.mark.parametrize("name", SECTIONS)
def test_rows_of_controls_are_not_shown_in_the_sections(tmp_path: Path, name: str) -> None:
    """They belong to the line-up; the model's stand without them."""

    def beside(row: Row) -> tuple[Row, ...]:
        other = replace(row, stack="additive", value=row.value + 0.7, ci_low=None, ci_high=None)
        return (row, other) if row.stack == "effective" else (row,)

    alone = changed(tmp_path / "alone", name, lambda row: (row,))
    with_control = changed(tmp_path / "beside", name, beside)
    assert len(with_control.summary) > len(alone.summary)
    assert SECTIONS[name].blocks(with_control) == SECTIONS[name].blocks(alone)


def test_published_values_stand_beside_the_mean_over_the_classes(tmp_path: Path) -> None:
    assert {(p.statistic, p.condition): p.value for p in card("class_neurons").published} == {
        ("neuron_auc", "best"): 0.893,
        ("class_loss_nats", "kept"): 0.167,
        ("class_loss_nats", "mean"): 0.284,
        ("class_loss_nats", "zero"): 0.559,
        ("cosine", "output"): 0.456,
        ("cosine", "readout"): 0.22,
        ("cosine", "readout_difference"): 0.184,
        ("auc_without_directions", None): 0.83,
    }
    records: dict[str, Record] = {name: PYTHIA.record(name) for name in SECTIONS}
    text = " ".join(render_text(write_run(tmp_path, PYTHIA, records)).split())
    view = load_view(RunFolder.read_only(tmp_path))
    for name, statistic, where in (
        ("nonlinear_excess", "median_excess_ratio", {"condition": "clamped_rising", "layer": None}),
        ("orthogonal_remainder", "remainder_auc", {"condition": "real", "cls": None}),
        ("class_neurons", "neuron_auc", {"condition": "best", "cls": None, "stack": "effective"}),
    ):
        row = view.one(name, statistic, **where)
        assert row is not None and row.full in text.split(card(name).title)[1].split("Published")[1]
