"""Which texts can stand in a prompt and be read in a report; nothing is normalised, only refused.

Names of any script pass, with combining marks in any normal form. What is refused cannot be seen, or cannot be what
its author meant: two people would read one name and the model another.
"""

from __future__ import annotations

import unicodedata

MOST_CHARACTERS = 1000
_MOST_MARKS = 30  # in a row, the bound of Unicode's stream-safe text format
_JOINERS = "\u200c\u200d"  # Persian and Indic names are spelt with them
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_VISIBLE_FORMATS = frozenset(
    [*map(chr, range(0x600, 0x606)), *map(chr, (0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD))]
)  # signs that stand before or around digits in Arabic, Syriac and Kaithi
_WIDE_BLANK = "\u3000"  # between the parts of Japanese names


def text_problem(text: str, *, allowed: str = "", most: int = MOST_CHARACTERS) -> str:
    """What is wrong with a text ("holds the control character U+0007"), or ""; `allowed` passes in any case."""
    if len(text) > most:
        return f"has {len(text):,} characters; at most {most:,} are taken"
    if text.isascii() and text.isprintable():
        return ""
    if not is_text(text):
        return "is no valid Unicode"
    for character in text:
        if character not in allowed and (what := _refused(character)):
            return f"holds {what} {_code(character)}"
    return _mark_problem(text)


def is_text(text: str) -> bool:
    """Whether UTF-8 can hold it: not with a lone surrogate, which JSON can spell and no tokenizer takes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def composed(text: str) -> str:
    """The text as Unicode composes it (NFC), to find two spellings that look the same."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _refused(character: str) -> str:
    """What a character is that no cell may hold, or ""."""
    if character.isprintable() or character in _JOINERS or character in _VISIBLE_FORMATS:
        return "the replacement of a byte that was not read," if character == "\ufffd" else ""
    category = unicodedata.category(character)
    if character in _BIDI:
        return "the direction mark"
    if category == "Zs":
        return "" if character == _WIDE_BLANK else "the unusual blank"
    if category == "Cn":
        return "the noncharacter" if _is_noncharacter(character) else ""
    names = {"Cc": "the control character", "Zl": "the line separator", "Zp": "the line separator"}
    return names.get(category, "" if category == "Co" else "the invisible character")


def _is_noncharacter(character: str) -> bool:
    return ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF


def _mark_problem(text: str) -> str:
    categories = [unicodedata.category(c) for c in text]
    if not any(category[0] in "LNPSC" and category != "Cf" for category in categories) and text.strip():
        return "has no visible character of its own"
    if categories[:1] and categories[0][0] == "M":
        return f"begins with the combining mark {_code(text[0])}, which would join the word before it"
    run = 0
    for category in categories:
        run = run + 1 if category[0] == "M" else 0
        if run > _MOST_MARKS:
            return f"has more than {_MOST_MARKS} combining marks on one letter"
    return ""


def _code(character: str) -> str:
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X}" + (f" ({name})" if name else "")
