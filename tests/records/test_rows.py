"""Rows hold finite numbers only, one value for each key, in the public format."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rote.records import KEY_FIELDS, SUMMARY_FIELDS, Absent, Record, Row, absent_frame, canonical_json, summary_frame


def row(**changes: Any) -> Row:
    return Row(**{"experiment": "readout", "stack": "model", "statistic": "readout_accuracy", "value": 0.5, **changes})


def test_the_columns_are_those_of_the_public_format() -> None:
    assert ", ".join(SUMMARY_FIELDS) == (
        "experiment, stack, statistic, condition, relation, site, source, layer, head, neuron, cls, position, "
        "parameters, value, ci_low, ci_high, n, unit, p_adjusted, seed"
    )
    assert tuple(absent_frame([]).columns) == (*KEY_FIELDS, "reason")
    assert set(SUMMARY_FIELDS) - set(KEY_FIELDS) == {"value", "ci_low", "ci_high", "n", "p_adjusted"}


def test_numpy_scalars_become_python_numbers() -> None:
    made = row(value=np.float32(0.25), layer=np.int64(3), n=np.int32(7), ci_low=np.float64(0), ci_high=1)
    assert (type(made.value), type(made.layer), type(made.n), type(made.ci_high)) == (float, int, int, float)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -np.inf, np.float32("nan")])
@pytest.mark.parametrize("field", ["value", "ci_low", "p_adjusted"])
def test_what_is_not_finite_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{field} is -?(nan|inf): expected a finite number"):
        row(**{"ci_high": 1.0, field: value})


@pytest.mark.parametrize("value", [None, "0.5", True, np.bool_(True), np.array([1.0]), [1.0]])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"Row\(readout, readout_accuracy\).value is .* expected a number"):
        row(value=value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ci_low": 0.1}, "both ends or neither"),
        ({"ci_low": 0.9, "ci_high": 0.1}, "above"),
        ({"n": -1}, "expected a count"),
        ({"p_adjusted": 1.5}, "expected a probability"),
        ({"layer": 1.0}, "expected an integer"),
        ({"head": True}, "expected an integer"),
        ({"condition": ""}, "non-empty string"),
        ({"stack": None}, "non-empty string"),
        ({"cls": "\ud800"}, "lone surrogates"),
        ({"parameters": "not json"}, "JSON text"),
        ({"parameters": [1]}, "expected a mapping"),
        ({"parameters": {"a": float("nan")}}, "finite"),
        ({"parameters": {1: 2}}, "strings as keys"),
        ({"parameters": {"a": object()}}, "convert it first"),
    ],
)
def test_a_broken_row_says_what_is_wrong(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        row(**changes)


def test_parameters_are_canonical_json_however_they_are_given() -> None:
    text = row(parameters={"rank": np.int64(4), "ablation": "mean", "span": (1, 2)}).parameters
    assert text == '{"ablation":"mean","rank":4,"span":[1,2]}'
    assert row(parameters=text).parameters == text
    assert row(parameters='{ "rank": 4, "ablation": "mean", "span": [1, 2]}').parameters == text
    assert row(parameters={}).parameters is None


def test_canonical_json_does_not_depend_on_order_or_type() -> None:
    assert canonical_json({"b": 1, "a": {"d": 0.1, "c": None}}) == '{"a":{"c":null,"d":0.1},"b":1}'
    assert canonical_json({"x": (1, np.float64(2.5), np.array([True]))}) == '{"x":[1,2.5,[true]]}'
    assert json.loads(canonical_json("é\n")) == "é\n"


def test_a_record_has_one_value_for_each_key() -> None:
    with pytest.raises(ValueError, match=r'two values for one key: \{"experiment":"readout".*0.5 and 0.75'):
        Record(rows=(row(layer=1), row(layer=2), row(layer=1, value=0.75)))
    assert len(Record(rows=(row(layer=1), row(layer=1, condition="full"))).rows) == 2


def test_tables_are_copies_with_finite_numbers_and_distinct_columns() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0]}, index=[5, 6])
    record = Record(tables={"facts": frame})
    frame.loc[5, "x"] = 9.0
    assert record.tables["facts"]["x"].tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="infinite numbers in x"):
        Record(tables={"facts": pd.DataFrame({"x": [np.inf]})})
    with pytest.raises(ValueError, match="several columns named a"):
        Record(tables={"facts": pd.DataFrame([[1, 2]], columns=["a", "a"])})


def test_frames_have_the_same_types_also_when_empty() -> None:
    whole, empty = summary_frame([row(layer=1, n=3), row()]), summary_frame([])
    assert (whole.dtypes == empty.dtypes).all()
    assert (whole["layer"] == 1).sum() == 1 and whole["condition"].isna().all()
    assert whole.loc[0, "value"] == 0.5 and pd.isna(whole.loc[1, "layer"])
    missing = Absent(experiment="readout", stack="model", statistic="x", reason="names have one token")
    assert absent_frame([missing]).loc[0, "reason"] == "names have one token"
    with pytest.raises(TypeError, match="non-empty"):
        Absent(experiment="readout", stack="model", statistic="x", reason="")
