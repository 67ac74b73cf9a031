"""`rote study` when something goes wrong: the exit code, one clear line, and a folder from which the same command ends
in the same tables."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from chaos import world
from rote.cli import main as cli
from rote.cli import study as commands
from rote.pipeline.worker import Work
from rote.records import files as files_module
from rote.records.lock import LOCK_NAME

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def rote(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Call the command on a folder: exit code, output, errors. The model is loaded once for all."""
    monkeypatch.setattr(commands, "_load", lambda model, loading, quiet: world.model())

    def call(folder: Path, *more: str, drop: tuple[str, ...] = ()) -> tuple[int, str, str]:
        inputs = folder.parent / "inputs"
        inputs.mkdir(exist_ok=True)
        arguments = ["rote", *world.command(folder, inputs), *more]
        monkeypatch.setattr(sys, "argv", arguments)
        capsys.readouterr()
        code: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    inputs = tmp_path_factory.mktemp("inputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "_load", lambda model, loading, quiet: world.model())
        patch.setattr(sys, "argv", ["rote", *world.command(folder, inputs), "--quiet"])
        with pytest.raises(SystemExit) as end:
            cli.main()
    assert not end.value.code
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def computed(folder: Path) -> list[str]:
    """The shards that the log says were computed."""
    lines = (folder / "log.txt").read_text(encoding="utf-8").splitlines()
    return [line.split(" INFO ")[1].split(" took ")[0].strip() for line in lines if " took " in line]


def test_the_log_tells_the_whole_story(whole: Path) -> None:
    text = (whole / "log.txt").read_text(encoding="utf-8")
    for words in ("rote 0.", "torch ", "python 3", "asking: 1 of 1", "measuring: 5 of 5", "is finished"):
        assert words in text
    assert len(computed(whole)) == len(set(computed(whole))) == 10


def test_a_finished_run_is_found_finished(copy: Path, whole: Path, rote: Call) -> None:
    code, out, _ = rote(copy)
    assert code == 0 and f"report: {copy}/report.html" in out
    assert len(computed(copy)) == 10 and world.tables(copy) == world.tables(whole)


def test_a_disk_that_fills_ends_with_one_clear_line_and_a_run_that_resumes(
    whole: Path, tmp_path: Path, rote: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, original = [0], os.write

    def write(descriptor: int, content: Any) -> int:
        calls[0] += 1
        if calls[0] > 9:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(descriptor, content)

    folder = tmp_path / "run"
    monkeypatch.setattr(files_module.os, "write", write)
    code, _, err = rote(folder)
    assert code == 1
    assert f"error: {folder} cannot be written: No space left on device." in err and "Traceback" not in err
    assert f"To go on: rote study {shlex.quote(str(world.BUNDLED))}" in err
    assert not (folder / LOCK_NAME).exists()
    monkeypatch.setattr(files_module.os, "write", original)
    n_before = len(list(folder.rglob("*.shard")))
    assert 0 < n_before < 10
    code, _, _ = rote(folder)
    assert code == 0 and world.tables(folder) == world.tables(whole)
    assert len(computed(folder)) <= 10 + 1  # the shard in flight


def test_a_flipped_bit_is_said_and_only_that_record_computed_again(copy: Path, whole: Path, rote: Call) -> None:
    path = next((copy / "records" / "known_norms").rglob("*.shard"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(bytes(content))
    code, _, err = rote(copy)
    assert code == 0 and world.tables(copy) == world.tables(whole)
    assert "warning: the record of known_norms/sport is not reused and will be computed again: its checksum" in err
    assert computed(copy)[10:] == ["known_norms/sport"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_study_says_how_to_go_on(
    number: int, whole: Path, tmp_path: Path, rote: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Work.experiment

    def interrupted(self: Work, shard: Any) -> Any:
        if shard.experiment == "known_norms":
            os.kill(os.getpid(), number)
            time.sleep(5)
        return original(self, shard)

    folder = tmp_path / "a run"
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell has it for what it runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Work, "experiment", interrupted)
    code, _, err = rote(folder, "--fresh", "--yes")
    assert code == 130 and "Traceback" not in err
    assert signal.getsignal(signal.SIGTERM) is handler
    (line,) = [line for line in err.splitlines() if line.startswith("interrupted")]
    again = shlex.split(line.partition("To go on: ")[2])
    assert again[:2] == ["rote", "study"] and str(folder) in again and not {"--fresh", "--yes"} & set(again)
    assert "interrupted at known_norms/sport" in (folder / "log.txt").read_text(encoding="utf-8")
    assert not (folder / LOCK_NAME).exists()
    monkeypatch.setattr(Work, "experiment", original)
    code, _, _ = rote(folder)
    assert code == 0 and world.tables(folder) == world.tables(whole)
    assert len(computed(folder)) == len(set(computed(folder))) == 10


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
     RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")],
    ids=["python", "card", "processor"],
)  # fmt: skip
def test_out_of_memory_is_one_line_and_resumable(
    error: Exception, copy: Path, whole: Path, rote: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    next((copy / "records" / "known_norms").rglob("*.shard")).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Work, "experiment", lambda self, shard: (_ for _ in ()).throw(error))
        code, _, err = rote(copy)
    assert code == 1 and "error: out of memory at known_norms/sport: " in err and "Traceback" not in err
    assert "To go on: rote study" in err
    if isinstance(error, torch.OutOfMemoryError):  # once is enough
        assert rote(copy)[0] == 0 and world.tables(copy) == world.tables(whole)


def test_a_fault_of_rote_itself_keeps_its_traceback_and_the_run(
    copy: Path, whole: Path, rote: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    next((copy / "records" / "known_norms").rglob("*.shard")).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Work, "experiment", lambda self, shard: 1 / 0)
        code, _, err = rote(copy)
    assert code == 1 and "Traceback" in err and "ZeroDivisionError" in err
    assert "To go on: rote study" in err.splitlines()[-1]
    assert "ZeroDivisionError" in (copy / "log.txt").read_text(encoding="utf-8")
    assert not (copy / LOCK_NAME).exists()
    assert rote(copy)[0] == 0 and world.tables(copy) == world.tables(whole)


def test_the_second_command_is_refused_by_name_before_it_loads_anything(
    copy: Path, rote: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = "import sys, time, pathlib; from rote.records.lock import RunLock; "
    hold += "lock = RunLock.take(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", hold, str(copy)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        monkeypatch.setattr(commands, "_load", lambda *arguments: pytest.fail("the model was loaded"))
        for more in ((), ("--fresh", "--yes")):
            code, _, err = rote(copy, *more)
            assert code == 3 and f"error: {copy} is in use by process {other.pid} on " in err and "--wait" in err
    finally:
        other.kill()
        other.wait()
    monkeypatch.setattr(commands, "_load", lambda model, loading, quiet: world.model())
    code, _, err = rote(copy)
    assert code == 0 and f"warning: the run was left by process {other.pid} on" in err


def test_fresh_says_what_it_discards_and_asks(copy: Path, rote: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    before = world.tables(copy)
    code, _, err = rote(copy, "--fresh")
    assert code == 2 and "--fresh discards what a study left in" in err and "10 records, 9 tables" in err
    assert "add --yes" in err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda *words, **more: False)
    code, _, err = rote(copy, "--fresh")
    assert code == 2 and "nothing was discarded" in err
    assert world.tables(copy) == before
    monkeypatch.setattr("typer.confirm", lambda *words, **more: True)
    with monkeypatch.context() as patch:  # enough to see that it begins anew
        patch.setattr(Work, "known_facts", lambda self, shard: (_ for _ in ()).throw(KeyboardInterrupt))
        assert rote(copy, "--fresh")[0] == 130
    assert not list(copy.rglob("*.shard"))
    assert "started over, discarded 27 files" in (copy / "log.txt").read_text(encoding="utf-8")


def test_quiet_says_where_the_report_is_and_nothing_else(copy: Path, rote: Call) -> None:
    code, out, err = rote(copy, "--quiet")
    assert (code, out, err) == (0, f"report: {copy}/report.html\n", "")
