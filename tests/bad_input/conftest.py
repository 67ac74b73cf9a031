"""Checkpoints, whole and broken, each made when it is first asked for."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import N_EMBEDDINGS, byte_level, checkpoint, copy, deleting, edited, lowering, merging

from rote.model.load import hush
from rote.organisms import BUNDLED

hush()

PIECES = ("Ann is", "of Bob", "Cid's", "(Ann", "(Bob", "(Cid", "sport chess", "Eve", "Ivo")


def _unpacked(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _header(folder: Path, header: bytes, length: int | None = None) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header) if length is None else length) + header)


def _index(folder: Path, file: str) -> None:
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"gpt_neox.embed_in.weight": file}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _gone(*names: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return apply


def _falcon(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "falcon"}')
    (folder / "model.safetensors").unlink()


def _growing(tokenizer: dict[str, object]) -> None:
    step = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    tokenizer["normalizer"] = {"type": "Sequence", "normalizers": [step] * 40}


AUTO_MAP = {"AutoModelForCausalLM": "canary.Model", "AutoConfig": "canary.Config"}
BEYOND = json.dumps({"a": {"dtype": "F32", "shape": [1000, 1000], "data_offsets": [0, 4_000_000]}}).encode()
CHANGES: dict[str, Callable[[Path], object]] = {
    "without config": _gone("config.json"),
    "without weights": _gone("model.safetensors"),
    "without tokenizer": _gone("tokenizer.json"),
    "falcon": _falcon,
    "pickled": _unpacked,
    "own code": edited("config.json", lambda c: c.update(auto_map=AUTO_MAP)),
    "own tokenizer code": edited(
        "tokenizer_config.json", lambda c: c.update(auto_map={"AutoTokenizer": ["c.T", None]})
    ),
    "hub kernel": edited("config.json", lambda c: c.update(attn_implementation="kernels-community/flash-attn")),
    "adapter": lambda folder: (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "x/y"}'),
    "cut": lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:5000]),
    "huge header": lambda folder: _header(folder, b"{}", 2**60),
    "offsets beyond": lambda folder: _header(folder, BEYOND),
    "escaping index": lambda folder: _index(folder, "../../weights.safetensors"),
    "lacking shard": lambda folder: _index(folder, "a.safetensors"),
    "endless layers": edited("config.json", lambda c: c.update(num_hidden_layers=10**9)),
    "endless vocabulary": edited("config.json", lambda c: c.update(vocab_size=10**12)),
    "growing tokenizer": edited("tokenizer.json", _growing),
    "listed config": lambda folder: (folder / "config.json").write_text("[]"),
    "nested config": lambda folder: (folder / "config.json").write_text("[" * 100_000),
    "empty tokenizer": lambda folder: (folder / "tokenizer.json").write_text("{}"),
    "bos beyond": edited("tokenizer_config.json", lambda c: c.update(bos_token="<new>")),
}


def _bos_beyond(folder: Path) -> Path:
    tokenizer = byte_level()
    tokenizer.add_tokens([f"<{i}>" for i in range(N_EMBEDDINGS - len(tokenizer))])
    tokenizer.add_special_tokens({"bos_token": "<new>"})
    return checkpoint(folder, tokenizer)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The path of a model by its name in the cases; a name that is none of theirs is given as it is."""
    root = tmp_path_factory.mktemp("models")
    made: dict[str, Path] = {"bundled": BUNDLED}
    whole = {
        "tiny": lambda folder: checkpoint(folder, byte_level()),
        "without bos": lambda folder: checkpoint(folder, byte_level(bos=False)),
        "merging": lambda folder: checkpoint(folder, merging(PIECES)),
        "lowering": lambda folder: checkpoint(folder, lowering()),
        "deleting": lambda folder: checkpoint(folder, deleting()),
        "bos beyond": _bos_beyond,
    }

    def model(name: str) -> str:
        if name not in made:
            folder = root / name.replace(" ", "_")
            if name in whole:
                made[name] = whole[name](folder)
            elif name in CHANGES:
                made[name] = copy(Path(model("tiny")), folder, CHANGES[name])
            else:
                return name
        return str(made[name])

    return model
