"""A process killed at any step of writing leaves the old content or the new, and a folder that resumes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rote.records import Record, Row, RunFolder, Shard
from rote.records import files as module
from rote.records.files import write_atomically

STUDY = {"seed": 0}
SHARDS = tuple(Shard("readout", str(index)) for index in range(3))
STEPS = ("fsync", "replace")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills are tried in forked processes")


def killed_at(step: int, action: Callable[[], Any]) -> bool:
    """Run an action in a forked process that dies at once, before or after its step-th call to the system.

    Even steps die before the call, odd ones after it. True where the process died, False where it came to its end.
    """
    process = os.fork()
    if process == 0:
        try:
            calls = iter(range(10**6))
            for name in STEPS:
                original = getattr(os, name)

                def dying(*args: Any, original: Any = original) -> Any:
                    call = next(calls)
                    if 2 * call == step:
                        os._exit(9)
                    result = original(*args)
                    if 2 * call + 1 == step:
                        os._exit(9)
                    return result

                setattr(module.os, name, dying)
            action()
            os._exit(0)
        finally:
            os._exit(3)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status in (0, 9), f"the forked process ended with {status}"
    return status == 9


def run_all(folder: Path) -> None:
    run = RunFolder.open(folder, STUDY)
    for index, shard in enumerate(SHARDS):
        if not run.done(shard):
            row = Row(experiment="readout", stack="model", statistic="s", layer=index, value=index / 3)
            run.write(shard, Record(rows=(row,)))
    run.assemble(SHARDS)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("step", range(7))
def test_a_replaced_file_is_the_old_one_or_the_new(tmp_path: Path, step: int) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    died = killed_at(step, lambda: write_atomically(path, b"new"))
    assert died == (step < 6)  # fsync, rename, fsync of the folder, each before and after
    assert path.read_bytes() == (b"old" if step < 3 else b"new")


def test_a_run_killed_at_every_step_resumes_to_the_same_files(tmp_path: Path) -> None:
    run_all(tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    kills = 0
    for step in range(1000):
        folder = tmp_path / f"killed-{step}"
        died = killed_at(step, lambda folder=folder: run_all(folder))
        before = {shard for shard in SHARDS if (folder / shard.relative_path).exists()}
        run_all(folder)
        assert contents(folder) == expected, f"killed at step {step}, with {len(before)} shards done"
        if not died:
            break
        kills += 1
    n_files = 1 + len(SHARDS) + 4  # study.json, the shards, two summaries and two tables of absents
    n_folders = 4  # the run folder, records, readout, shards: each synced into the one above
    assert kills == 2 * (3 * n_files + n_folders)


def test_a_failed_write_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert contents(tmp_path) == {"file": b"old"}
