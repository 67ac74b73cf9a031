"""Every bad input is refused with its message, code 2, no traceback, before weights are loaded, and nothing written."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_cases import CASES, KINDS, Case

from rote.cli import main as cli
from rote.model import load as load_module
from rote.pipeline.request import Request, read_inputs

Models = Callable[[str], str]
by_kind: Counter[str] = Counter()
IDS = [f"{c.kind} {by_kind.update([c.kind]) or by_kind[c.kind]}" for c in CASES]


def test_there_are_enough_of_every_kind() -> None:
    assert len(CASES) >= 60
    assert all(by_kind[kind] >= 4 for kind in KINDS)


def arguments(case: Case, models: Models, folder: Path) -> list[str]:
    """The command's arguments, after the case's files have been written."""
    (folder / case.file).write_bytes(case.table)
    for name, data in case.beside.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    given = ["study", models(case.model), *case.options]
    for option, value in (("--facts", case.file), ("--out", "run")):
        given += [] if option in case.options else [option, value]
    return given


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


def refuse_weights(*args: object, **options: object) -> None:
    raise AssertionError("weights were loaded")


@pytest.mark.parametrize(("case", "name"), list(zip(CASES, IDS, strict=True)), ids=IDS)
def test_a_bad_input_is_refused(
    case: Case,
    name: str,
    models: Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["rote", *arguments(case, models, tmp_path)])
    monkeypatch.setattr(load_module.AutoModelForCausalLM, "from_pretrained", refuse_weights)
    before = tree(tmp_path)
    with pytest.raises(SystemExit) as end:
        cli.main()
    error = capsys.readouterr().err
    assert end.value.code == 2, error
    for words in case.says:
        assert words in error, error
    assert "Traceback" not in error
    lines = error.splitlines()
    assert lines and all(line.startswith("error: ") and len(line) < 3000 for line in lines), error
    assert "\x1b" not in error and "\x07" not in error and "\u202e" not in error
    assert tree(tmp_path) == before


REPAIRED = {(c.file, c.whole, c.cured_model, c.cure): (c, name) for c, name in zip(CASES, IDS, strict=True)}


@pytest.mark.parametrize("case", [c for c, _ in REPAIRED.values()], ids=[name for _, name in REPAIRED.values()])
def test_the_same_input_repaired_passes(
    case: Case, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    suffix = case.file if case.file.rsplit(".", 1)[-1] != "xlsx" else "facts.csv"
    (tmp_path / suffix).write_bytes(case.whole)
    cure = dict(zip(case.cure[::2], case.cure[1::2], strict=False))
    request = Request(
        model=models(case.cured_model),
        facts=suffix,
        out=Path("run"),
        template=cure.get("--template"),
        prefix=cure.get("--prefix"),
        bos=cure.get("--bos"),
        max_facts=int(cure.get("--max-facts", 1000)),
        allow_pickle="--allow-pickle" in case.cure,
    )
    assert len(read_inputs(request).table.facts) >= 2


def test_all_problems_are_told_together(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the table, its prompts, the settings, the names, the device, the run folder and the model's files."""
    monkeypatch.chdir(tmp_path)
    Path("facts.csv").write_text("entity,sport\nAnn Lee,golf\n,chess\nBob Day\n" + "é" * 160 + ",golf\n")
    Path("out").write_text("")
    given = ["study", models("without weights"), "--facts", "facts.csv", "--out", "out", "--settings", "none.json"]
    given += ["--experiments", "a", "--controls", "b", "--device", "gpu", "--dtype", "int8"]
    monkeypatch.setattr(sys, "argv", ["rote", *given])
    with pytest.raises(SystemExit):
        cli.main()
    error = capsys.readouterr().err
    words = (
        "line 4: 1 cells",
        "the entity is empty",
        "out is no folder",
        "none.json",
        "experiment",
        "control",
        "'gpu'",
    )
    assert [w for w in (*words, "'int8'", "has no weights") if w not in error] == []


WHOLE_COMMANDS = ("columns 1", "entities 3", "encoding 1", "tokens 3", "checkpoint 6")


@pytest.mark.parametrize("name", WHOLE_COMMANDS)
def test_as_a_whole_command(name: str, models: Models, tmp_path: Path) -> None:
    case = CASES[IDS.index(name)]
    given = arguments(case, models, tmp_path)
    before = tree(tmp_path)
    command = [sys.executable, "-c", "from rote.cli.main import main; main()", *given]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    assert all(words in done.stderr for words in case.says), done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert tree(tmp_path) == before
