"""Checkpoints and names that mean harm: nothing in them runs, nothing leaves the run folder, nothing hangs."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from bad_cases import GOOD
from safetensors.torch import load_file
from tiny import byte_level, edited

from rote.cli import main as cli
from rote.errors import FactsError, ModelRefused, RunError
from rote.facts import read_facts
from rote.facts.prompts import build_prompts
from rote.model import load_model
from rote.model.load import load_tokenizer, weights_hash
from rote.records import Record, Row, RunFolder, Shard
from rote.records.files import file_name

Models = Callable[[str], str]


class Harmful:
    """A pickle that runs code where it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def folder(models: Models, tmp_path: Path) -> Path:
    target = tmp_path / "model"
    shutil.copytree(models("tiny"), target)
    return target


# ------------------------------------------------------------------ pickles
def test_a_pickle_that_would_run_code_runs_in_neither_mode(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Harmful(mark)))
    with pytest.raises(ModelRefused, match=r"pickle, which can carry code.*--allow-pickle"):
        load_model(folder)
    with pytest.raises(ModelRefused, match="cannot load"):
        load_model(folder, allow_pickle=True)
    torch.save({"gpt_neox.embed_in.weight": Harmful(mark)}, folder / "pytorch_model.bin")
    with pytest.raises(ModelRefused, match="cannot load"):
        load_model(folder, allow_pickle=True)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Harmful(mark)))  # the positive control: this pickle does run code
    assert mark.exists()


def test_an_honest_pickle_is_read_with_the_flag_and_gives_the_same_model(folder: Path) -> None:
    state, safe = load_file(folder / "model.safetensors"), weights_hash(load_model(folder))
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    assert weights_hash(load_model(folder, allow_pickle=True)) == safe


def test_safetensors_are_preferred_where_both_are(folder: Path, tmp_path: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Harmful(tmp_path / "ran")))
    assert load_model(folder, allow_pickle=True).n_layers == 2
    assert not (tmp_path / "ran").exists()


# ------------------------------------------------------------------ code of a checkpoint's own
CANARY = "from pathlib import Path\nPath({mark!r}).touch()\nclass Model: ...\nclass Config: ...\nclass T: ...\n"


@pytest.mark.parametrize("model_type", ["gpt_neox", "own"])
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_in_a_checkpoint_is_never_imported(folder: Path, tmp_path: Path, file: str, model_type: str) -> None:
    mark = tmp_path / "imported"
    (folder / "canary.py").write_text(CANARY.format(mark=str(mark)))
    (folder / "modeling_own.py").write_text(CANARY.format(mark=str(mark)))
    named = {"AutoModelForCausalLM": "canary.Model", "AutoConfig": "canary.Config", "AutoTokenizer": ["canary.T", None]}
    edited("config.json", lambda c: c.update(model_type=model_type))(folder)
    edited(file, lambda c: c.update(auto_map=named))(folder)
    with pytest.raises(ModelRefused, match="asks to run code of its own"):
        load_model(folder)
    assert not mark.exists()
    from transformers import AutoConfig  # the positive control: who trusts the checkpoint runs its code

    if file == "config.json":
        with pytest.raises(Exception):  # noqa: B017 (the canary is no configuration)
            AutoConfig.from_pretrained(folder, trust_remote_code=True)
        assert mark.exists()


# ------------------------------------------------------------------ headers that lie
def test_a_lying_header_is_refused_before_anything_is_allocated(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    n = struct.unpack("<Q", weights[:8])[0]
    header = json.loads(weights[8 : 8 + n])
    first = next(key for key in header if key != "__metadata__")
    lies = {
        "more numbers than bytes": {**header[first], "shape": [10**6, 10**6]},
        "an end beyond the file": {**header[first], "data_offsets": [0, 2**40]},
        "an end before its start": {**header[first], "data_offsets": [8, 0]},
        "an unknown type": {**header[first], "dtype": "Q8"},
        "no shape": {"dtype": "F32"},
    }
    for what, lie in lies.items():
        text = json.dumps({**header, first: lie}).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + weights[8 + n :])
        with pytest.raises(ModelRefused, match=r"model\.safetensors: it is no whole safetensors file"):
            load_model(folder)
            pytest.fail(what)


# ------------------------------------------------------------------ tokenizers
def test_a_tokenizer_whose_pattern_never_ends_is_refused_in_time(folder: Path, tmp_path: Path) -> None:
    split = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    edited("tokenizer.json", lambda t: t.update(pre_tokenizer=split))(folder)
    table = tmp_path / "facts.csv"
    table.write_text(GOOD.replace("Ann Lee", "a" * 60))
    started = time.monotonic()
    with pytest.raises(FactsError, match=r"the tokenizer broke down on .*retry-limit"):
        build_prompts(read_facts(table), "sport", load_tokenizer(str(folder)))
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("padding", [{"strategy": {"Fixed": 10**9}}, {"strategy": "BatchLongest"}])
def test_padding_and_truncation_that_a_tokenizer_asks_for_are_not_done(
    folder: Path, tmp_path: Path, padding: dict[str, object]
) -> None:
    table = tmp_path / "facts.csv"
    table.write_text(GOOD)
    padding |= {"direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "!", "pad_to_multiple_of": None}
    cut = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    edited("tokenizer.json", lambda t: t.update(padding=padding, truncation=cut))(folder)
    asked = build_prompts(read_facts(table), "sport", load_tokenizer(str(folder)))
    plain = build_prompts(read_facts(table), "sport", byte_level())
    assert (asked.tokens == plain.tokens).all()


# ------------------------------------------------------------------ names as paths
NAMES = (
    "../../escape", "/etc/escape", "..", ".", "...", "a/../../b", "..\\..\\escape", "C:\\escape", "con", "NUL.txt",
    "aux.csv", "com1", "x" * 5000, "ünïcode", "\u202etxt.exe", "name\0with nul", "~/escape", "-rf", "a\nb", " ", "",
    "%2e%2e%2f",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_no_name_leaves_the_run_folder(name: str, tmp_path: Path) -> None:
    root = tmp_path / "deep" / "er"
    run = RunFolder.open(root / "run", {"model": "m"})
    shard = Shard(f"known_facts{name}" if name else "known_facts", name)
    run.write(
        shard, Record(rows=(Row(experiment="e", stack="model", statistic="s", relation=name or None, value=1.0),))
    )
    run.write(Shard(name, "x"), Record())
    assert run.read(shard).rows[0].relation == (name or None)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(path.suffix == ".shard" for path in written) == 2
    for path in written:
        assert path.resolve().is_relative_to((root / "run").resolve())
        assert all(len(os.fsencode(part)) <= 255 for part in path.parts)
        assert not {p.split(".")[0].lower() for p in path.relative_to(root).parts} & {"con", "nul", "aux", "com1"}


def test_file_names_are_as_many_as_names() -> None:
    assert len({file_name(name) for name in NAMES}) == len(NAMES)


def test_a_study_of_relations_that_are_called_like_paths_stays_in_its_folder(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the table through the command line to the report, with every fact counted as known."""
    names = ("../../../escape", "/abs", "con", "[/red]{{7*7}}", "..")
    work = tmp_path / "a" / "b"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    rows = [f'"E{i} Poe","{name}",{("golf", "chess")[i % 2]}' for name in names for i in range(6)]
    Path("facts.csv").write_text("entity,relation,attribute\n" + "\n".join(rows) + "\n")
    Path("s.json").write_text('{"known_probability": 1e-9, "min_known": 4, "n_bootstrap": 10}')
    given = ["study", models("tiny"), "--facts", "facts.csv", "--out", "run", "--settings", "s.json"]
    given += ["--experiments", "known_facts", "--controls", "none", "--quiet"]
    monkeypatch.setattr(sys, "argv", ["rote", *given])
    try:
        cli.main()
    except SystemExit as end:
        assert not end.code
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and not p.is_relative_to(work / "run")]
    assert sorted(p.name for p in outside) == ["facts.csv", "s.json"]
    shards = [p.name for p in (work / "run" / "records" / "known_facts" / "shards").iterdir()]
    assert len(shards) == len(names)
    for command in ("judge", "report"):
        monkeypatch.setattr(sys, "argv", ["rote", command, "run"])
        try:
            cli.main()
        except SystemExit as end:
            assert not end.code


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match=r"mine\.txt"):
        RunFolder.open(tmp_path, {"model": "m"})
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
