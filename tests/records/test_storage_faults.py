"""A disk that fills, fails or lies: a clear error, nothing half-written, and a run that ends in the right tables."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rote.errors import RoteError, RunError, StorageError
from rote.records import Record, Row, RunFolder, Shard, look
from rote.records import files as module

STUDY = {"model": "organism", "seed": 0}
SHARDS = tuple(Shard("readout", str(index)) for index in range(3))


def run_all(folder: Path) -> list[str]:
    """Run what is left; the shards that were computed."""
    computed = []
    with RunFolder.open(folder, STUDY) as run:
        for index, shard in enumerate(SHARDS):
            if not run.done(shard):
                computed.append(str(shard))
                row = Row(experiment="readout", stack="model", statistic="s", layer=index, value=index / 3)
                run.write(shard, Record(rows=(row,), tables={"t": pd.DataFrame({"x": list(range(2000))})}))
                run.add_timing(shard, 1.0)
        run.assemble(SHARDS)
        run.write_derived("report.html", "<p>")
    return computed


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "timings.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@contextmanager
def failing(name: str, at: int, error: int = errno.ENOSPC) -> Iterator[list[int]]:
    """From its `at`-th call on, a call to the system fails; the calls so far."""
    original, calls = getattr(os, name), [0]

    def call(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] > at:
            raise OSError(error, os.strerror(error))
        return original(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.os, name, call)
        yield calls


def calls_of(name: str, action: Callable[[], object]) -> int:
    with failing(name, 10**6) as calls:
        action()
    return calls[0]


@pytest.mark.parametrize("name", ["write", "replace", "mkdir"])
def test_a_disk_that_fills_at_any_write_ends_resumable(name: str, tmp_path: Path) -> None:
    n_calls = calls_of(name, lambda: run_all(tmp_path / "whole"))
    expected = contents(tmp_path / "whole")
    assert n_calls > 3
    for at in range(n_calls):
        folder = tmp_path / f"{name}-{at}"
        with failing(name, at), pytest.raises(RoteError, match="No space left on device") as caught:
            run_all(folder)
        begun = (folder / "study.json").exists()
        assert caught.value.exit_code == (1 if begun else 3)  # during work, or before it
        if begun:
            assert isinstance(caught.value, StorageError) and "goes on where it was" in str(caught.value)
        assert not list(folder.rglob("*.tmp")) and not list(folder.rglob("*lock"))
        stored = {str(s) for s in SHARDS if (folder / s.relative_path).exists()}
        assert not stored & set(run_all(folder))
        assert contents(folder) == expected


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small file system needs root")
def test_a_file_system_that_is_full(tmp_path: Path) -> None:
    """Not by injection: a file system of 96 kB, filled by something else, then freed."""
    run_all(tmp_path / "whole")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        filler = disk / "filler"
        filler.write_bytes(b"x" * (64 * 1024))
        with pytest.raises(StorageError, match="No space left on device"):
            run_all(disk / "run")
        assert (disk / "run" / "study.json").exists()
        filler.unlink()
        run_all(disk / "run")
        assert contents(disk / "run") == contents(tmp_path / "whole")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small file system needs root")
def test_a_read_only_file_system_is_refused_before_any_work(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        for refuse in (lambda: look(disk / "run"), lambda: RunFolder.open(disk / "run", STUDY)):
            with pytest.raises(RunError, match=r"cannot be used as a run folder.*Choose another"):
                refuse()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_order_of_a_write_survives_a_power_cut(tmp_path: Path) -> None:
    """Bytes, then the sync of the file, then its name, then the sync of its folder; folders from above."""
    seen: list[str] = []
    paths: dict[int, str] = {}
    with pytest.MonkeyPatch.context() as patch:
        opened, replace, fsync = os.open, os.replace, os.fsync
        write, mkdir = os.write, os.mkdir

        def open_(path: Any, *args: Any) -> int:
            descriptor = opened(path, *args)
            paths[descriptor] = str(Path(path).relative_to(tmp_path))
            return descriptor

        patch.setattr(os, "open", open_)
        patch.setattr(os, "write", lambda d, b: seen.append(f"write {paths[d]}") or write(d, b))
        patch.setattr(os, "fsync", lambda d: seen.append(f"sync {paths[d]}") or fsync(d))
        patch.setattr(os, "replace", lambda a, b: seen.append(f"name {b.relative_to(tmp_path)}") or replace(a, b))
        patch.setattr(os, "mkdir", lambda p, *a: seen.append(f"make {Path(p).relative_to(tmp_path)}") or mkdir(p, *a))
        module.make_folders(tmp_path / "a" / "b")
        module.write_atomically(tmp_path / "a" / "b" / "file", b"new")
    temporary = f"a/b/.file.{os.getpid()}.tmp"
    expected = ["make a", "sync .", "make a/b", "sync a", f"write {temporary}", f"sync {temporary}", "name a/b/file"]
    assert seen == [*expected, "sync a/b"]


def test_a_flipped_bit_in_a_record_costs_that_record_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run_all(tmp_path / "run")
    expected = contents(tmp_path / "run")
    path = tmp_path / "run" / SHARDS[1].relative_path
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(bytes(damaged))
    assert run_all(tmp_path / "run") == [str(SHARDS[1])]
    assert "readout/1 is not reused and will be computed again: its checksum" in caplog.text
    assert contents(tmp_path / "run") == expected


@pytest.mark.parametrize("name", ["summary.parquet", "records/readout/t.parquet"])
@pytest.mark.parametrize("damage", ["cut short", "flipped"])
def test_a_damaged_table_is_refused_and_made_anew(name: str, damage: str, tmp_path: Path) -> None:
    run_all(tmp_path / "run")
    expected = contents(tmp_path / "run")
    path = tmp_path / "run" / name
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[30 if "readout" in name else 60] ^= 16  # in the first page
    path.write_bytes(bytes(content if damage == "flipped" else content[: len(content) // 2]))
    run = RunFolder.read_only(tmp_path / "run")
    with pytest.raises(RunError, match=r"is damaged \(.*Run the study again"):
        _ = run.summary, run.table("readout", "t")
    assert run_all(tmp_path / "run") == []
    assert contents(tmp_path / "run") == expected


@pytest.mark.parametrize("left", [b"", b'{"format_version": 1, "mod', b"\x00" * 50, None])
def test_a_lost_study_json_is_written_again_where_the_records_are_this_studys(
    left: bytes | None, tmp_path: Path
) -> None:
    run_all(tmp_path / "run")
    expected, path = contents(tmp_path / "run"), tmp_path / "run" / "study.json"
    path.unlink() if left is None else path.write_bytes(left)
    look(tmp_path / "run")
    with pytest.raises(RunError):  # another study's records are not
        RunFolder.open(tmp_path / "run", {**STUDY, "seed": 1})
    with RunFolder.open(tmp_path / "run", STUDY) as run:
        assert "study.json was missing or damaged" in run.notices[0]
    assert run_all(tmp_path / "run") == []
    assert contents(tmp_path / "run") == expected


def test_a_lost_study_json_without_records_is_refused(tmp_path: Path) -> None:
    RunFolder.open(tmp_path / "run", STUDY).close()
    (tmp_path / "run" / "study.json").write_text("{")
    for refuse in (lambda: RunFolder.open(tmp_path / "run", STUDY), lambda: look(tmp_path / "run")):
        with pytest.raises(RunError, match="cannot be read as a study of rote"):
            refuse()


def test_what_fresh_would_discard_is_counted(tmp_path: Path) -> None:
    assert look(tmp_path / "nowhere" / "run").empty
    assert not (tmp_path / "nowhere").exists()
    run_all(tmp_path / "run")
    text = str(look(tmp_path / "run"))
    assert text.startswith("3 records, 1 table, summary.parquet, summary.json, ")
    assert "report.html" in text and "MB, last written 20" in text


def test_many_timings_are_not_rewritten_for_every_shard(tmp_path: Path) -> None:
    shards = [Shard("e", str(index)) for index in range(300)]

    def time_all() -> None:
        with RunFolder.open(tmp_path / "run", STUDY) as run:
            for shard in shards:
                run.add_timing(shard, 0.5)

    assert calls_of("replace", time_all) < 90
    assert [timing["item"] for timing in RunFolder.read_only(tmp_path / "run").timings] == [s.item for s in shards]
