"""The token that stands first in every prompt: every study needs one, or word that there is to be none."""

from __future__ import annotations

from typing import Any


def bos_problems(name: str, tokenizer: Any, config: Any, *, without: bool) -> list[str]:
    """What is wrong with a tokenizer's bos token for the model of that name; `without`: it was asked for none."""
    bos, size = tokenizer.bos_token_id, vocabulary(config)
    if bos is None and not without:
        spare = getattr(tokenizer, "eos_token", None) or "<|endoftext|>"
        return [
            f"the tokenizer of {name} has no bos token; expected one, since every prompt and every name alone begins "
            f"with it: say which token to put first, such as --bos {spare!r}, or --bos none to ask without one "
            f"(rote.load_model(…, bos={spare!r} or bos='none'))"
        ]
    if bos is not None and size and bos >= size:
        return [
            f"the bos token {tokenizer.bos_token!r} of {name} has the id {bos}; the model has {size} embeddings: put "
            "another token first with --bos (bos=…)"
        ]
    return []


def vocabulary(config: Any) -> int | None:
    """How many embeddings a configuration says there are."""
    size = getattr(config, "vocab_size", None)
    return size if isinstance(size, int) else None
