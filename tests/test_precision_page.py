"""The page that sets bfloat16 beside float32 counts what it says it counts."""

from __future__ import annotations

import pandas as pd
import torch
from benchmarks.precision import KEY, differences, page
from benchmarks.random_model import SHAPES, build, config


def rows(*values: tuple[str, int, float, float | None, float | None]) -> pd.DataFrame:
    frame = pd.DataFrame(values, columns=["statistic", "layer", "value", "ci_low", "ci_high"])
    return frame.assign(
        experiment="one", unit="nats", **{k: None for k in KEY if k not in ("statistic", "layer", "experiment")}
    )


def test_differences_are_paired_row_by_row() -> None:
    reference = rows(
        ("a", 0, 1.0, 0.9, 1.1), ("a", 1, 2.0, 1.9, 2.1), ("a", 2, 3.0, None, None), ("b", 0, 5.0, 4.0, 6.0)
    )
    narrow = rows(("a", 0, 1.25, 1.2, 1.3), ("a", 1, 2.0, 1.9, 2.1), ("a", 2, 3.5, None, None), ("b", 7, 5.0, 4.0, 6.0))
    found = differences(reference, narrow).set_index("statistic")
    assert found.loc["a", ["rows", "only one", "median", "max", "intervals", "apart"]].tolist() == [
        3,
        0,
        0.25,
        0.5,
        2,
        1,
    ]
    assert found.loc["b", ["rows", "only one", "intervals"]].tolist() == [0, 2, 0]
    text = page(differences(reference, narrow))
    assert "| one | `a` | nats | 3 | 0 | 0.25 | 0.5 | 1 of 2 |" in text
    assert "In all 3 rows are in both and 2 in one only" in text


def test_the_random_models_have_pythias_shapes() -> None:
    with torch.device("meta"):
        counts = {shape: sum(p.numel() for p in build(shape).parameters()) for shape in ("pythia-70m", "pythia-2.8b")}
    assert counts == {"pythia-70m": 70_426_624, "pythia-2.8b": 2_775_208_960}  # as published
    assert set(SHAPES) >= {"pythia-70m", "pythia-160m", "pythia-410m", "pythia-2.8b"}
    assert config("pythia-2.8b").use_parallel_residual
