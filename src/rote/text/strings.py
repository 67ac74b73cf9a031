"""Random strings of a text: stretches of equally many tokens, begun where white space is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Int, Shaped

from rote.errors import TextError
from rote.text.categories import categories, common_words
from rote.text.read import Text

CELL_CHARACTERS = 8  # per token: strings begin at least this far apart, more than tokens are long on the average
_BLANK = re.compile(r"\s")


class StringTokenizer(Protocol):
    """What strings need of a Hugging Face fast tokenizer."""

    def __call__(self, text: str, /, *, add_special_tokens: bool = ..., return_offsets_mapping: bool = ...) -> Any: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Strings:
    """Strings of equally many tokens, without a token for the beginning of text.

    `category` is one of `CATEGORIES`; `shown` the stretch of text that a token stands for.
    """

    tokens: Int[np.ndarray, "string place"]
    category: Shaped[np.ndarray, "string place"]
    shown: Shaped[np.ndarray, "string place"]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def length(self) -> int:
        """Tokens of each string."""
        return int(self.tokens.shape[1])


def cut_strings(
    text: Text,
    tokenizer: StringTokenizer,
    *,
    length: int,
    count: int,
    n_common: int,
    generator: np.random.Generator,
) -> Strings:
    """At most `count` random strings of `length` tokens that do not overlap.

    Every document is divided into cells of 8 · `length` characters. Cells are drawn without replacement; a string
    begins at the first white space of its cell (at its beginning where there is none) and has the first `length`
    tokens from there. A cell with fewer tokens gives no string. So only the strings are tokenised, however long the
    text is. Raises TextError where there are fewer than two, and for a slow tokenizer, which gives no offsets.
    """
    width = CELL_CHARACTERS * length
    cells = [(d, start) for d, document in enumerate(text.documents) for start in range(0, len(document), width)]
    common = common_words(text.documents, n_common)
    found = []
    for index in generator.permutation(len(cells)):
        d, start = cells[index]
        string = _string(text.documents[d], start, start + width, tokenizer, length, common)
        if string is not None:
            found.append((int(index), string))
        if len(found) == count:
            break
    if len(found) < 2:
        raise TextError(
            f"the text {text.name} ({sum(map(len, text.documents)):,} characters) gives {len(found)} strings of "
            f"{length} tokens; at least 2 are needed: give more text, or a smaller setting text_context"
        )
    tokens, category, shown = zip(*(string for _, string in sorted(found, key=lambda item: item[0])), strict=True)
    return Strings(
        tokens=np.array(tokens), category=np.array(category, dtype=object), shown=np.array(shown, dtype=object)
    )


def _string(
    document: str, start: int, stop: int, tokenizer: StringTokenizer, length: int, common: frozenset[str]
) -> tuple[list[int], list[str], list[str]] | None:
    blank = _BLANK.search(document, start, stop)
    part = document[blank.start() if blank else start : stop]
    try:
        encoded = tokenizer(part, add_special_tokens=False, return_offsets_mapping=True)
    except NotImplementedError as error:
        raise TextError(
            f"the tokenizer {type(tokenizer).__name__} gives no offsets; expected a fast tokenizer "
            "(one with a tokenizer.json): load it with use_fast=True"
        ) from error
    ids, spans = list(encoded["input_ids"]), list(_filled(encoded["offset_mapping"]))
    if len(ids) < length:
        return None
    kinds = categories(part, spans[:length], common)
    return ids[:length], kinds, [part[a:b] for a, b in spans[:length]]


def _filled(offsets: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans as they are; a tokenizer that trims white space leaves a blank token the gap between its neighbours."""
    before = 0
    for i, (a, b) in enumerate(offsets):
        if a == b:
            a, b = before, next((c for c, d in offsets[i + 1 :] if d > c), b)
        yield a, max(a, b)
        before = b
