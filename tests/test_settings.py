"""Settings refuse what makes no sense, all of it at once."""

from __future__ import annotations

import pytest

from rote.errors import SettingsError
from rote.settings import Settings


def test_defaults_are_valid_and_round_trip():
    assert Settings.of(Settings().as_dict()) == Settings()


def test_all_problems_are_told_at_once():
    with pytest.raises(SettingsError) as caught:
        Settings(window_keep=1.5, n_bootstrap=0, batch_size=2.5)  # type: ignore[arg-type]
    assert len(caught.value.problems) == 3


def test_unknown_names_are_refused_with_those_that_exist():
    with pytest.raises(SettingsError, match=r"unknown settings windowkeep.*window_keep"):
        Settings.of({"windowkeep": 0.5})


def test_sweeps_are_taken_in_one_of_three_ways():
    assert Settings(sweeps="first_order").as_dict()["sweeps"] == "first_order"
    with pytest.raises(SettingsError, match="auto, exact, first_order"):
        Settings(sweeps="second_order")


@pytest.mark.parametrize("text", ["[1]", "not json", ""])
def test_a_file_that_holds_no_settings_is_refused_by_name(tmp_path, text):
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"settings\.json"):
        Settings.read(path)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere\.json"):
        Settings.read(tmp_path / "nowhere.json")
