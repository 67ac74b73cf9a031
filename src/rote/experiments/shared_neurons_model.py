"""The same effects on the model itself: one forward pass from the neuron's layer on for every neuron and fact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.circuit.prompts import PromptSet
from rote.experiments.base import Study, reported
from rote.experiments.shared_neurons_facts import choose
from rote.experiments.shared_neurons_stack import Effects
from rote.facts import RelationPrompts
from rote.model import Edit, Read, Site
from rote.settings import Settings
from rote.stack import Entities, Stack
from rote.statistics import rng


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelEffects:
    """Effects by ablation; the `relation` axis runs over `relations`."""

    relations: tuple[str, ...]
    effects: dict[str, Effects]


def model_effects(study: Study, *, count: int, pool: int, draws: int) -> ModelEffects:
    """Every window neuron replaced at subject_last, in the prompt of each fact that the model answers rightly.

    Candidates are the reported entities of the effective model; facts are those that the model knows, of relations
    that the effective model reads. The values put in are those of the same relation's prompts: the mean over the
    candidates; or for each draw and neuron that of a random one of `pool` candidates of another class of the studied
    relation, the same one for every fact of an entity. NotApplicable where there is no window, or fewer than two
    entities with four such facts.
    """
    stack, settings, relation = study.stack, study.settings, study.recall.relation
    templates = {relation: study.recall.prompts, **{p.asked.name: p for p in study.asked_otherwise}}
    sample = _askable(reported(stack, settings).entities, templates)
    facts = _known_prompts(study, sample.names)
    rows = {name: {entity: i for i, entity in enumerate(p.entities)} for name, p in facts.items()}
    known = np.array([[entity in rows[name] for name in facts] for entity in sample.names])
    everyone = np.ones(len(sample), dtype=bool)
    chosen = choose(known, sample.first, sample.last, where=everyone, count=count, settings=settings, relation=relation)
    sources = sources_of(sample.cls[relation], chosen, pool, draws, sum(_sizes(stack)), settings, relation)
    effects: dict[str, list[list[np.ndarray]]] = {"mean": [], "resample": []}
    for name, prompts in facts.items():
        ablation = _Ablations(study, _of(templates[name], sample.names), prompts)
        columns = [
            ablation.effects(rows[name].get(sample.names[i]), source) for i, source in zip(chosen, sources, strict=True)
        ]
        for how in effects:
            effects[how].append([column[how] for column in columns])
    stacked = {how: np.array(columns).transpose(1, 0, 2) for how, columns in effects.items()}
    return ModelEffects(relations=tuple(facts), effects={how: x for how, x in stacked.items() if np.isfinite(x).any()})


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

    def effects(self, row: int | None, source: Int[np.ndarray, "draw neuron"]) -> dict[str, np.ndarray]:
        """By ablation, log p(answer | neuron replaced) − log p(answer) for every neuron; NaN where there is no fact.

        `row` is the fact among those the model answers rightly.
        """
        if row is None:
            missing = np.full(self.starts[-1], np.nan)
            return {"mean": missing, "resample": missing}
        sources = [torch.as_tensor(source[:, a:b]) for a, b in pairwise(self.starts)]
        drawn = [
            post[s.to(post.device), torch.arange(post.shape[1], device=post.device)]
            for post, s in zip(self.posts, sources, strict=True)
        ]
        means = [post.mean(0, keepdim=True) for post in self.posts]
        return {"mean": self._replaced(row, means), "resample": self._replaced(row, drawn)}

    def _replaced(self, row: int, values: Sequence[Float[Tensor, "draw neuron"]]) -> Float[np.ndarray, " neuron"]:
        """The mean over draws; many copies of the prompt run at once, each with another neuron replaced."""
        batch, one = self.facts, torch.tensor([row])
        recording, at = self.model.record(batch.tokens[one], batch.mask[one]), batch.subject_last[one]
        answer = int(batch.answers[row])

        def run(copies: int, layer: int | None, edit: list[Edit], read: Read) -> Tensor:
            repeated = recording.take(torch.zeros(copies, dtype=torch.long))
            return self.model.replay(repeated, layer or 0, read=[read], edit=edit)[read.site]

        def log_p(copies: int, layer: int | None, edit: list[Edit]) -> np.ndarray:
            logits = run(copies, layer, edit, Read(site=Site("logits"), position=batch.end[one].expand(copies)))
            return np.asarray(torch.log_softmax(logits.double(), -1)[:, answer].cpu().numpy())

        clean, parts = log_p(1, self.sites[0].layer, [])[0], []
        for site, value in zip(self.sites, values, strict=True):
            post = run(1, site.layer, [], Read(site=site, position=at))
            n_draws, n = value.shape
            found = np.empty(n_draws * n)
            for start in range(0, len(found), batch.batch_size):
                place = torch.arange(start, min(start + batch.batch_size, len(found)), device=post.device)
                put = post.expand(len(place), -1).clone()
                put[torch.arange(len(place), device=post.device), place % n] = value.flatten()[place].to(post.dtype)
                edit = Edit(site=site, value=put, position=at.expand(len(place)))
                found[start : start + len(place)] = log_p(len(place), site.layer, [edit])
            parts.append(found.reshape(n_draws, n).mean(0) - clean if n_draws else np.full(n, np.nan))
        return np.concatenate(parts)


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
