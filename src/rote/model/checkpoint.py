"""What a checkpoint's files say before a weight is read: nothing in them is executed, and lies are found here.

rote reads config.json, the headers of *.safetensors, tokenizer.json; it never imports code from a checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from safetensors import SafetensorError, safe_open

from rote.errors import ModelRefused
from rote.model.families import FAMILIES, family_of

WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES, PICKLE_INDEX = ("pytorch_model.bin",), "pytorch_model.bin.index.json"
MOST_JSON_BYTES = 512 * 2**20
MOST_GROWTH = 1000  # how many characters a tokenizer's normalizer may make of one


def folder_problems(folder: Path, *, allow_pickle: bool = False, tokenizer: bool = True) -> list[str]:
    """Everything that is wrong with a local checkpoint, as far as its files' headers say."""
    config, problems = _object(folder / "config.json")
    if config is None and not problems:
        problems.append(f"folder {folder} has no config.json; expected a checkpoint in Hugging Face layout")
    if config is not None:
        problems += code_problems(str(folder), config) or _family_problems(config)
    shapes, wrong = _weights(folder, allow_pickle)
    problems += wrong
    if config is not None and shapes:
        problems += _size_problems(folder, config, shapes)
    if (folder / "adapter_config.json").exists():
        problems.append(
            f"folder {folder} holds an adapter (adapter_config.json), which would load another model from elsewhere; "
            "expected whole weights: merge the adapter into its model first"
        )
    if tokenizer:
        problems += _tokenizer_problems(folder)
    return problems


def _family_problems(config: Mapping[str, Any]) -> list[str]:
    """The sentence about a family that is not served by its name alone; the rest is for the whole configuration."""
    model_type = config.get("model_type", "unknown")
    if any(family.model_type == model_type for family in FAMILIES):
        return []
    try:
        family_of(SimpleNamespace(model_type=model_type))
    except ModelRefused as error:
        return list(error.problems)
    return []


def code_problems(name: str, config: Mapping[str, Any]) -> list[str]:
    """Sentences about a configuration that asks for code of its own to be run."""
    problems = []
    if config.get("auto_map"):
        named = ", ".join(sorted(map(str, config["auto_map"]))) if isinstance(config["auto_map"], dict) else "code"
        problems.append(
            f"{name} asks to run code of its own (auto_map in its configuration, for {named}); rote never runs code "
            "from a checkpoint and has no flag for it. Where transformers knows the architecture itself, take auto_map "
            "out of a local copy"
        )
    for key in ("attn_implementation", "_attn_implementation", "experts_implementation", "kernel_config"):
        if "/" in str(config.get(key, "")):
            problems.append(
                f"{name} asks for a kernel from the hub ({key}: {str(config[key])[:80]!r}); rote runs none: take it "
                "out of a local copy"
            )
    return problems


def has_safetensors(folder: Path) -> bool:
    """Whether a folder has weights in safetensors."""
    return (folder / WEIGHTS).is_file() or (folder / WEIGHTS_INDEX).is_file()


# ---------------------------------------------------------- weights
def _weights(folder: Path, allow_pickle: bool) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """(shape of every tensor, problems) from the headers of the weights' files."""
    if (folder / WEIGHTS).is_file():
        return _shapes([folder / WEIGHTS])
    if (folder / WEIGHTS_INDEX).is_file():
        files, problems = _indexed(folder, WEIGHTS_INDEX)
        shapes, more = _shapes(files)
        return shapes, problems + more
    pickled = [name for name in (*PICKLES, PICKLE_INDEX) if (folder / name).is_file()]
    if pickled and allow_pickle:
        return {}, _indexed(folder, PICKLE_INDEX)[1] if pickled == [PICKLE_INDEX] else []
    if pickled:
        return {}, [
            f"folder {folder} has its weights in {pickled[0]} alone, a pickle, which can carry code; expected "
            "model.safetensors: convert it, or read its tensors and nothing else with --allow-pickle "
            "(allow_pickle=True)",
        ]
    there = sorted(path.name for path in folder.iterdir())[:8]
    return {}, [
        f"folder {folder} has no weights; expected {WEIGHTS} or {WEIGHTS_INDEX}, "
        f"it holds {', '.join(there) or 'nothing'}"
    ]


def _indexed(folder: Path, name: str) -> tuple[list[Path], list[str]]:
    """The files that an index names; a name that leads out of the folder is a problem, and so is a missing file."""
    index, problems = _object(folder / name)
    where = (index or {}).get("weight_map")
    if not isinstance(where, dict) or not all(isinstance(file, str) for file in where.values()):
        return [], problems or [f"{folder / name} has no weight_map of tensors to files: download the checkpoint again"]
    files = sorted(set(where.values()))
    for file in files:
        if Path(file).name != file or "\\" in file or file.startswith("."):
            problems.append(f"{folder / name} names the file {file!r}; expected a plain name in the same folder")
        elif not (folder / file).is_file():
            problems.append(f"{folder} lacks {file}, which {name} names: download the checkpoint again")
    return [] if problems else [folder / file for file in files], problems


def _shapes(files: list[Path]) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    shapes: dict[str, tuple[int, ...]] = {}
    problems = []
    for path in files:
        try:
            with safe_open(path, framework="pt") as opened:
                for key in opened.keys():  # noqa: SIM118 (no mapping)
                    shapes[key] = tuple(opened.get_slice(key).get_shape())
        except (SafetensorError, OSError, ValueError, OverflowError) as error:
            problems.append(
                f"cannot load {path}: it is no whole safetensors file ({_first_line(error)}); expected a header that "
                "describes exactly what follows it: download it again"
            )
    return shapes, problems


def _size_problems(folder: Path, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Sizes that the weights cannot bear out: building such a model could take all memory or all time."""
    n_elements = sum(prod(shape) for shape in shapes.values())
    layers = _whole(config, "num_hidden_layers", "n_layer")
    vocab, width = _whole(config, "vocab_size"), _whole(config, "hidden_size", "n_embd")
    problems = []
    if layers > len(shapes):
        problems.append(f"{layers:,} layers, and its weights have {len(shapes):,} tensors in all")
    if vocab * width > n_elements:
        problems.append(f"{vocab:,} × {width:,} embeddings, and its weights have {n_elements:,} numbers in all")
    return [
        f"{folder / 'config.json'} speaks of {problem}: expected the config.json of these weights"
        for problem in problems
    ]


def _whole(config: Mapping[str, Any], *keys: str) -> int:
    found = [config[key] for key in keys if isinstance(config.get(key), int)]
    return int(found[0]) if found else 0


# ---------------------------------------------------------- tokenizer
def _tokenizer_problems(folder: Path) -> list[str]:
    settings, problems = _object(folder / "tokenizer_config.json")
    problems += code_problems(f"the tokenizer of {folder}", settings or {})
    described, more = _object(folder / "tokenizer.json")
    if described is None:
        sources = ("vocab.json", "tokenizer.model", "spiece.model", "vocab.txt")
        if not more and not any((folder / name).is_file() for name in sources):
            more = [
                f"folder {folder} has no tokenizer.json; expected the model's fast tokenizer beside its weights: "
                "copy it there"
            ]
        return problems + more
    for part in ("normalizer", "decoder"):
        growth = _growth(described.get(part))
        if growth > MOST_GROWTH:
            problems.append(
                f"{folder / 'tokenizer.json'} has a {part} that makes up to {growth:,.0f} characters of one; expected "
                f"at most {MOST_GROWTH:,}: use the model's own tokenizer"
            )
    return problems


def _growth(part: Any) -> float:
    """Into how many characters a normalizer's or decoder's steps can turn one, at most."""
    if not isinstance(part, dict):
        return 1
    growth = 1.0
    for step in part.get("normalizers") or part.get("decoders") or ():
        growth *= _growth(step)
    text = part.get("content") or part.get("prepend")
    return growth * max(1, len(text)) if isinstance(text, str) else growth


# ---------------------------------------------------------- JSON
def _object(path: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """(the object in a JSON file, problems); (None, []) where there is no such file."""
    if not path.exists():
        return None, []
    try:
        if path.stat().st_size > MOST_JSON_BYTES:
            return None, [f"{path} has {path.stat().st_size:,} bytes; at most {MOST_JSON_BYTES:,} are read"]
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        return None, [f"cannot load {path}: {_first_line(error)}; expected one JSON object"]
    if not isinstance(found, dict):
        return None, [f"{path} holds a {type(found).__name__}; expected one JSON object"]
    return found, []


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
