"""Tokenizers for the tests of prompts: small ones built offline, and real ones where they are at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SHARED = Path(__file__).parents[3] / "shared" / "data"
NEOX = SHARED / "tokenizers" / "neox20b" / "20B_tokenizer.json"
GPT2 = SHARED / "tokenizers" / "gpt2"
STORIES = SHARED / "checkpoints" / "stories260K"


def needs(path: Path) -> pytest.MarkDecorator:
    """Skips a test where the shared data is absent."""
    return pytest.mark.skipif(not path.exists(), reason=f"{path.name} is not at hand")


def word_level(words: str, *, bos: bool = True) -> Any:
    """One token per word, split at blanks, line breaks and punctuation; unknown words are <unk>."""
    vocabulary = ["<pad>", "<unk>", "<bos>", *dict.fromkeys(words.split())]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"bos_token": "<bos>"} if bos else {}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", **special)


def merging(pieces: Sequence[str]) -> Any:
    """No pre-tokenizer: any of `pieces` may be one token, across blanks too; else single letters."""
    letters = sorted({letter for piece in pieces for letter in piece} | set(map(chr, range(32, 127))) | {"\n"})
    vocabulary = [("<unk>", 0.0), *((letter, -10.0) for letter in letters)]
    vocabulary += [(piece, -1.0) for piece in pieces if len(piece) > 1]
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.Unigram(vocabulary, unk_id=0)))


def byte_level(texts: Sequence[str]) -> Any:
    """A byte-level BPE as in GPT-2, with offsets that leave the blank out, trained on `texts`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[AddedToken("<|endoftext|>", special=True)],  # type: ignore[list-item]
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


def metaspace(words: Sequence[str]) -> Any:
    """Sentencepiece's way: blanks are ▁ on the token that follows, with a dummy one at the text's start."""
    letters = sorted({letter for word in words for letter in word} | set(map(chr, range(33, 127))) | {"▁", "\n"})
    vocabulary = [("<unk>", 0.0), *((letter, -10.0) for letter in letters)]
    vocabulary += [(f"▁{word}", -1.0) for word in dict.fromkeys(words)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<unk>", unk_token="<unk>")


def neox() -> Any:
    """Pythia's tokenizer, with its bos."""
    return PreTrainedTokenizerFast(
        tokenizer_file=str(NEOX),
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
    )


def gpt2() -> Any:
    """GPT-2's tokenizer from its two published files."""
    tokenizer = Tokenizer(models.BPE.from_file(str(GPT2 / "encoder.json"), str(GPT2 / "vocab.bpe")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>")


def stories() -> Any:
    """The sentencepiece-like tokenizer of a small Llama."""
    return PreTrainedTokenizerFast.from_pretrained(str(STORIES))
