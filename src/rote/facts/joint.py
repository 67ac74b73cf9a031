"""What stands between a question and its answer: a blank, or nothing, by the characters that would touch."""

from __future__ import annotations

import unicodedata

BLANKS = ("auto", "always", "never")

_QUOTES = "\"'`"  # the same sign opens and closes
_CLOSED = ".,;!?…)]}%"  # what a closing mark stands behind
_ATTACHED = "@#/\\_"  # signs that belong to what follows: @name, #tag, /path, snake_case
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3000, 0x30FF),  # signs of East Asian texts, hiragana, katakana
    (0x3100, 0x312F),  # bopomofo
    (0x31F0, 0x31FF),  # more katakana
    (0x3400, 0x4DBF),  # Chinese characters
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF00, 0xFF9F),  # signs as wide as a Chinese character, narrow katakana
    (0x20000, 0x3FFFF),
)  # scripts that part words by no blanks; Korean does


def with_joint(question: str, answer: str, blank: str = "auto") -> tuple[str, str]:
    """(question without the blanks at its end, what to put between it and the answer): "" or " ".

    Blanks at the question's end belong to the answer; `always` puts one in any case, `never` none that the question
    has not. `auto`: none behind white space, an opening bracket or quotation mark, a currency sign or one of
    @ # / \\ _, and none in scripts without blanks (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan).
    """
    text = question.rstrip(" ")
    if blank == "always" or (text != question and not text[-1:].isspace()):
        return text, " "
    return text, "" if blank == "never" or touches(text, answer) else " "


def touches(text: str, answer: str) -> bool:
    """Whether an answer follows a text without a blank."""
    last, first = text[-1:], answer[:1]
    if not last or last.isspace() or last in _ATTACHED:
        return True
    if unicodedata.category(last) in ("Ps", "Sc"):
        return True
    if last in _QUOTES or unicodedata.category(last) in ("Pi", "Pf"):
        return _opens(text)
    if unspaced(last):
        return True
    letter = next((c for c in reversed(text) if c.isalpha()), "")
    return unspaced(first) and unspaced(letter)


def unspaced(character: str) -> bool:
    """Whether a character is of a script that parts words by no blanks, or one of its signs."""
    return bool(character) and any(low <= ord(character) <= high for low, high in _UNSPACED)


def _opens(text: str) -> bool:
    """Whether the quotation mark at a text's end opens: what it would close does not stand right before it."""
    before = text.rstrip(_QUOTES + text[-1:])[-1:]
    return not before or not (before.isalnum() or before in _CLOSED)
