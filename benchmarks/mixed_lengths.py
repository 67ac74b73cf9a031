"""What mixed lengths cost: prompts of one length beside as many tokens in prompts of many, through `PromptSet.forward`.

`python -m benchmarks.mixed_lengths MODEL`, a folder. Both are run in turns in one process, on random tokens; the ratio
of the medians is printed with the least and the greatest of single rounds. Lengths are drawn as names make those of the
LRE relation "person native language": 6 to 24 tokens, most of them near 10.
"""

from __future__ import annotations

import sys
import time
from statistics import median

import numpy as np
import torch

import rote
from rote.asking.prompts import PromptSet
from rote.model import Model

N, BATCH, ROUNDS = 256, 32, 5


def lengths_of_names(n: int, generator: np.random.Generator) -> np.ndarray:
    """So many lengths whose sum is ten times their number, from 6 to 24."""
    found = np.clip(6 + generator.geometric(0.2, n), 6, 24)
    while (rest := 10 * n - int(found.sum())) != 0:
        i = int(generator.integers(n))
        found[i] = np.clip(found[i] + np.sign(rest), 6, 24)
    return found


def prompts_of(model: Model, lengths: np.ndarray, generator: np.random.Generator) -> PromptSet:
    """Random tokens, right-padded."""
    mask = torch.arange(int(lengths.max()))[None] < torch.as_tensor(lengths)[:, None]
    tokens = torch.as_tensor(generator.integers(10, 1000, size=tuple(mask.shape))) * mask
    end = torch.as_tensor(lengths) - 1
    return PromptSet(
        model=model, tokens=tokens, mask=mask, subject_first=end - 3, subject_last=end - 2, end=end,
        class_tokens=torch.arange(10, 20), cls=torch.zeros(len(lengths), dtype=torch.long), batch_size=BATCH,
    )  # fmt: skip


def seconds(model: Model, lengths: np.ndarray, generator: np.random.Generator) -> float:
    """Of one pass over new prompts, of which nothing is kept yet."""
    prompts = prompts_of(model, lengths, generator)
    start = time.perf_counter()
    prompts.forward()
    return time.perf_counter() - start


def main(folder: str) -> None:
    model, generator = rote.load_model(folder), np.random.default_rng(0)
    mixed = lengths_of_names(N, generator)
    one = np.full(N, 10)
    assert mixed.sum() == one.sum()
    seconds(model, one, generator), seconds(model, mixed, generator)
    rounds = [(seconds(model, one, generator), seconds(model, mixed, generator)) for _ in range(ROUNDS)]
    ratio = median(m for _, m in rounds) / median(o for o, _ in rounds)
    single = sorted(m / o for o, m in rounds)
    print(
        f"{one.sum():,} tokens in {N} prompts: mixed lengths take {ratio:.2f} times as long ({single[0]:.2f}–"
        f"{single[-1]:.2f}) as one length; {median(o for o, _ in rounds):.2f} s, {torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    main(sys.argv[1])
