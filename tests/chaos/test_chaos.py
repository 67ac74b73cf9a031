"""`make chaos` with fewer kills."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def chaos(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chaos", "--lanes", "1", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_study_killed_at_some_boundaries_loses_the_shard_in_flight_at_most() -> None:
    ended = chaos("--every", "100", "--commands", "0")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "killed at a boundary and resumed: 3" in ended.stdout
    assert "WRONG" not in ended.stdout and "Traceback" not in ended.stderr


@pytest.mark.slow
def test_the_whole_command_killed_from_outside() -> None:
    ended = chaos("--every", "250", "--commands", "2")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "SIGKILLs of the whole command, resumed: 2" in ended.stdout


def test_what_chaos_compares_can_fail(tmp_path: Path) -> None:
    """The positive control: a lost record, a changed table and a left lock are all seen."""
    from chaos.boundaries import Ended, whole

    from chaos import kills, world

    (tmp_path / "records" / "e" / "shards").mkdir(parents=True)
    for name in ("summary.json", "summary.parquet", "absent.json", "absent.parquet", "outcomes.json"):
        (tmp_path / name).write_text("[]")
    expected = world.tables(tmp_path)
    good = Ended(killed=False, code=0, calls=(), started=(), finished=(), error="")
    assert kills.problems(good, tmp_path, expected) == []
    (tmp_path / "run.lock").write_text("{}")
    (tmp_path / "summary.json").write_text("[1]")
    (tmp_path / "records" / "e" / "t.parquet").write_text("")
    assert kills.problems(good, tmp_path, expected) == [
        "differs in records/e/t.parquet, summary.json",
        "left behind: run.lock",
    ]
    assert whole(tmp_path)
    (tmp_path / "records" / "e" / "shards" / "a.shard").write_bytes(b"rote shard 1\nhalf")
    assert not whole(tmp_path)
