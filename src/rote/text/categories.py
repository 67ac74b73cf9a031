"""What kind of token a token of running text is: exact rules, in words at the function."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

CATEGORIES: tuple[str, ...] = ("newline", "full_stop", "comma", "common_word", "alphabetic", "other")
_WORD = re.compile(r"[^\W\d_]+")


def common_words(documents: Iterable[str], count: int) -> frozenset[str]:
    """The `count` commonest words of a text, in lower case; a word is an unbroken run of letters.

    Words that are equally common stand in the order of the alphabet, so the choice depends on the text alone.
    """
    found: Counter[str] = Counter()
    for document in documents:
        found.update(_WORD.findall(document.lower()))
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return frozenset(word for word, _ in ranked[:count])


def categories(text: str, spans: Sequence[tuple[int, int]], common: frozenset[str]) -> list[str]:
    """The category of each token, given the stretch of `text` that it stands for; the first rule that fits.

    newline: nothing but white space, a line break among it. full_stop, comma: a single "." or ",", white space
    beside it not counted. common_word: a whole word (letters only, no letter before or after it in the text) that is
    in `common`, in lower case. alphabetic: letters only, so also a part of a word. other: all else, such as digits,
    other signs, white space without a line break, and bytes of a character that stands for no letter.
    """
    return [_category(text, start, stop, common) for start, stop in spans]


def _category(text: str, start: int, stop: int, common: frozenset[str]) -> str:
    shown = text[start:stop]
    core = shown.strip()
    if not core:
        return "newline" if "\n" in shown or "\r" in shown else "other"
    if core in (".", ","):
        return "full_stop" if core == "." else "comma"
    if not core.isalpha():
        return "other"
    joined = (shown[:1].isalpha() and text[:start][-1:].isalpha()) or (
        shown[-1:].isalpha() and text[stop : stop + 1].isalpha()
    )
    return "common_word" if not joined and core.lower() in common else "alphabetic"
