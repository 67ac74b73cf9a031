"""`--dry-run`: token coverage, which experiments apply, and how much time and memory a study would take.

The estimate counts the blocks that every prompt has to pass, times the measured seconds of one prompt through one
block, plus the measured seconds of one probe. It assumes that every fact is known, and that the heads that read the
answer sit two thirds up the model: so it is an upper bound on the facts and a guess of the circuit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rote.catalog import card
from rote.circuit import PromptSet
from rote.circuit.prompts import RECORDING_BUDGET_BYTES
from rote.experiments import Experiment
from rote.facts import FactTable, RelationPrompts
from rote.model import Model
from rote.model.memory import keep_freed_memory
from rote.settings import Settings
from rote.statistics import rng
from rote.statistics.probes import STRENGTHS, logistic_correct
from rote.work import ask_all

WINDOW = 3  # layers of a look-up window, as far as nobody has looked


@dataclass(frozen=True, kw_only=True)
class RelationPlan:
    """One relation: how many facts can be asked, how many tokens their names have, and seconds per experiment."""

    relation: str
    n_facts: int
    n_left_out: int
    name_tokens: dict[str, int]
    seconds: dict[str, float]
    inapplicable: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a study would do, and what it would take."""

    model: str
    relations: tuple[RelationPlan, ...]
    memory_bytes: int

    @property
    def seconds(self) -> float:
        return sum(sum(relation.seconds.values()) for relation in self.relations)

    def text(self) -> str:
        lines = [self.model]
        for plan in self.relations:
            tokens = ", ".join(f"{n:,} of {what}" for what, n in plan.name_tokens.items() if n)
            lines.append(f"\n{plan.relation}: {plan.n_facts:,} facts can be asked, {plan.n_left_out:,} left out")
            lines.append(f"  names: {tokens}")
            for name, seconds in plan.seconds.items():
                lines.append(f"  {name:18s} about {seconds:7.1f} s")
            for name, reason in plan.inapplicable.items():
                lines.append(f"  {name:18s} not applicable: {reason}")
        lines.append(
            f"\nabout {self.seconds:,.0f} s in all if every fact is known; {self.memory_bytes / 2**30:.1f} GiB"
        )
        return "\n".join(lines)


def plan(
    model: Model,
    table: FactTable,
    *,
    relation: Sequence[str] | None,
    settings: Settings,
    experiments: Sequence[Experiment],
) -> Plan:
    """Plan a study without running it; raises as the study would for input that cannot be used."""
    keep_freed_memory()
    names = [r.name for r in (table.select(list(relation)) if relation else table).relations]
    asked = ask_all(model, table, names)
    others = len(table.relations) - 1
    plans = [_relation(model, prompts, settings, experiments, others) for prompts in asked.values()]
    return Plan(model=repr(model), relations=tuple(plans), memory_bytes=_memory(model, asked, settings))


def _relation(
    model: Model, prompts: RelationPrompts, settings: Settings, experiments: Sequence[Experiment], others: int
) -> RelationPlan:
    counts = {
        "one token": int((prompts.n_name_tokens == 1).sum()),
        "two tokens": int((prompts.n_name_tokens == 2).sum()),
        "three and more": int((prompts.n_name_tokens > 2).sum()),
    }
    inapplicable = {
        e.name: f"{counts['two tokens']} names have two tokens, at least {settings.min_known} are needed"
        for e in experiments
        if "two_token_names" in card(e.name).needs and counts["two tokens"] < settings.min_known
    }
    blocks = _blocks(model, prompts, settings, others)
    per_block, per_probe = _seconds_per_block(model, prompts, settings), _seconds_per_probe(model, prompts, settings)
    seconds = {"circuit": blocks["circuit"] * per_block + 2 * len(STRENGTHS) * 3 * per_probe}
    for e in experiments:
        if e.name not in inapplicable:
            probes = _probes(settings) if e.name == "layer_probes" else 0
            seconds[e.name] = blocks.get(e.name, 0.0) * per_block + probes * per_probe + 1.0
    return RelationPlan(
        relation=prompts.relation.name,
        n_facts=len(prompts),
        n_left_out=len(prompts.left_out),
        name_tokens=counts,
        seconds=seconds,
        inapplicable=inapplicable,
    )


def _blocks(model: Model, prompts: RelationPrompts, settings: Settings, others: int) -> dict[str, float]:
    """Prompts times blocks per experiment; name-only prompts count by their share of tokens."""
    n, layers, heads = len(prompts), model.n_layers, model.n_heads
    sample, draws = min(settings.max_entities, max(n // 2, 1)), 1 + settings.n_resamples_ablation
    read = max(2 * layers // 3, 1)
    after = layers - read
    short = 3 / prompts.tokens.shape[1]
    curve = (read + 1) * read / 2 * n
    nodes = read * (heads + 1) + 1
    return {
        "known_facts": n * layers,
        "circuit": n * (4 * layers + 6 * read) + curve + 2 * n * layers,
        "direct_effects": 2 * n * layers,
        "head_attention": n * (layers + after) * (1 + others),
        "value_inputs": settings.n_top_heads * nodes * settings.n_resamples_ablation * sample * after,
        "key_or_value": read * 2 * draws * sample * (2 + after),
        "readout": 2 * n * read * (1 + draws) * (1 + short),
        "concatenation": read * (heads + draws) * sample * layers,
        "lookup_window": draws * curve + read * draws * sample * layers + draws * n * layers,
        "effective_model": 0.1 * n * layers,
        "path_ablation": (WINDOW + 3) * (draws + 1) * sample * (layers - 1),
        "known_norms": short * (sample + settings.n_unknown) * read,
    }


def _probes(settings: Settings) -> int:
    """Fits of layer_probes on the model and the stack: splits × depths × (inner folds × strengths + 1)."""
    return 2 * settings.n_probe_seeds * (WINDOW + 1) * (3 * len(STRENGTHS) + 1)


def _seconds_per_block(model: Model, prompts: RelationPrompts, settings: Settings) -> float:
    """The faster of two timed batches through the whole model."""
    batch = prompts.take(np.arange(min(settings.batch_size, len(prompts))))
    asked = PromptSet.of(model, batch, settings.batch_size)
    times = []
    for _ in range(2):
        begin = time.perf_counter()
        model.record(asked.tokens, asked.mask)
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return min(times) / len(batch) / model.n_layers


def _seconds_per_probe(model: Model, prompts: RelationPrompts, settings: Settings) -> float:
    n = min(settings.max_entities, max(len(prompts) // 2, 24))
    generator = rng(0, "plan")
    cls = np.arange(n) % len(prompts.classes)
    x, train, times = generator.standard_normal((n, model.d_model)), np.arange(n) % 5 != 0, []
    for _ in range(3):  # the first call also loads libraries
        begin = time.perf_counter()
        logistic_correct(x, cls, train, 0.1)
        times.append(time.perf_counter() - begin)
    return min(times)


def _memory(model: Model, asked: dict[str, RelationPrompts], settings: Settings) -> int:
    """The model, the recordings that are kept, one batch of logits, and the weights of the resamples."""
    item = model.dtype.itemsize
    widest = max(asked.values(), key=lambda p: p.tokens.size)
    recordings = 2 * widest.tokens.size * model.d_model * model.n_layers * item
    logits = settings.batch_size * int(model.config.vocab_size) * 8
    everything = len(widest) * int(model.config.vocab_size) * 8  # log-probabilities for the KL divergence
    resamples = settings.n_bootstrap * len(widest) * 8
    libraries = 600 * 2**20
    kept = min(recordings, 2 * RECORDING_BUDGET_BYTES)
    return int(model.n_parameters * item + kept + logits + everything + resamples + libraries)
