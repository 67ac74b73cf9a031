"""Numbers in the report: unit, digits and sign."""

from __future__ import annotations

import pytest

from rote.experiments import card
from rote.page.numbers import Form, full, interval, number, percent


def form(experiment: str, statistic: str) -> Form:
    """How the numbers of a statistic are written, as its card says."""
    found = card(experiment).statistic(statistic)
    return Form(unit=found.unit, shown=found.shown)


@pytest.mark.parametrize(
    ("experiment", "statistic", "value", "low", "high", "expected"),
    [
        ("known_facts", "accuracy", 0.9534, 0.9412, 0.9651, "95.3 % [94.1, 96.5], n = 1,040"),
        ("path_ablation", "path_delta_accuracy_cls", -0.12, -0.15, -0.09, "−12.0 pp [−15.0, −9.0], n = 1,040"),
        ("known_facts", "loss_nats", 0.1084, 0.0931, 0.1244, "0.108 nats [0.093, 0.124], n = 1,040"),
        ("direct_effects", "direct_effect", 4.2, 3.1, 5.3, "4.2 [3.1, 5.3], n = 1,040"),
        ("known_norms", "norm_d", 0.2, 0.1, 0.3, "0.20 SD [0.10, 0.30], n = 1,040"),
        ("concatenation", "concatenation_r2", 0.98712, 0.98301, 0.9906, "0.9871 [0.9830, 0.9906], n = 1,040"),
    ],
)
def test_value_interval_and_n_in_the_unit_of_the_statistic(
    experiment: str, statistic: str, value: float, low: float, high: float, expected: str
) -> None:
    assert full(form(experiment, statistic), value, low, high, 1040) == expected


def test_counts_and_layers_are_whole() -> None:
    assert number(form("known_facts", "n_facts"), 1040.0) == "1,040"
    assert number(form("lookup_window", "lookup_start"), 2.0) == "2"


def test_without_interval_three_digits_and_no_brackets() -> None:
    temperature = form("readout", "temperature")
    assert number(temperature, 1.3712) == "1.37"
    assert interval(temperature, 1.3712, None, None) == ""
    assert full(temperature, 1.3712, None, None, None) == "1.37"


def test_a_rounded_zero_has_no_sign() -> None:
    assert number(form("direct_effects", "direct_effect"), -0.0004, -0.4, 0.4) == "0.00"
    assert number(form("path_ablation", "path_delta_accuracy"), -0.0001) == "0.0 pp"


def test_words_do_not_round_to_everything_or_nothing() -> None:
    assert [percent(f) for f in (0.0, 0.004, 0.5, 0.996, 1.0)] == ["0 %", "0.4 %", "50 %", "99.6 %", "100 %"]
