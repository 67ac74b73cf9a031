"""The organism's tokenizer: one token per word, its leading space included, or its pieces where the vocabulary has
those."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

BOS, UNK, PAD = "<bos>", "<unk>", "<pad>"
SPECIALS = (BOS, UNK, PAD)

# In this order: capital initials (" J.J."), words with inner apostrophes, hyphens or points (" De'Aaron",
# " Smith-Schuster"), then any other single sign. A full stop after a word stays a token of its own.
PIECE = r" ?(?:\p{Lu}\.)+|" r" ?[\p{L}\p{N}]+(?:['’\-.][\p{L}\p{N}]+)*|" r"\n| |[^\s]"


def build_tokenizer(pieces: Iterable[str], *, cut: bool = False) -> PreTrainedTokenizerFast:
    """A fast tokenizer whose vocabulary is `<bos>`, `<unk>`, `<pad>` and then `pieces` in their order.

    `cut`: a word that is no piece is read as several, the longest first; else every word is one token.

    Encoding with `add_special_tokens=True` (the default) puts `<bos>` before the text; with False nothing is
    added. A token's offsets include its leading space. Words that the vocabulary cannot spell become `<unk>`.
    """
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys((*SPECIALS, *pieces)))}
    core = Tokenizer(
        # pieces inside a word have no mark but the blank that they lack, so that decoding is joining
        models.WordPiece(vocabulary, unk_token=UNK, continuing_subword_prefix="", max_input_chars_per_word=100)
        if cut
        else models.WordLevel(vocabulary, unk_token=UNK)
    )
    core.pre_tokenizer = pre_tokenizers.Split(Regex(PIECE), behavior="isolated")
    core.decoder = decoders.Fuse()
    core.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, vocabulary[BOS])]
    )
    core.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIALS])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=BOS,
        unk_token=UNK,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
    )


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes tokenizer.json and tokenizer_config.json, with the class name that every version of transformers
    knows."""
    tokenizer.save_pretrained(str(folder))
    path = folder / "tokenizer_config.json"
    config = {**json.loads(path.read_text(encoding="utf-8")), "tokenizer_class": "PreTrainedTokenizerFast"}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
