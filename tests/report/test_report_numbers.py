"""Numbers in the report: unit, digits and sign."""

from __future__ import annotations

import pytest

from rote.page.numbers import full, interval, number, percent


@pytest.mark.parametrize(
    ("statistic", "unit", "value", "low", "high", "expected"),
    [
        ("accuracy", "fraction", 0.9534, 0.9412, 0.9651, "95.3 % [94.1, 96.5], n = 1,040"),
        ("path_delta_accuracy_cls", "fraction", -0.12, -0.15, -0.09, "−12.0 pp [−15.0, −9.0], n = 1,040"),
        ("loss_nats", "nats", 0.1084, 0.0931, 0.1244, "0.108 nats [0.093, 0.124], n = 1,040"),
        ("direct_effect", "logit", 4.2, 3.1, 5.3, "4.2 [3.1, 5.3], n = 1,040"),
        ("norm_d", "SD", 0.2, 0.1, 0.3, "0.20 SD [0.10, 0.30], n = 1,040"),
        ("concatenation_r2", "fraction", 0.98712, 0.98301, 0.9906, "0.9871 [0.9830, 0.9906], n = 1,040"),
    ],
)
def test_value_interval_and_n_in_the_unit_of_the_statistic(
    statistic: str, unit: str, value: float, low: float, high: float, expected: str
) -> None:
    assert full(statistic, unit, value, low, high, 1040) == expected


def test_counts_and_layers_are_whole() -> None:
    assert number("n_facts", "count", 1040.0) == "1,040"
    assert number("lookup_start", "layer", 2.0) == "2"


def test_without_interval_three_digits_and_no_brackets() -> None:
    assert number("temperature", "ratio", 1.3712) == "1.37"
    assert interval("temperature", "ratio", 1.3712, None, None) == ""
    assert full("temperature", "ratio", 1.3712, None, None, None) == "1.37"


def test_a_rounded_zero_has_no_sign() -> None:
    assert number("direct_effect", "logit", -0.0004, -0.4, 0.4) == "0.00"
    assert number("path_delta_accuracy", "fraction", -0.0001) == "0.0 pp"


def test_words_do_not_round_to_everything_or_nothing() -> None:
    assert [percent(f) for f in (0.0, 0.004, 0.5, 0.996, 1.0)] == ["0 %", "0.4 %", "50 %", "99.6 %", "100 %"]
