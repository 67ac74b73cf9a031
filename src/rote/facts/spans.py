"""Where a name lies among a prompt's tokens, by the tokenizer's own offsets, and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from rote.errors import FactsError
from rote.facts.table import cut


class Tokenizer(Protocol):
    """What prompts need of a Hugging Face fast tokenizer; any object with these will do."""

    @property
    def bos_token_id(self) -> int | None: ...

    @property
    def eos_token_id(self) -> int | None: ...

    @property
    def pad_token_id(self) -> int | None: ...

    @property
    def unk_token_id(self) -> int | None: ...

    def __call__(self, text: str, /, *, add_special_tokens: bool = ..., return_offsets_mapping: bool = ...) -> Any: ...

    def decode(self, token_ids: list[int], /) -> str: ...

    def convert_ids_to_tokens(self, ids: list[int], /) -> list[str]: ...


Offsets = Sequence[tuple[int, int]]


def tokens_of(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """(token ids, character offsets) of a text without special tokens.

    `FactsError` for slow tokenizers, and for one that breaks down: its tokenizer.json may hold patterns that take
    beyond any limit, which the tokenizers library reports as a panic.
    """
    try:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return list(encoded["input_ids"]), [(int(a), int(b)) for a, b in encoded["offset_mapping"]]
    except (NotImplementedError, KeyError) as error:
        raise FactsError(
            f"the tokenizer {type(tokenizer).__name__} gives no offsets; expected a fast tokenizer "
            "(one with a tokenizer.json): load it with use_fast=True"
        ) from error
    except BaseException as error:
        if not is_panic(error):
            raise
        raise FactsError(
            f"the tokenizer broke down on {cut(text)!r} ({cut(str(error))}); expected a tokenizer.json that can be "
            "applied to any text: use the model's own"
        ) from None


def is_panic(error: BaseException) -> bool:
    """Whether an exception is a panic of the tokenizers library, which is no `Exception`."""
    return type(error).__name__ == "PanicException"


def name_span(
    tokenizer: Tokenizer, text: str, ids: Sequence[int], offsets: Offsets, start: int, stop: int
) -> tuple[int, int, str]:
    """(first, last, problem): inclusive token positions of text[start:stop]; problem "" when they are exact.

    The blank before a name belongs to the name's first token, also where it is a token of its own. Tokenizers
    differ in whether offsets include that blank, and some trim all blanks from them, so the border is checked
    on the offsets and on the decoded border tokens. A token that holds characters from both sides of the
    name's border is a problem: the name has no tokens of its own then.
    """
    inside = [i for i, (a, b) in enumerate(offsets) if a < stop and b > start and b > a]
    if not inside:
        return 0, 0, "no token lies on the entity's name"
    first, last = inside[0], inside[-1]
    left, right = offsets[first][0], offsets[last][1]
    if left < start - 1 or (left < start and text[left] != " ") or _leads(tokenizer, ids[first]) > 1:
        return first, last, f"the token {_shown(tokenizer, ids[first])} straddles the entity's left border"
    if right > stop or _trails(tokenizer, ids[last]):
        return first, last, f"the token {_shown(tokenizer, ids[last])} straddles the entity's right border"
    if text[left:right].strip() != text[start:stop]:
        return first, last, f"its tokens read {text[left:right].strip()!r} instead of the entity"
    return _with_blank(text, offsets, start, first), last, ""


def reading_starts(text: str, offsets: Offsets, start: int) -> list[int]:
    """Per token the character, counted from `start`, at which what it reads begins; −1 for blank tokens.

    Tokenizers differ in whether a token's offsets include the blank before it.
    """
    return [a + len(text[a:b]) - len(text[a:b].lstrip()) - start if text[a:b].strip() else -1 for a, b in offsets]


def _with_blank(text: str, offsets: Offsets, start: int, first: int) -> int:
    """The position of the single blank before the name where that is a token of its own, else `first`."""
    if first == 0 or start == 0 or text[start - 1] != " " or text[max(start - 2, 0) : start] == "  ":
        return first
    a, b = offsets[first - 1]
    trimmed = a == b and b >= start - 1  # a blank whose offsets were trimmed to nothing
    return first - 1 if trimmed or (a, b) == (start - 1, start) else first


def _leads(tokenizer: Tokenizer, token: int) -> int:
    """How many blanks the decoded token begins with."""
    text = tokenizer.decode([token])
    return len(text) - len(text.lstrip()) if text.strip() else 0


def _trails(tokenizer: Tokenizer, token: int) -> bool:
    """Whether the decoded token ends in a blank, as one does that swallows what follows the name."""
    text = tokenizer.decode([token])
    return bool(text.strip()) and text != text.rstrip()


def _shown(tokenizer: Tokenizer, token: int) -> str:
    return repr(tokenizer.convert_ids_to_tokens([token])[0])


def prefix_tokens(offsets: Offsets, length: int) -> int:
    """How many tokens begin inside the first `length` characters and end there too."""
    return next((i for i, (_, b) in enumerate(offsets) if b > length), len(offsets))
