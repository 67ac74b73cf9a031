"""Whole answers beside first tokens, in one process: seconds of a core over a folder of relations.

`python -m benchmarks.whole_answers MODEL FACTS` prints one row per relation and the ratio over all of them. Both are
timed one after the other on the same relation, in processor seconds of one thread, so that other work on the machine
shifts both alike. Most facts that a relation may have are asked: `--most` of each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from rote.asking import ask
from rote.errors import FactsError
from rote.facts import RelationPrompts, build_prompts, read_facts
from rote.model import Model, load_model
from rote.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Paired:
    """One relation asked both ways: seconds, and what is known by probability, top-1 and among the answers."""

    relation: str
    n_facts: int
    n_answers: int
    first_token_s: float
    whole_s: float
    first_token: tuple[int, ...]
    whole: tuple[int, ...]

    def __str__(self) -> str:
        what = f"{self.relation[:32]:32s} {self.n_facts:,} facts, {self.n_answers:,} answers"
        took = f"{self.first_token_s:.2f} s by first token, {self.whole_s:.2f} s whole"
        ratio = self.whole_s / self.first_token_s
        return f"{what}: {took}, x{ratio:.2f}; known in three ways {self.first_token} -> {self.whole}"


def paired(model: Model, prompts: RelationPrompts, settings: Settings) -> Paired:
    """Both ways to score one relation's answers."""
    first, first_s = _timed(lambda: _known(model, prompts.merged(), settings))
    whole, whole_s = _timed(lambda: _known(model, prompts, settings))
    return Paired(
        relation=prompts.relation.name,
        n_facts=len(prompts),
        n_answers=len(prompts.classes),
        first_token_s=first_s,
        whole_s=whole_s,
        first_token=first,
        whole=whole,
    )


def _known(model: Model, prompts: RelationPrompts, settings: Settings) -> tuple[int, ...]:
    known = ask(model, prompts, settings)
    return tuple(int(known.by(how, prompts.cls, settings).sum()) for how in ("probability", "top1", "among_answers"))


def _timed(work: Callable[[], tuple[int, ...]]) -> tuple[tuple[int, ...], float]:
    start = time.process_time()
    return work(), time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("facts")
    parser.add_argument("--most", type=int, default=1_000_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model, table, settings = load_model(given.model), read_facts(given.facts), Settings()
    rows: list[Paired] = []
    for relation in table.relations:
        try:
            prompts = build_prompts(table, relation.name, model.tokenizer)
        except FactsError as error:
            print(f"{relation.name}: {error.problems[0]}")
            continue
        chosen = np.sort(np.random.default_rng(0).permutation(len(prompts))[: given.most])
        rows.append(paired(model, prompts.take(chosen), settings))
        print(rows[-1], flush=True)
    first, whole = sum(row.first_token_s for row in rows), sum(row.whole_s for row in rows)
    print(f"{len(rows)} relations: {first:.1f} s first token, {whole:.1f} s whole, x{whole / first:.2f}")


if __name__ == "__main__":
    main()
