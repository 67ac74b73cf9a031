"""The sections on what only both names bring and on the remainder, read in their text rendering."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from synthetic_run import BUNDLED, PYTHIA, write_run
from synthetic_world import row

from rote.experiments import ENTRIES
from rote.records import Absent, Record
from rote.report import render_text

CARDS = tuple(entry.card for entry in ENTRIES)

SHARES = {"inherited": 0.31, "norm": 0.02, "activation": 0.67}
KINDS = {"and_share": 0.28, "or_share": 0.11, "linear_share": 0.61}
RATIOS = {"clamped_rising": 0.91, "clamped_all": 0.92, "raw_rising": 0.73, "raw_all": 0.74}


def excess(stack: str, shift: float = 0.0, *, split: bool = True) -> Record:
    key: dict[str, Any] = {"relation": "sport", "stack": stack, "width": 0.01}
    rows, absent = [], []
    for layer in (None, 2, 3, 4):
        plus = shift + (0.0 if layer is None else 0.001 * layer)
        place = {"layer": layer, **key}
        rows.append(row("nonlinear_excess", "interaction_score", 1.25 + plus, unit="SD", **place))
        for name, value in KINDS.items():
            rows.append(row("nonlinear_excess", name, value + plus, **place))
        if not split:
            reason = "the interval of the mean excess covers 0"
            absent.append(Absent(experiment="nonlinear_excess", stack=stack, statistic="inherited", reason=reason))
            continue
        for name, value in SHARES.items():
            rows.append(row("nonlinear_excess", name, value + plus, unit="ratio", **place))
        for name, value in RATIOS.items():
            statistic = "median_excess_ratio"
            rows.append(row("nonlinear_excess", statistic, value + plus, unit="ratio", condition=name, **place))
    return Record(rows=tuple(rows), absent=tuple(absent))


def remainder(stack: str, real: float, toy: float) -> Record:
    key: dict[str, Any] = {"relation": "sport", "stack": stack, "width": 0.02}
    return Record(
        rows=tuple(
            row("orthogonal_remainder", statistic, value + (0.01 if cls else 0), condition=condition, cls=cls, **key)
            for cls in (None, "football")
            for statistic, condition, value in (
                ("neuron_auc", None, 0.88),
                ("remainder_auc", "real", real),
                ("remainder_auc", "gaussian", toy),
            )
        )
    )


def both(*records: Record) -> Record:
    return Record(
        rows=tuple(r for record in records for r in record.rows),
        absent=tuple(a for record in records for a in record.absent),
    )


def text(folder: Path, records: dict[str, Record], world: Any = BUNDLED) -> str:
    return " ".join(render_text(write_run(folder, world, records)).split())


def section(of: str, name: str) -> str:
    (card,) = [c for c in CARDS if c.name == name]
    return of.split(card.title)[1]


def test_the_excess_is_told_in_one_sentence_and_two_tables(tmp_path: Path) -> None:
    found = section(text(tmp_path, {"nonlinear_excess": excess("effective")}), "nonlinear_excess")
    assert (
        "exists only for both names together is on average 1.250 SD [1.240, 1.260]. Of it the layers' inputs" in found
    )
    assert "already held 0.310 [0.300, 0.320], the activation function added 0.670" in found
    for caption in ("Excess in standard deviations of the score", "Neurons by kind", "The study's ratio"):
        assert caption in found
    ratios = found.split("The study's ratio")[1]
    assert ratios.index("all layers") < ratios.index("0.910 [0.900, 0.920]") < ratios.index("0.740 [0.730, 0.750]")


def test_an_excess_that_may_be_0_is_not_split_and_says_so(tmp_path: Path) -> None:
    found = section(text(tmp_path, {"nonlinear_excess": excess("effective", split=False)}), "nonlinear_excess")
    assert "it cannot be told from 0" in found and "covers 0" in found
    assert "The study's ratio" not in found


@pytest.mark.parametrize("control", ["single_step", "hash_lookup"])
def test_rows_of_controls_are_not_shown_in_the_sections(tmp_path: Path, control: str) -> None:
    plain = {"nonlinear_excess": excess("effective"), "orthogonal_remainder": remainder("effective", 0.61, 0.6)}
    beside = {
        "nonlinear_excess": both(plain["nonlinear_excess"], excess(control, shift=0.05)),
        "orthogonal_remainder": both(plain["orthogonal_remainder"], remainder(control, 0.77, 0.78)),
    }
    alone, with_control = text(tmp_path / "alone", plain), text(tmp_path / "beside", beside)
    for name in plain:
        assert section(with_control, name) == section(alone, name)
    assert "1.300" not in with_control and "0.770" not in with_control  # the control's own values


def test_the_remainder_stands_beside_the_toy_and_claims_nothing(tmp_path: Path) -> None:
    same = section(
        text(tmp_path / "a", {"orthogonal_remainder": remainder("effective", 0.61, 0.60)}), "orthogonal_remainder"
    )
    assert "no verdict here rests on it" in same and "the intervals overlap" in same
    for cell in ("0.610 [0.590, 0.630]", "0.600 [0.580, 0.620]", "0.880 [0.860, 0.900]", "0.890 [0.870, 0.910]"):
        assert cell in same
    apart = section(
        text(tmp_path / "b", {"orthogonal_remainder": remainder("effective", 0.7, 0.6)}), "orthogonal_remainder"
    )
    assert "the intervals do not overlap" in apart


def test_the_published_ratio_stands_beside_the_one_of_all_layers(tmp_path: Path) -> None:
    records = {"nonlinear_excess": excess("effective"), "orthogonal_remainder": remainder("effective", 0.61, 0.6)}
    found = text(tmp_path, records, PYTHIA)
    assert "0.910 [0.900, 0.920]" in section(found, "nonlinear_excess").split("Published")[1]
    assert "0.610 [0.590, 0.630]" in section(found, "orthogonal_remainder").split("Published")[1]
