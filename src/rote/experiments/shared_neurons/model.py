"""The same effects on the model itself: one forward pass from the neuron's layer on for every neuron and fact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.asking.prompts import PromptSet
from rote.experiments.base import Study
from rote.experiments.populations import reported
from rote.experiments.shared_neurons.facts import choose
from rote.experiments.shared_neurons.stack import Effects
from rote.experiments.sweeps import is_first_order
from rote.facts import RelationPrompts
from rote.model import Read, Recording, Site, ablate_neurons, slopes
from rote.model.ablate import answer_log_prob
from rote.settings import Settings
from rote.stack import Entities, Stack
from rote.statistics import rng


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelEffects:
    """Effects by ablation; the `relation` axis runs over `relations`.

    `first` are the mean ablation's effects to first order; `exact(neurons)` its exact ones for some neurons.
    """

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    effects: dict[str, Effects]
    first: Effects
    exact: Callable[[Int[np.ndarray, " chosen"]], Effects]


def model_effects(study: Study, *, count: int, pool: int, draws: int, first_order: bool | None = None) -> ModelEffects:
    """Every window neuron replaced at subject_last, in the prompt of each fact that the model answers rightly.

    Candidates are the reported entities of the effective model; facts are those that the model knows, of relations
    that the effective model reads. The values put in are those of the same relation's prompts: the mean over the
    candidates; or for each draw and neuron that of a random one of `pool` candidates of another class of the studied
    relation, the same one for every fact of an entity. `first_order`: slope × change instead of a pass per neuron;
    by default as the settings say. Effects are in nats. NotApplicable where there is no window, or fewer than two
    entities with four such facts; NonFinite as in `Model.run`.
    """
    stack, settings, relation = study.stack, study.settings, study.recall.relation
    every = {relation: study.recall.prompts, **{p.asked.name: p for p in study.asked_otherwise}}
    templates = {name: prompts for name, prompts in every.items() if name in stack.readouts}
    sample = _askable(reported(stack, settings).entities, templates)
    facts = {name: prompts for name, prompts in _known_prompts(study, sample.names).items() if name in templates}
    rows = {name: {entity: i for i, entity in enumerate(p.entities)} for name, p in facts.items()}
    known = np.array([[entity in rows[name] for name in facts] for entity in sample.names])
    everyone = np.ones(len(sample), dtype=bool)
    chosen = choose(known, sample.first, sample.last, where=everyone, count=count, settings=settings, relation=relation)
    sources = sources_of(sample.cls[relation], chosen, pool, draws, sum(_sizes(stack)), settings, relation)
    if first_order is None:
        n_passes = len(chosen) * len(facts) * (1 + draws) * sum(_sizes(stack))
        first_order = is_first_order(settings, n_passes * _operations(study), study.recall.model.device.type)
    # relation by relation, since activations of a relation's prompts are read once for all entities: [relation, entity]
    cases = []
    for name, prompts in facts.items():
        ablation = _Ablations(study, _of(templates[name], sample.names), prompts)
        cases.append([(ablation, rows[name].get(sample.names[i]), s) for i, s in zip(chosen, sources, strict=True)])

    def over(measure: Callable[[_Ablations, int, Int[np.ndarray, "draw neuron"]], np.ndarray], n: int) -> Effects:
        missing = np.full(n, np.nan)
        return np.array([[missing if row is None else measure(a, row, s) for a, row, s in case] for case in cases])

    def effects(how: str) -> Effects:
        if first_order:
            return over(lambda a, row, s: a.first_order(row, a.values(how, s)), n_neurons).transpose(1, 0, 2)
        return over(lambda a, row, s: a.exact(row, a.values(how, s)), n_neurons).transpose(1, 0, 2)

    def exact(only: Int[np.ndarray, " chosen"]) -> Effects:
        return over(lambda a, row, s: a.exact(row, a.values("mean", s), only), len(only)).transpose(1, 0, 2)

    n_neurons = sum(_sizes(stack))
    found = {how: effects(how) for how in ("mean", "resample")}
    first = found["mean"] if first_order else over(lambda a, r, s: a.first_order(r, a.values("mean", s)), n_neurons)
    return ModelEffects(
        entities=tuple(sample.names[i] for i in chosen),
        relations=tuple(facts),
        effects={how: x for how, x in found.items() if np.isfinite(x).any()},
        first=first if first_order else first.transpose(1, 0, 2),
        exact=exact if first_order else lambda only: found["mean"][:, :, only],
    )


def _operations(study: Study) -> float:
    """Of one pass for one neuron, about: the positions behind the name through the blocks behind the window."""
    recall, model = study.recall, study.recall.model
    positions = int((recall.full.end - recall.full.subject_last).max()) + 1
    share = (model.n_layers - study.circuit.window.start) / model.n_layers
    return 2.0 * model.n_parameters * share * positions


def _sizes(stack: Stack) -> list[int]:
    return [layer.mlp.w_out.shape[0] for layer in stack.layers]


def sources_of(
    cls: Int[np.ndarray, " candidate"],
    chosen: Int[np.ndarray, " entity"],
    pool: int,
    draws: int,
    n_neurons: int,
    settings: Settings,
    relation: str,
) -> list[Int[np.ndarray, "draw neuron"]]:
    """For each entity the candidate whose activation each neuron gets, per draw; no draw where there is no other."""
    generator, found = rng(settings.seed, "shared_neurons/model", relation), []
    for i in chosen:
        others = generator.permutation(np.flatnonzero(cls != cls[i]))[:pool]
        # one source per neuron for all facts of the entity: with others for each fact, the draws' noise would hide what
        # two facts have in common (docs/decisions/0006)
        size = (draws if len(others) else 0, n_neurons)
        found.append(generator.choice(others, size=size) if size[0] else np.zeros(size, dtype=int))
    return found


class _Ablations:
    """The prompts of one relation, with what replaces each neuron there."""

    def __init__(self, study: Study, candidates: RelationPrompts, facts: RelationPrompts) -> None:
        self.model, stack, size = study.recall.model, study.stack, study.settings.batch_size
        self.sites = [Site("mlp_post", layer) for layer in stack.numbers]
        self.facts = PromptSet.of(self.model, facts, size)
        everyone = PromptSet.of(self.model, candidates, size)
        reads = [Read(site=site, position=everyone.subject_last) for site in self.sites]
        self.posts = list(everyone.read(reads).values())
        self.starts = np.cumsum([0, *_sizes(stack)])

    def values(self, how: str, source: Int[np.ndarray, "draw neuron"]) -> list[Float[Tensor, "draw neuron"]]:
        """What replaces each neuron, per layer: the mean over the candidates, or the drawn candidates' values."""
        if how == "mean":
            return [post.mean(0, keepdim=True) for post in self.posts]
        sources = [torch.as_tensor(source[:, a:b]) for a, b in pairwise(self.starts)]
        return [
            post[s.to(post.device), torch.arange(post.shape[1], device=post.device)]
            for post, s in zip(self.posts, sources, strict=True)
        ]

    def exact(
        self, row: int, values: Sequence[Float[Tensor, "draw neuron"]], only: Int[np.ndarray, " chosen"] | None = None
    ) -> Float[np.ndarray, " chosen"]:
        """log p(answer | neuron replaced) − log p(answer) per neuron, the mean over draws; NaN without a draw.

        `row` is the fact among those the model answers rightly; `only` numbers neurons through all layers. Many copies
        of the prompt run at once, each with another neuron replaced.
        """
        asked, parts = self._asked(row), []
        clean = float(answer_log_prob(asked.logits, asked.answer))
        for site, value, (a, b) in zip(self.sites, values, pairwise(self.starts), strict=True):
            wanted = np.arange(b - a) if only is None else only[(only >= a) & (only < b)] - a
            # a single prompt, so the draws of a neuron can go as further neurons with values of their own
            n_draws, neurons = len(value), torch.as_tensor(wanted)
            assert site.layer is not None
            log_p = ablate_neurons(
                self.model,
                asked.recording,
                layer=site.layer,
                neurons=neurons.repeat(n_draws),
                value=value[:, neurons.to(value.device)].reshape(-1, 1),
                position=asked.position,
                end=asked.end,
                answer=asked.answer,
                rows_at_once=self.facts.rows_at_once,
            )
            found = log_p.double().cpu().numpy().reshape(n_draws, len(wanted))
            parts.append(found.mean(0) - clean if n_draws else np.full(len(wanted), np.nan))
        return np.concatenate(parts)

    def first_order(self, row: int, values: Sequence[Float[Tensor, "draw neuron"]]) -> Float[np.ndarray, " neuron"]:
        """∂ log p(answer) / ∂ activation × (replacement − activation), the mean over draws; NaN without a draw."""
        asked = self._asked(row)

        def objective(logits: Tensor) -> Tensor:
            return answer_log_prob(logits, asked.answer)

        found = slopes(self.model, asked.recording, self.sites, objective, position=asked.position, end=asked.end)
        # linear in the replacement, so the mean over draws may be taken before; of no draw it is NaN
        means = [value.mean(0, keepdim=True) for value in values]
        effects = [found[site].effect(mean)[0] for site, mean in zip(self.sites, means, strict=True)]
        return np.asarray(torch.cat(effects).double().cpu().numpy())

    def _asked(self, row: int) -> _Asked:
        """The prompt of one fact, without the padding behind its question."""
        facts, one = self.facts, torch.tensor([row])
        end, length = facts.end[one], int(facts.end[row]) + 1
        tokens, mask = facts.tokens[one, :length], facts.mask[one, :length]
        recording = self.model.record(tokens, mask, read=[Site("logits").at(end)])
        return _Asked(
            recording=recording,
            logits=recording.read.logits,
            position=facts.subject_last[one],
            end=end,
            answer=facts.answers[one.to(facts.answers.device)],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Asked:
    """One fact's clean pass, with the positions and the answer's token as tensors of one row."""

    recording: Recording
    logits: Float[Tensor, "1 vocab"]
    position: Int[Tensor, " 1"]
    end: Int[Tensor, " 1"]
    answer: Int[Tensor, " 1"]


def _askable(entities: Entities, templates: Mapping[str, RelationPrompts]) -> Entities:
    """Those that can be put into every relation's prompt (some may be too long, or hold words it does not know)."""
    askable = set.intersection(*(set(p.entities) for p in templates.values()))
    return entities.take(np.flatnonzero([name in askable for name in entities.names]))


def _of(prompts: RelationPrompts, names: Sequence[str]) -> RelationPrompts:
    """The prompts of these entities, in the order of the names."""
    index = {entity: i for i, entity in enumerate(prompts.entities)}
    return prompts.take([index[name] for name in names])


def _known_prompts(study: Study, names: Sequence[str]) -> dict[str, RelationPrompts]:
    """Each relation's prompts about these entities, those whose answer the model knows, by relation."""
    recalls = [study.recall, *(other.recall for other in study.others)]
    found = {}
    for recall in recalls:
        known = set(recall.names)
        if recall.relation in study.stack.readouts:
            found[recall.relation] = _of(recall.prompts, [name for name in names if name in known])
    return {name: prompts for name, prompts in found.items() if len(prompts)}
