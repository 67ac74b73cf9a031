"""The comparison of two runs says what is equal, and finds what is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from release.same_run import FILES, differences, main


def run(folder: Path, **files: object) -> Path:
    folder.mkdir()
    for name in FILES:
        (folder / name).write_text(json.dumps(files.get(name.removesuffix(".json"), [])))
    return folder


ROW = {"experiment": "e", "statistic": "s", "layer": 1, "value": 0.5, "ci_low": None}


def test_equal_runs_are_equal(tmp_path: Path) -> None:
    one, other = run(tmp_path / "a", summary=[ROW]), run(tmp_path / "b", summary=[ROW])
    assert main(one, other) == 0
    assert all("equal byte for byte" in line for line in differences(one, other))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ([{**ROW, "value": 0.5000001}], "value differs in 1 of 1 rows"),
        ([ROW, {**ROW, "layer": 2}], "in the second run alone: 1 rows"),
        ([], "in the first run alone: 1 rows"),
        ([dict(reversed(ROW.items()))], "in another order"),
    ],
)
def test_every_kind_of_difference_is_told(tmp_path: Path, changed: object, words: str) -> None:
    one, other = run(tmp_path / "a", summary=[ROW]), run(tmp_path / "b", summary=changed)
    if words == "in another order":
        other.joinpath("summary.json").write_text(json.dumps([ROW], indent=1))
    assert main(one, other) == 1
    assert any(words in line for line in differences(one, other))
