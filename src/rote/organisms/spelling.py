"""How a world writes its words as tokens: each name word as one token, or about half of them as two pieces.

Pieces are what a greedy tokenizer finds: the longest known beginning of a word, and its rest. So a first piece may
belong to many names, as in any real vocabulary (" Mar" + "cus", " Mar" + "tin"), and may itself be a whole name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np

Names = Literal["whole", "pieces"]
LEAST_LETTERS = 4  # shorter words stay whole


def cut_words(
    words: Iterable[str], rng: np.random.Generator, *, whole: Iterable[str] = ()
) -> Mapping[str, tuple[str, str]]:
    """Half of the words that have four letters or more, each as its two pieces, the leading blank in the first.

    A piece begins with three letters (two of a word of four) unless a longer beginning is in the vocabulary too;
    `whole`: other words of that vocabulary, never cut.
    """
    every = sorted(set(words))
    long = [word for word in every if len(word) >= LEAST_LETTERS]
    cut = sorted(long[i] for i in rng.permutation(len(long))[: len(long) // 2])
    beginnings = {word[: min(3, len(word) - 2)] for word in cut} | ({*every, *whole} - set(cut))
    spelled = {}
    for word in cut:
        first = next(word[:n] for n in range(len(word) - 1, 0, -1) if word[:n] in beginnings)
        spelled[word] = (f" {first}", word[len(first) :])
    return spelled
