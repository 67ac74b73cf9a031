"""Two processes never write one run, the second is told who does, and a killed holder leaves no lock behind."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rote.errors import RunError
from rote.records import Record, RunFolder, Shard, opening
from rote.records import lock as module
from rote.records.contents import foreign
from rote.records.lock import EXCLUSIVE_NAME, LOCK_NAME, Holder, RunLock, held_here, holder_of

STUDY = {"model": "organism", "seed": 0}
HOLD = """
import sys, time
from rote.records import RunFolder
with RunFolder.open(sys.argv[1], {"model": "organism", "seed": 0}):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""
CONTEND = """
import os, sys, time
from rote.records import RunFolder
for _ in range(4):
    with RunFolder.open(sys.argv[1], {"model": "organism", "seed": 0}, wait=True):
        for word in ("begin", "end"):
            with open(sys.argv[2], "a") as file:
                file.write(f"{os.getpid()} {word}\\n")
            time.sleep(0.01)
"""


def holding(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """Another process that has opened the run for some time."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def ended(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = holding(tmp_path / "run", 60)
    yield process
    ended(process)


def test_the_second_process_is_refused_by_the_name_of_the_holder(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    expected = rf"in use by process {other.pid} on {socket.gethostname()} since 20\d\d-.*rote study --wait"
    with pytest.raises(RunError, match=expected):
        RunFolder.open(tmp_path / "run", STUDY)
    assert RunError.exit_code == 3
    with pytest.raises(RunError, match="in use"):  # also where it would start over
        RunFolder.open(tmp_path / "run", STUDY, fresh=True)
    assert (tmp_path / "run" / "study.json").exists()


def test_a_killed_holder_leaves_no_lock(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    ended(other)
    assert (tmp_path / "run" / LOCK_NAME).exists()  # the name is left, the lock is not
    assert holder_of(tmp_path / "run") is None
    with RunFolder.open(tmp_path / "run", STUDY) as run:
        assert run.notices == (next(n for n in run.notices if f"process {other.pid} on" in n),)
    assert not (tmp_path / "run" / LOCK_NAME).exists()


def test_a_second_process_can_wait(tmp_path: Path) -> None:
    other, told = holding(tmp_path / "run", 2.5), []
    with RunFolder.open(tmp_path / "run", STUDY, wait=True, on_wait=told.append) as run:
        assert other.poll() is not None or other.wait(5) == 0
        assert run.writable and not run.notices
    assert len(told) == 1 and f"process {other.pid}" in told[0]
    ended(other)


def test_of_many_that_wait_one_writes_at_a_time(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    command = [sys.executable, "-c", CONTEND, str(tmp_path / "run"), str(seen)]
    many = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in many] == [0] * 3
    lines = seen.read_text().split("\n")[:-1]
    assert len(lines) == 3 * 4 * 2
    for begin, end in zip(lines[::2], lines[1::2], strict=True):
        assert begin.split() == [end.split()[0], "begin"] and end.endswith("end")


def test_a_study_that_begins_elsewhere_while_the_folder_is_looked_at_is_not_foreign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()

    def begun_meanwhile(path: Path) -> list[str]:
        (path / "study.json").write_text("{}")
        return foreign(path)

    monkeypatch.setattr(opening, "foreign", begun_meanwhile)
    opening.refuse_foreign(folder, STUDY)
    (folder / "study.json").unlink()
    (folder / "thesis.tex").write_text("mine")
    monkeypatch.setattr(opening, "foreign", foreign)
    with pytest.raises(RunError, match="holds thesis"):
        opening.refuse_foreign(folder, STUDY)


def test_nobody_judges_a_run_that_another_process_writes(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    with pytest.raises(RunError, match=f"process {other.pid}"):
        RunFolder.read_only(tmp_path / "run").write_derived("report.html", "<p>")
    ended(other)
    assert RunFolder.read_only(tmp_path / "run").write_derived("report.html", "<p>").exists()
    assert not (tmp_path / "run" / LOCK_NAME).exists()


def test_a_derived_file_is_not_written_into_another_study(tmp_path: Path) -> None:
    RunFolder.open(tmp_path / "run", STUDY).close()
    reader = RunFolder.read_only(tmp_path / "run")
    RunFolder.open(tmp_path / "run", {**STUDY, "seed": 1}, fresh=True).close()
    with pytest.raises(RunError, match="another study than when it was opened"):
        reader.write_derived("outcomes.json", "[]")


def test_one_process_opens_a_run_once_and_again_after_closing(tmp_path: Path) -> None:
    first = RunFolder.open(tmp_path / "run", STUDY)
    with pytest.raises(RunError, match=f"process {os.getpid()}"):
        RunFolder.open(tmp_path / "run", STUDY)
    first.close()
    first.close()
    with pytest.raises(RunError, match="closed"):
        first.write(Shard("a"), Record())
    with RunFolder.open(tmp_path / "run", STUDY) as second:
        assert held_here(second.path)
        second.write_derived("report.html", "<p>")
    assert not held_here(tmp_path / "run")


def test_a_refused_study_releases_the_lock(tmp_path: Path) -> None:
    RunFolder.open(tmp_path / "run", STUDY).close()
    with pytest.raises(RunError, match="seed: 0 -> 1"):
        RunFolder.open(tmp_path / "run", {**STUDY, "seed": 1})
    assert not (tmp_path / "run" / LOCK_NAME).exists()


def test_a_forked_child_neither_holds_nor_deletes_the_lock(tmp_path: Path) -> None:
    run = RunFolder.open(tmp_path / "run", STUDY)
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        os.read(ready, 1)  # outlives the lock's owner
        os._exit(0)
    os.close(ready)
    assert (run.path / LOCK_NAME).exists()
    run.close()
    RunFolder.open(tmp_path / "run", STUDY).close()
    os.close(go)
    os.waitpid(child, 0)


def test_where_the_file_system_has_no_locks_the_file_is_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module.fcntl, "flock", unsupported)
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    lock = RunLock.take(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [EXCLUSIVE_NAME]
    with pytest.raises(RunError, match=f"process {os.getpid()}.*Wait for it"):
        RunLock.take(tmp_path)
    lock.release()
    assert list(tmp_path.iterdir()) == []
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    text = {"pid": dead.pid, "host": socket.gethostname(), "since": "2026-01-01T00:00:00+00:00", "started": 1.0}
    (tmp_path / EXCLUSIVE_NAME).write_text(json.dumps(text))
    with pytest.raises(RunError, match=f"runs no more.*delete .*{EXCLUSIVE_NAME}"):
        RunLock.take(tmp_path)
    (tmp_path / EXCLUSIVE_NAME).write_text(json.dumps({**text, "host": "elsewhere"}))
    with pytest.raises(RunError, match=r"on elsewhere.*Wait for it"):  # it may run there: never taken over
        RunLock.take(tmp_path)


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_lock_that_is_a_link_is_neither_followed_nor_overwritten(
    tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    RunFolder.open(tmp_path / "run", STUDY).close()
    mine, path = tmp_path / "mine", tmp_path / "run" / LOCK_NAME
    mine.write_text("precious")
    link(path, mine)
    with pytest.raises(RunError, match=f"{path} is a link.*Delete {path}"):
        RunFolder.open(tmp_path / "run", STUDY)
    with pytest.raises(RunError, match="is a link"):
        RunFolder.read_only(tmp_path / "run").write_derived("report.html", "<p>")
    assert path.samefile(mine) and mine.read_text() == "precious"
    path.unlink()
    RunFolder.open(tmp_path / "run", STUDY).close()  # what the message says to do is enough


def test_a_link_to_nothing_makes_no_file(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).symlink_to(tmp_path / "nothing")
    with pytest.raises(RunError, match="is a link"):
        RunLock.take(tmp_path)
    assert holder_of(tmp_path) is None
    assert not (tmp_path / "nothing").exists()


def test_a_number_that_another_process_has_now_is_not_the_holder() -> None:
    me = Holder.me()
    assert not me.gone
    assert Holder(pid=me.pid, host=me.host, since=me.since, started=(me.started or 0) - 1).gone


def test_a_clock_that_jumps_back_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    with RunFolder.open(tmp_path / "run", STUDY) as run:
        with pytest.raises(RunError, match="in use"):
            RunFolder.open(tmp_path / "run", STUDY)
        run.write(Shard("a"), Record())
    with RunFolder.open(tmp_path / "run", STUDY) as run:
        assert run.done(Shard("a"))
