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

import numpy as np
import torch

from rote.asking import PromptSet
from rote.asking.recordings import budget
from rote.errors import NotApplicable
from rote.experiments import LocalProcessing, SharedNeurons
from rote.experiments.base import Experiment, Reading, StackExperiment, TextExperiment
from rote.experiments.local_processing.measure import TOKENS_PER_PROMPT, strings_of
from rote.experiments.shared_neurons.facts import LEAST_RELATIONS
from rote.facts import FactTable, RelationPrompts
from rote.lineup import Control, PartialHash
from rote.model import Model
from rote.model.memory import keep_freed_memory
from rote.pipeline.worker import NO_TEXT, ask_all, require_facts
from rote.settings import Settings
from rote.statistics import rng
from rote.statistics.batched_probes import held_out_correct
from rote.text import Text

NOT_ESTIMATED = "not estimated: nobody has said what it takes"
WINDOW = 3  # layers of a look-up window, as far as nobody has looked
INTERVALS_S = 0.1  # intervals and tables of one experiment on one stack, as measured
TABLES_S = 1.0  # the same on the model, where the part before is counted in blocks
MEDIANS_S = 1.5e-8  # all medians of one layer and length, per resample and token, as measured
STEP_PASSES = 4  # a gradient step in forward passes: one forward, two backward, one for the optimiser


@dataclass(frozen=True, kw_only=True)
class RelationPlan:
    """One relation: how many facts can be asked, how many tokens their names have, and seconds per experiment.

    `unknown`: experiments of which nobody has said what they take; the seconds are then a lower bound.
    """

    relation: str
    n_facts: int
    n_left_out: int
    name_tokens: dict[str, int]
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
    unknown: tuple[str, ...] = ()  # of those that read the text

    @property
    def seconds(self) -> float:
        return sum(sum(relation.seconds.values()) for relation in self.relations) + sum(self.texts.values())

    def text(self) -> str:
        lines = [self.model]
        for plan in self.relations:
            tokens = ", ".join(f"{n:,} of {what}" for what, n in plan.name_tokens.items() if n)
            lines.append(f"\n{plan.relation}: {plan.n_facts:,} facts can be asked, {plan.n_left_out:,} left out")
            lines.append(f"  names: {tokens}")
            for name, seconds in plan.seconds.items():
                lines.append(f"  {name:22s} about {seconds:7.1f} s")
            for name, reason in plan.inapplicable.items():
                lines.append(f"  {name:22s} not applicable: {reason}")
            lines += [f"  {name:22s} {NOT_ESTIMATED}" for name in plan.unknown]
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
) -> Plan:
    """Plan a study without running it; raises as the study would for input that cannot be used."""
    keep_freed_memory()
    require_facts(table, text, experiments)
    reading = Reading(model=model, text=text, settings=settings) if text else None
    readers = [e for e in experiments if isinstance(e, TextExperiment)]
    texts = {e.name: _reading(reading) for e in readers if reading and isinstance(e, LocalProcessing)}
    unread = () if reading else tuple(e.name for e in readers)
    unknown = tuple(e.name for e in readers if reading and e.name not in texts)
    experiments = [e for e in experiments if not isinstance(e, TextExperiment)]
    if table is None:
        memory = _memory(model, {}, settings)
        return Plan(model=repr(model), relations=(), memory_bytes=memory, texts=texts, unknown=unknown)
    names = [r.name for r in (table.select(list(relation)) if relation else table).relations]
    asked = ask_all(model, table, names, settings)
    beside = {r.name: sum(f.relation == r.name for f in table.facts) for r in table.relations if r.name not in asked}
    plans = [_relation(model, table, prompts, settings, experiments, controls) for prompts in asked.values()]
    several = {e.name for e in experiments if "several_relations" in e.card.needs}
    if beside and several - set(plans[0].inapplicable):
        seconds = 4 * sum(beside.values()) * model.n_layers * _costs(model, asked[names[0]], settings).block
        plans[0] = replace(plans[0], seconds={"other_relations": seconds, **plans[0].seconds})
    memory = _memory(model, asked, settings)
    return Plan(
        model=repr(model),
        relations=tuple(plans),
        memory_bytes=memory,
        texts=texts,
        unread=unread,
        unknown=unknown,
    )


def _reading(reading: Reading) -> float:
    """Seconds of local_processing: every token of every context at the price of one in full contexts, and medians."""
    settings, strings = reading.settings, strings_of(reading)
    per_batch = max(settings.batch_size * TOKENS_PER_PROMPT // strings.length, 1)
    batch = torch.as_tensor(strings.tokens[:per_batch])
    token = _fastest(lambda: reading.model.record(batch), reading.model) / batch.numel()
    lengths = [k for k in settings.text_lengths if k < strings.length]
    looked_at = len(strings) * min(settings.text_tokens, strings.length - max(lengths, default=0))
    medians = reading.model.n_layers * len(lengths) * MEDIANS_S * settings.n_bootstrap * looked_at
    return token * (strings.tokens.size + looked_at * sum(k + 1 for k in lengths)) + medians


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
    inapplicable = _inapplicable(counts["two tokens"], len(table.relations), settings, experiments)
    costs = _costs(model, prompts, settings)
    blocks, names = _blocks(model, prompts, settings, len(table.relations) - 1), _names(len(prompts), settings)
    for e in experiments:
        if (own := e.planned_blocks(model, prompts, settings)) is not None:
            blocks[e.name] = own
        if isinstance(e, StackExperiment) and (own := e.planned_names(len(prompts), settings)) is not None:
            names[e.name] = own
    unknown = tuple(e.name for e in experiments if e.name not in {*blocks, *names, *inapplicable, "layer_probes"})
    planned = [e for e in experiments if e.name not in {*inapplicable, *unknown}]
    probes = (WINDOW + 1) * settings.n_probe_seeds * costs.probe
    on_stack = {
        e.name: names.get(e.name, 0.0) * WINDOW * costs.mlp + probes * (e.name == "layer_probes") + INTERVALS_S
        for e in planned
        if isinstance(e, StackExperiment)
    }
    seconds = {}
    if any(e.needs_circuit for e in experiments):
        seconds["circuit"] = blocks["circuit"] * costs.block + 2 * costs.probe
    for e in planned:
        once_more = probes if e.name == "layer_probes" else 0.0  # on the model itself
        seconds[e.name] = blocks.get(e.name, 0.0) * costs.block + on_stack.get(e.name, TABLES_S) + once_more
    n_members = sum(control.n_members(settings) for control in controls)
    if n_members and any(isinstance(e, StackExperiment) and e.name not in inapplicable for e in experiments):
        built = sum(c.n_members(settings) * _building(c, model, len(prompts), settings, costs) for c in controls)
        seconds[f"line-up, {n_members} members"] = built + n_members * sum(on_stack.values())
    return RelationPlan(
        relation=prompts.relation.name,
        n_facts=len(prompts),
        n_left_out=len(prompts.left_out),
        name_tokens=counts,
        seconds=seconds,
        inapplicable=inapplicable,
        unknown=unknown,
    )


def _inapplicable(
    n_two_token: int, n_relations: int, settings: Settings, experiments: Sequence[Experiment]
) -> dict[str, str]:
    found = {}
    for e in experiments:
        needs = e.card.needs
        if "two_token_names" in needs and n_two_token < settings.min_known:
            found[e.name] = f"{n_two_token} names have two tokens, at least {settings.min_known} are needed"
        elif "several_relations" in needs and n_relations < LEAST_RELATIONS:
            found[e.name] = f"relations in the table: {n_relations}, at least {LEAST_RELATIONS} are needed"
    return found


def _blocks(model: Model, prompts: RelationPrompts, settings: Settings, others: int) -> dict[str, float]:
    """Prompts times blocks per experiment; name-only prompts count by their share of tokens."""
    n, layers, heads = len(prompts), model.n_layers, model.n_heads
    sample, draws = min(settings.max_entities, max(n // 2, 1)), 1 + settings.n_resamples_ablation
    read = max(2 * layers // 3, 1)
    after = layers - read
    short = 3 / prompts.tokens.shape[1]
    curve = (read + 1) * read / 2 * n
    nodes = read * (heads + 1) + 1
    shared = SharedNeurons()
    ablated = shared.n_entities * (1 + shared.n_model_resamples) * (1 + others) * WINDOW * _n_neurons(model)
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
        "shared_neurons": ablated * layers,
        "class_neurons": sample * (2 + 2 * len(prompts.classes)) * layers,
    }


def _names(n_facts: int, settings: Settings) -> dict[str, float]:
    """Names that every MLP of a stack is run on, per experiment."""
    sample, draws = min(settings.max_entities, max(n_facts // 2, 1)), 1 + settings.n_resamples_ablation
    product = min(settings.product_names, sample) ** 2
    return {
        "path_ablation": product + (draws + 1) * sample * WINDOW * (WINDOW + 1) / 2,
        "linear_structure": 2 * product + 2 * settings.n_pairs * (1 + settings.n_pair_draws),
        "known_norms": sample + settings.n_unknown,
        "nonlinear_excess": 2 * product,
        "orthogonal_remainder": 4 * sample,  # both halves together, and each alone
    }


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


def _memory(model: Model, asked: dict[str, RelationPrompts], settings: Settings) -> int:
    """The model, the recordings that are kept, one batch of logits, and the weights of the resamples."""
    item, libraries = model.dtype.itemsize, 600 * 2**20
    if not asked:
        kept = settings.text_strings * settings.text_tokens * model.n_layers * model.d_model * 4
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
