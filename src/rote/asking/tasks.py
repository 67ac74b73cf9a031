"""Prompts that an experiment makes itself: a clean one with its answer, and beside it, if wanted, a corrupted one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from rote.errors import ExperimentError
from rote.facts.spans import tokens_of


@dataclass(frozen=True, kw_only=True)
class TaskPrompt:
    """One prompt in words. `corrupt` has as many tokens as `clean`, `wrong` is what it would be answered with."""

    clean: str
    answer: str
    corrupt: str | None = None
    wrong: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskPrompts:
    """Prompts as right-padded token arrays, bos first where the tokenizer has one; the answer follows position `end`.

    `corrupt` and `wrong` are None unless every prompt has them.
    """

    prompts: tuple[TaskPrompt, ...]
    tokens: Int[np.ndarray, "prompt pos"]
    mask: Bool[np.ndarray, "prompt pos"]
    end: Int[np.ndarray, " prompt"]
    answer: Int[np.ndarray, " prompt"]
    corrupt: Int[np.ndarray, "prompt pos"] | None
    wrong: Int[np.ndarray, " prompt"] | None

    @classmethod
    def of(cls, tokenizer: Any, prompts: Sequence[TaskPrompt]) -> TaskPrompts:
        """Prompts put before a tokenizer; ExperimentError with every prompt that cannot be used, and why.

        FactsError for a slow tokenizer.
        """
        problems: list[str] = [] if prompts else ["no prompt was made; expected at least one"]
        bos = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]

        def words(text: str) -> list[int]:
            return [*bos, *tokens_of(tokenizer, text)[0]]

        def one(text: str, what: str) -> int:
            found = tokens_of(tokenizer, text)[0]
            if len(found) != 1:
                problems.append(f"the {what} {text!r} has {len(found)} tokens; expected one")
            return found[0] if found else 0

        clean = [words(p.clean) for p in prompts]
        answer = [one(p.answer, "answer") for p in prompts]
        corrupt = [words(p.corrupt) for p in prompts if p.corrupt is not None]
        wrong = [one(p.wrong, "wrong answer") for p in prompts if p.wrong is not None]
        for name, found in (("corrupt", corrupt), ("wrong", wrong)):
            if found and len(found) != len(prompts):
                problems.append(f"{len(found)} of {len(prompts)} prompts have {name!r}; expected all or none")
        for p, whole, other in zip(prompts, clean, corrupt, strict=False):
            if len(whole) != len(other):
                problems.append(
                    f"{p.clean!r} has {len(whole)} tokens and its corrupt form {p.corrupt!r} has {len(other)}; "
                    "expected as many"
                )
        if problems:
            raise ExperimentError(problems)
        tokens, mask = _padded(clean)
        return cls(
            prompts=tuple(prompts),
            tokens=tokens,
            mask=mask,
            end=mask.sum(axis=1) - 1,
            answer=np.array(answer),
            corrupt=_padded(corrupt)[0] if corrupt else None,
            wrong=np.array(wrong) if wrong else None,
        )

    def __len__(self) -> int:
        return len(self.prompts)


def _padded(rows: Sequence[Sequence[int]]) -> tuple[Int[np.ndarray, "row pos"], Bool[np.ndarray, "row pos"]]:
    width = max(map(len, rows))
    mask = np.arange(width) < np.array([len(row) for row in rows])[:, None]
    tokens = np.zeros(mask.shape, dtype=np.int64)
    tokens[mask] = np.concatenate(rows)
    return tokens, mask
