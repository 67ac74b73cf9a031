"""Measures the constants of docs/scale.md on this machine, and counts what its study would take; prints both."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

import rote
from rote.asking import ask
from rote.execute import Inline, Ray
from rote.experiments import EXPERIMENTS
from rote.experiments.base import Facts
from rote.experiments.cost import Cost, Sizes
from rote.experiments.known_facts.measure import KnownFactsExperiment
from rote.facts import build_prompts, read_facts
from rote.lineup import CONTROLS
from rote.model import load_model
from rote.organisms import BUNDLED
from rote.pipeline.worker import prepare
from rote.records import RunFolder, Shard
from rote.records.shards import encode

N_SHARDS, RESULT_MB, N_RESULTS = 300, 16, 8
WIDTH, LAYERS, TOKENS, ROWS = 1024, 4, 16, 64


@dataclass(frozen=True, kw_only=True)
class Study:
    """The study that is planned: Llama-2-70B's shape, all facts of one relation, prompts of 24 tokens."""

    n_facts: int = 100_000
    n_layers: int = 80
    n_heads: int = 64
    d_model: int = 8192
    d_mlp: int = 28_672
    vocabulary: int = 32_000
    n_parameters: float = 68.98e9
    block_parameters: float = 855.6e6
    n_tokens: int = 24
    n_classes: int = 20


def seconds(call: Callable[[], object], times: int = 3, clock: Callable[[], float] = time.process_time) -> float:
    """The fastest of some calls: of this process alone, so that what else the machine does hardly counts."""
    return min(_once(call, clock) for _ in range(times))


def _once(call: Callable[[], object], clock: Callable[[], float]) -> float:
    begin = clock()
    call()
    return clock() - begin


def between(results: Iterable[object]) -> float:
    """The shortest time between two results."""
    times = [time.perf_counter() for _ in results]
    return min(after - before for before, after in pairwise(times))


def measured() -> dict[str, str]:
    """One line per constant."""
    return {**of_ray(), **of_the_model(), **of_the_facts()}


def _nothing() -> None: ...


def _same(state: None, shard: int) -> int:
    return shard


def _large(state: None, shard: int) -> bytes:
    return bytes(RESULT_MB * 10**6)


def of_ray() -> dict[str, str]:
    with Ray(workers=1).session() as running:
        empty = between(running.execute(_nothing, _same, range(N_SHARDS)))
        large = between(running.execute(_nothing, _large, range(N_RESULTS)))
    here = between(Inline().execute(_nothing, _same, range(N_SHARDS)))
    return {
        f"an empty shard on a Ray worker, the fastest of {N_SHARDS}": f"{empty * 1e3:.2f} ms",
        "an empty shard inline": f"{here * 1e6:.1f} µs",
        f"results of {RESULT_MB} MB from a worker, pickled and copied": f"{RESULT_MB / (large - empty):.0f} MB/s",
    }


def of_the_model() -> dict[str, str]:
    shape: dict[str, Any] = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 16}
    config = GPTNeoXConfig(**shape, num_hidden_layers=LAYERS, vocab_size=1000, max_position_embeddings=64)
    model = load_model(GPTNeoXForCausalLM(config).eval(), tokenizer=SimpleNamespace(), check=False)
    tokens = torch.zeros((ROWS, TOKENS), dtype=torch.long)
    block = seconds(lambda: model.record(tokens)) / ROWS / LAYERS
    operations = 2 * TOKENS * sum(p.numel() for p in model.wiring.blocks[0].parameters())
    x, w = torch.randn(ROWS * TOKENS, WIDTH), torch.randn(WIDTH, 4 * WIDTH)
    peak = 2 * ROWS * TOKENS * WIDTH * 4 * WIDTH / seconds(lambda: x @ w)
    content = os.urandom(10**8)
    return {
        f"a prompt of {TOKENS} tokens through a block of width {WIDTH}, float32": f"{block * 1e3:.2f} ms",
        "the same, per 10⁹ operations": f"{block / operations * 1e12:.1f} ms",
        "operations a second, of those of a bare matrix product": f"{operations / block / peak:.0%}",
        "sha256": f"{100 / seconds(lambda: hashlib.sha256(content).digest()):.0f} MB/s",
    }


def of_the_facts() -> dict[str, str]:
    model, settings = load_model(BUNDLED, check=False), rote.Settings()
    table = read_facts("athletes", relation="sport", prefix="")
    n = len(table.facts)
    asking = seconds(lambda: build_prompts(table, "sport", model.tokenizer), 2)
    prompts = build_prompts(table, "sport", model.tokenizer)
    known = ask(model, prompts, settings)
    given, experiment = Facts(model=model, prompts=prompts, known=known, settings=settings), KnownFactsExperiment()
    tabulating = seconds(lambda: experiment.record(given), 2)
    shard, record = Shard("known_facts", "sport"), experiment.record(given)
    size = len(encode(shard, record, "0" * 64))
    with tempfile.TemporaryDirectory() as folder, RunFolder.open(Path(folder, "run"), {}) as run:
        writing = seconds(lambda: run.write(shard, record), 5, time.perf_counter)
    loading = seconds(lambda: prepare(load_model(BUNDLED).spec, table, ["sport"], settings, EXPERIMENTS, CONTROLS), 1)
    return {
        "facts made into prompts": f"{n / asking:,.0f} a second",
        f"tabulating known_facts, {settings.n_bootstrap:,} resamples": f"{tabulating / n * 1e3:.2f} ms a fact",
        "its record": f"{size / n:.0f} bytes a fact",
        "writing it, with fsync": f"{writing * 1e3:.0f} ms",
        "a worker's setup with the bundled organism and 1,400 facts": f"{loading:.1f} s",
    }


def counted(study: Study) -> dict[str, Cost]:
    """What every experiment takes, as `--dry-run` counts it."""
    sizes = Sizes(
        n_facts=study.n_facts,
        n_classes=study.n_classes,
        n_relations=1,
        n_layers=study.n_layers,
        n_heads=study.n_heads,
        n_neurons=study.d_mlp,
        short=3 / study.n_tokens,
        settings=rote.Settings(),
    )
    found = {e.name: e.cost(sizes) for e in EXPERIMENTS if e.card.needs_facts}
    return {name: cost for name, cost in found.items() if cost is not None}


def main() -> None:
    torch.set_num_threads(1)
    print("measured, one thread:")
    for what, value in measured().items():
        print(f"| {what} | {value} |")
    study = Study()
    each = 2 * study.block_parameters * study.n_tokens
    print(f"\ncounted: {each:.3g} operations for a prompt through a block")
    costs = counted(study)
    for name, cost in costs.items():
        print(f"| {name} | {cost.blocks:,.0f} | {cost.blocks * each:.2g} |")
    print(f"names through MLPs per stack: {sum(cost.names for cost in costs.values()):,.0f}")
    print(f"members: {sum(c.n_members(rote.Settings()) for c in CONTROLS)}")


if __name__ == "__main__":
    main()
