"""The sections on single neurons, read in their text rendering and as typed content."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from synthetic_run import BUNDLED, write_run
from synthetic_world import row

from rote.experiments import ENTRIES
from rote.experiments.class_neurons import section as class_neurons
from rote.experiments.shared_neurons import section as shared_neurons
from rote.page.view import View
from rote.records import Record, Row, RunFolder
from rote.report.load import load_view

CARDS = tuple(entry.card for entry in ENTRIES)

AUCS = {"in_sample": 0.91, "best": 0.83, "in_sample_permuted": 0.71, "permuted": 0.49}
CLASSES = ("baseball", "football")


def class_rows(stack: str) -> list[Row]:
    rows = []
    for k, cls in enumerate((*CLASSES, None)):
        place = {} if cls is None else {"cls": cls, "layer": 2, "neuron": 61 + k}
        key = {"stack": stack, "relation": "sport", "width": 0.02}
        for condition, auc in AUCS.items():
            own = {"cls": cls} if "permuted" in condition else place
            found = row("class_neurons", "neuron_auc", auc + 0.01 * k, condition=condition, **own, **key)
            rows.append(replace(found, p_adjusted=0.004) if condition == "best" and cls else found)
        rows.append(row("class_neurons", "auc_without_directions", 0.66, **place, **key))
        for condition, loss in (("kept", 0.2), ("mean", 0.3), ("zero", 0.5)):
            rows.append(row("class_neurons", "class_loss_nats", loss, condition=condition, unit="nats", **place, **key))
        for condition, cosine in (("output", 0.456), ("readout", 0.22), ("readout_difference", 0.184)):
            rows.append(row("class_neurons", "cosine", cosine, condition=condition, unit="ratio", **place, **key))
        rows.append(row("class_neurons", "direct_effect", 0.7, unit="logit", **place, **key))
    return rows


def shared_rows(stack: str) -> list[Row]:
    key = {"stack": stack, "relation": "sport", "unit": "ratio"}
    rows = []
    for suffix in ("", "_resample"):
        for pair, kind, mean in ((("league", "sport"), "linked", 0.97), (("pet", "sport"), "unlinked", -0.12)):
            r = mean if not suffix else round(0.98 * mean, 3)
            parameters = {"relations": list(pair)}
            rows.append(
                row("shared_neurons", "fact_correlation", r, condition=kind + suffix, parameters=parameters, **key)
            )
            rows.append(row("shared_neurons", "mean_abs_correlation", abs(r), condition=kind + suffix, **key))
    return rows


def view(folder: Path, experiment: str, rows: list[Row]) -> View:
    return load_view(RunFolder.read_only(write_run(folder, BUNDLED, {experiment: Record(rows=tuple(rows))})))


def content(blocks: tuple) -> str:  # type: ignore[type-arg]
    """Everything that the blocks say; their dataclasses print all their fields."""
    return repr(blocks)


def test_the_selection_effect_is_said_first_and_in_numbers(tmp_path: Path) -> None:
    found = class_neurons.blocks(view(tmp_path, "class_neurons", class_rows("effective")))
    assert found[0].text == (
        "In the effective model the best neuron of a class has, on average over the classes, an AUC of 0.930 on the "
        "entities it was chosen on and 0.850 [0.830, 0.870] on the others. The same search finds 0.730 in permuted "
        "labels on the entities it chose on, and 0.510 [0.490, 0.530] on the others."
    )


def test_every_class_has_its_neuron_its_search_and_its_weights(tmp_path: Path) -> None:
    blocks = class_neurons.blocks(view(tmp_path, "class_neurons", class_rows("effective")))
    _, figure, aucs, losses, weights = blocks
    names = ("baseball (L2N61)", "football (L2N62)", "mean over the classes")
    assert tuple(row[0] for row in aucs.rows) == names
    assert aucs.rows[0][1:] == (
        "0.910 [0.890, 0.930]",
        "0.830 [0.810, 0.850]",
        "0.710 [0.690, 0.730]",
        "0.490 [0.470, 0.510]",
        "0.004",
    )
    assert losses.rows[1] == (
        "football",
        "0.200 nats [0.180, 0.220]",
        "0.300 nats [0.280, 0.320]",
        "0.500 nats [0.480, 0.520]",
        "0.700 [0.680, 0.720]",
    )
    assert [cell.split()[0] for cell in weights.rows[1]] == ["football", "0.456", "0.220", "0.184", "0.660"]
    (chart,) = figure.charts
    assert chart.categories == names
    assert [s.y for s in chart.series][1] == (0.83, 0.84, 0.85)
    assert chart.series[1].hover[0][1] == "baseball (L2N61)"


def test_linked_pairs_are_marked_and_the_resample_stands_beside(tmp_path: Path) -> None:
    blocks = shared_neurons.blocks(view(tmp_path, "shared_neurons", shared_rows("effective")))
    figure, pairs, sizes = blocks
    (chart,) = figure.charts
    assert chart.columns == ("league", "pet", "sport")
    assert chart.values[0] == (None, None, 0.97)
    assert chart.printed[0][2] == "0.970*"
    assert chart.printed[1][2] == "−0.120"
    assert [row[:2] for row in pairs.rows] == [("league and sport", "linked"), ("pet and sport", "not linked")]
    ablations = ("effective model, mean ablation", "effective model, resample ablation")
    assert tuple(c.title for c in sizes.columns[1:]) == tuple(c.title for c in pairs.columns[2:]) == ablations
    assert sizes.rows == (
        ("not linked", "0.120 [0.090, 0.150]", "0.118 [0.088, 0.148]"),
        ("linked", "0.970 [0.940, 1.000]", "0.951 [0.921, 0.981]"),
    )


def test_controls_are_not_shown_in_the_sections(tmp_path: Path) -> None:
    """Their rows belong to the line-up; the model's stand without them."""
    for name, module, rows in (
        ("class_neurons", class_neurons, class_rows),
        ("shared_neurons", shared_neurons, shared_rows),
    ):
        alone = module.blocks(view(tmp_path / name, name, rows("model")))
        beside = module.blocks(view(tmp_path / f"{name}_beside", name, rows("model") + rows("additive")))
        assert content(alone) == content(beside)
        assert "additive" not in content(beside)


def test_published_values_stand_beside_the_mean_over_the_classes() -> None:
    (card,) = [c for c in CARDS if c.name == "class_neurons"]
    assert {(p.statistic, p.condition): p.value for p in card.published} == {
        ("neuron_auc", "best"): 0.893,
        ("class_loss_nats", "kept"): 0.167,
        ("class_loss_nats", "mean"): 0.284,
        ("class_loss_nats", "zero"): 0.559,
        ("cosine", "output"): 0.456,
        ("cosine", "readout"): 0.22,
        ("cosine", "readout_difference"): 0.184,
        ("auc_without_directions", None): 0.83,
    }
