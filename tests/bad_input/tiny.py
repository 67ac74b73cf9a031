"""A served checkpoint of a few thousand weights, with a byte-level tokenizer that takes any text, and broken copies."""

from __future__ import annotations

import json
import shutil
import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

CONTEXT = 400
N_EMBEDDINGS = 320
BOS = "<|endoftext|>"


def byte_level(*, bos: bool = True) -> Any:
    """One token per byte, and one for a blank with an English letter, so that words are told apart by their first."""
    merges = [("Ġ", letter) for letter in string.ascii_letters]
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(BOS, special=True)])  # type: ignore[list-item]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **({"bos_token": BOS} if bos else {}))


def merging(pieces: Sequence[str]) -> Any:
    """Any of `pieces` may be one token, across blanks too; else single letters."""
    letters = sorted({letter for piece in pieces for letter in piece} | set(map(chr, range(32, 127))) | {"\n"})
    vocabulary = [("<unk>", 0.0), *((letter, -10.0) for letter in letters)]
    vocabulary += [(piece, -1.0) for piece in pieces if len(piece) > 1]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<unk>", unk_token="<unk>")


def deleting() -> Any:
    """The byte-level one, for which snowmen do not exist."""
    tokenizer = byte_level()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(Regex("\u2603+"), "")
    return tokenizer


def lowering() -> Any:
    """The byte-level one, for which capitals do not exist."""
    tokenizer = byte_level()
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    return tokenizer


def checkpoint(folder: Path, tokenizer: Any) -> Path:
    """A whole checkpoint with random weights."""
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=N_EMBEDDINGS, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=CONTEXT,
    )  # fmt: skip
    GPTNeoXForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def edited(file: str, change: Callable[[Any], object]) -> Callable[[Path], None]:
    """A change of one of a folder's JSON files."""

    def apply(folder: Path) -> None:
        data = json.loads((folder / file).read_text(encoding="utf-8"))
        change(data)
        (folder / file).write_text(json.dumps(data), encoding="utf-8")

    return apply


def copy(source: Path, target: Path, change: Callable[[Path], object]) -> Path:
    """A copy of a checkpoint, changed."""
    shutil.copytree(source, target)
    change(target)
    return target
