"""`--dry-run`: token coverage, which experiments apply, and how much time and memory a study would take.

The estimate counts the blocks that every prompt has to pass, times the measured seconds of one prompt through one
block, plus the measured seconds of one probe; on a stack, names times MLPs times the measured seconds of one name
through one MLP. It assumes that every fact is known, that the heads that read the answer sit two thirds up the model,
and that controls are matched after half the steps they may take: so it is an upper bound on the facts and a guess of
the circuit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from rote.asking import PromptSet
from rote.asking.recordings import budget
from rote.catalog import TEXT
from rote.circuit.readout_heads import N_RANDOM
from rote.errors import NotApplicable
from rote.experiments.base import NO_TEXT, Experiment, Reading, StackExperiment
from rote.experiments.cost import WINDOW, Sizes
from rote.experiments.local_processing.measure import TOKENS_PER_PROMPT, LocalProcessing
from rote.experiments.shared_neurons.facts import LEAST_RELATIONS
from rote.facts import FactTable, RelationPrompts
from rote.facts.parts import product_strata
from rote.lineup import Control, PartialHash
from rote.model import Model
from rote.model.memory import keep_freed_memory
from rote.pipeline.choosing import studied
from rote.pipeline.questions import Questions
from rote.pipeline.worker import require_facts
from rote.settings import Settings
from rote.statistics import rng
from rote.statistics.batched_probes import held_out_correct
from rote.text import Text

NOT_ESTIMATED = "not estimated: nobody has said what it takes"
INTERVALS_S = 0.1  # intervals and tables of one experiment on one stack, as measured
TABLES_S = 1.0  # the same on the model, where the part before is counted in blocks
STEP_PASSES = 4  # a gradient step in forward passes: one forward, two backward, one for the optimiser


@dataclass(frozen=True, kw_only=True)
class RelationPlan:
    """One relation: how many facts can be asked, how long their names are, and seconds per experiment.

    `parts` says how many names have two parts, and how many of these lie in strata that make a product. `unknown`:
    experiments of which nobody has said what they take; the seconds are then a lower bound.
    """

    relation: str
    n_facts: int
    n_left_out: int
    name_tokens: dict[str, int]
    parts: str
    seconds: dict[str, float]
    inapplicable: dict[str, str]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a study would do, and what it would take."""

    model: str
    relations: tuple[RelationPlan, ...]
    memory_bytes: int
    texts: dict[str, float] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()  # of those that ask no facts
    not_asked: dict[str, str] = field(default_factory=dict)  # relations that cannot be asked, and why

    @property
    def seconds(self) -> float:
        return sum(sum(relation.seconds.values()) for relation in self.relations) + sum(self.texts.values())

    def text(self) -> str:
        lines = [self.model]
        for plan in self.relations:
            tokens = ", ".join(f"{n:,} of {what}" for what, n in plan.name_tokens.items() if n)
            lines.append(f"\n{plan.relation}: {plan.n_facts:,} facts can be asked, {plan.n_left_out:,} left out")
            lines += [f"  names: {tokens}", f"  parts: {plan.parts}"]
            for name, seconds in plan.seconds.items():
                lines.append(f"  {name:22s} about {seconds:7.1f} s")
            for reason in dict.fromkeys(plan.inapplicable.values()):
                names = ", ".join(name for name, why in plan.inapplicable.items() if why == reason)
                lines.append(f"  not applicable, since {reason}: {names}")
            lines += [f"  {name:22s} {NOT_ESTIMATED}" for name in plan.unknown]
        lines += [f"\n{name}: left out: {reason}" for name, reason in self.not_asked.items()]
        lines += [f"\n{name}: about {seconds:.1f} s" for name, seconds in self.texts.items()]
        lines += [f"\n{name}: not applicable: {NO_TEXT}" for name in self.unread]
        lines += [f"\n{name}: {NOT_ESTIMATED}" for name in self.unknown]
        known = " if every fact is known" if self.relations else ""
        about = "at least" if self.unknown or any(plan.unknown for plan in self.relations) else "about"
        lines.append(f"\n{about} {self.seconds:,.0f} s in all{known}; {self.memory_bytes / 2**30:.1f} GiB")
        return "\n".join(lines)


def plan(
    model: Model,
    table: FactTable | None,
    *,
    relation: Sequence[str] | None,
    settings: Settings,
    experiments: Sequence[Experiment],
    controls: Sequence[Control] = (),
    text: Text | None = None,
    leave_out: bool = True,
) -> Plan:
    """Plan a study without running it; raises as the study would for input that cannot be used: InputError.

    Seconds and bytes are estimates.
    """
    keep_freed_memory()
    require_facts(table, text, experiments)
    once = [e for e in experiments if not e.card.needs_facts]
    unread = tuple(e.name for e in once if TEXT in e.card.takes and text is None)
    reading = Reading(model=model, words=text, settings=settings)
    found = {e.name: _once(e, reading) for e in once if e.name not in unread}
    texts = {name: seconds for name, seconds in found.items() if seconds is not None}
    common: dict[str, Any] = {
        "model": repr(model),
        "texts": texts,
        "unread": unread,
        "unknown": tuple(name for name in found if name not in texts),
    }
    if table is None:
        return Plan(relations=(), memory_bytes=_memory(model, {}, settings, once), **common)
    asking = [e for e in experiments if e.card.needs_facts]
    names = studied(table, list(relation) if relation else None, experiments)
    questions = Questions(model=model, table=table, settings=settings, leave_out=leave_out)
    asked, not_asked = questions.all(names)
    others = [r.name for r in table.relations if r.name not in (*asked, *not_asked)]
    beside = {name: len(table.of(name)) for name in others}
    plans = [_relation(model, table, prompts, settings, asking, controls) for prompts in asked.values()]
    several = {e.name for e in asking if "several_relations" in e.card.needs}
    if beside and several - set(plans[0].inapplicable):
        seconds = 4 * sum(beside.values()) * model.n_layers * _costs(model, next(iter(asked.values())), settings).block
        plans[0] = replace(plans[0], seconds={"other_relations": seconds, **plans[0].seconds})
    memory = _memory(model, asked, settings, once)
    return Plan(relations=tuple(plans), memory_bytes=memory, not_asked=not_asked, **common)


def _once(experiment: Experiment, reading: Reading) -> float | None:
    """Seconds of an experiment that asks no facts, at the price of a token in full contexts; None: nobody knows."""
    cost = experiment.cost(_sizes(reading.model, None, 0, reading.settings, reading))
    if cost is None or not cost.tokens:
        return None if cost is None else cost.seconds
    per_batch = max(reading.settings.batch_size * TOKENS_PER_PROMPT // cost.context, 1)
    batch = torch.zeros((per_batch, cost.context), dtype=torch.long)
    token = _fastest(lambda: reading.model.record(batch), reading.model) / batch.numel()
    return token * cost.tokens + cost.seconds


def _sizes(
    model: Model, prompts: RelationPrompts | None, n_relations: int, settings: Settings, reading: Reading | None = None
) -> Sizes:
    return Sizes(
        n_facts=0 if prompts is None else len(prompts),
        n_classes=0 if prompts is None else len(prompts.classes),
        n_relations=n_relations,
        n_layers=model.n_layers,
        n_heads=model.n_heads,
        n_neurons=_n_neurons(model),
        short=1.0 if prompts is None else 3 / prompts.tokens.shape[1],
        settings=settings,
        reading=reading,
    )


def _relation(
    model: Model,
    table: FactTable,
    prompts: RelationPrompts,
    settings: Settings,
    experiments: Sequence[Experiment],
    controls: Sequence[Control],
) -> RelationPlan:
    counts = {
        "one token": int((prompts.n_name_tokens == 1).sum()),
        "two tokens": int((prompts.n_name_tokens == 2).sum()),
        "three and more": int((prompts.n_name_tokens > 2).sum()),
    }
    strata, least = prompts.strata, (settings.stratum_parts, settings.stratum_facts)
    products = product_strata(strata, prompts.first, prompts.last, *least)
    n_two_part = sum(map(len, products.values()))
    inapplicable = _inapplicable(n_two_part, len(table.relations), settings, experiments)
    prices, sizes = _costs(model, prompts, settings), _sizes(model, prompts, len(table.relations), settings)
    found = {e.name: e.cost(sizes) for e in experiments if e.name not in inapplicable}
    costs = {name: cost for name, cost in found.items() if cost is not None}
    on_stack = {
        e.name: costs[e.name].names * WINDOW * prices.mlp + costs[e.name].stack_splits * prices.probe + INTERVALS_S
        for e in experiments
        if isinstance(e, StackExperiment) and e.name in costs
    }
    seconds = {}
    if any(e.card.needs_circuit for e in experiments):
        flips = settings.n_top_heads * (1 + N_RANDOM) * settings.n_resamples_ablation * sizes.after / 2
        blocks = sizes.n_facts * (6 * sizes.n_layers + 6 * sizes.read + flips) + sizes.curve
        seconds["circuit"] = blocks * prices.block + 2 * prices.probe
    for name, cost in costs.items():
        on_model = cost.blocks * prices.block + cost.splits * prices.probe + cost.seconds
        seconds[name] = on_model + on_stack.get(name, TABLES_S)
    n_members = sum(control.n_members(settings) for control in controls)
    if n_members and any(isinstance(e, StackExperiment) and e.name not in inapplicable for e in experiments):
        built = sum(c.n_members(settings) * _building(c, model, len(prompts), settings, prices) for c in controls)
        seconds[f"line-up, {n_members} members"] = built + n_members * sum(on_stack.values())
    return RelationPlan(
        relation=prompts.relation.name,
        n_facts=len(prompts),
        n_left_out=len(prompts.left_out),
        name_tokens=counts,
        parts=f"{int(prompts.has_first.sum()):,} names have two, {n_two_part:,} of them in strata with "
        f"{settings.stratum_parts} first parts, {settings.stratum_parts} last parts and {settings.stratum_facts} names "
        f"({len(products)} of {sum(1 for stratum in strata if stratum.n_first)} strata)",
        seconds=seconds,
        inapplicable=inapplicable,
        unknown=tuple(name for name, cost in found.items() if cost is None),
    )


def _inapplicable(
    n_two_part: int, n_relations: int, settings: Settings, experiments: Sequence[Experiment]
) -> dict[str, str]:
    found = {}
    for e in experiments:
        needs = e.card.needs
        if "two_part_names" in needs and n_two_part < settings.min_known:
            found[e.name] = (
                f"{n_two_part} names have two parts in such strata, at least {settings.min_known} are needed"
            )
        elif "several_relations" in needs and n_relations < LEAST_RELATIONS:
            found[e.name] = f"relations in the table: {n_relations}, at least {LEAST_RELATIONS} are needed"
    return found


def _building(control: Control, model: Model, n_facts: int, settings: Settings, costs: _Costs) -> float:
    """Seconds to build one member: gradient steps, where neurons do not outnumber the names of both halves."""
    names = 2 * min(settings.max_entities, max(n_facts // 2, 1))
    steps = control.steps if isinstance(control, PartialHash) else 0.0
    if not control.exempt and (_n_neurons(model) < names or control.trained_by_steps):
        steps += settings.n_refine_steps / 2
    return steps * STEP_PASSES * names * WINDOW * costs.mlp + (0.0 if control.exempt else WINDOW * costs.solve)


def _n_neurons(model: Model) -> int:
    """Of one MLP; 0 where MLPs have no single neurons, and so no window."""
    try:
        return int(model.mlp(0).w_out.shape[0])
    except NotApplicable:
        return 0


@dataclass(frozen=True, kw_only=True)
class _Costs:
    """Measured seconds: a prompt through a block, a split of a probe, a name through an MLP, a ridge regression."""

    block: float
    probe: float
    mlp: float
    solve: float


def _costs(model: Model, prompts: RelationPrompts, settings: Settings) -> _Costs:
    batch = prompts.take(np.arange(min(settings.batch_size, len(prompts))))
    asked = PromptSet.of(model, batch, settings.batch_size)
    n, generator = min(settings.max_entities, max(len(prompts) // 2, 24)), rng(0, "plan")
    x, cls = generator.standard_normal((n, model.d_model)), np.arange(n) % len(prompts.classes)
    tests = [np.arange(n) % 5 == place for place in (0, 1)]
    neurons = _n_neurons(model)
    gram = torch.cov(torch.as_tensor(generator.standard_normal((min(2 * n, max(WINDOW * neurons, 1)), 2 * n))))

    def mlp() -> None:
        if neurons:
            weights = model.mlp(0)
            weights(torch.as_tensor(x, dtype=weights.w_out.dtype, device=model.device))

    return _Costs(
        block=_fastest(lambda: model.record(asked.tokens, asked.mask), model) / len(batch) / model.n_layers,
        probe=_fastest(lambda: held_out_correct(x, cls, tests), model) / len(tests),
        mlp=_fastest(mlp, model) / n,
        solve=_fastest(lambda: torch.linalg.eigh(gram), model),
    )


def _fastest(work: Callable[[], object], model: Model) -> float:
    """The fastest of three runs; the first one also loads libraries."""
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        work()
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return min(times)


def _memory(model: Model, asked: dict[str, RelationPrompts], settings: Settings, once: Sequence[Experiment]) -> int:
    """The model, the recordings that are kept, one batch of logits, and the weights of the resamples."""
    item, libraries = model.dtype.itemsize, 600 * 2**20
    if not asked:
        read = sum(e.n_strings * e.n_tokens for e in once if isinstance(e, LocalProcessing))
        kept = read * model.n_layers * model.d_model * 4
        batch = settings.batch_size * TOKENS_PER_PROMPT * (model.n_layers + 8) * model.d_model * item
        return int(model.n_parameters * item + kept + batch + libraries)
    widest = max(asked.values(), key=lambda p: p.tokens.size)
    recorded = model.d_model + 2 * model.n_kv_heads * model.d_head  # the residual stream, keys and values
    recordings = 2 * widest.tokens.size * recorded * model.n_layers * item
    logits = settings.batch_size * int(model.config.vocab_size) * 8
    everything = len(widest) * int(model.config.vocab_size) * 8  # log-probabilities for the KL divergence
    resamples = settings.n_bootstrap * len(widest) * 8
    kept = min(recordings, budget(model.device))
    return int(model.n_parameters * item + kept + logits + everything + resamples + libraries)
