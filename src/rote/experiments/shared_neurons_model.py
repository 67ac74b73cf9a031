"""The same effects on the model itself: one forward pass from the neuron's layer on for every neuron and fact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.circuit import ask
from rote.circuit.prompts import PromptSet
from rote.errors import FactsError
from rote.experiments.base import Study, reported
from rote.experiments.shared_neurons_facts import choose
from rote.experiments.shared_neurons_stack import Effects
from rote.facts import Fact, FactTable, RelationPrompts, build_prompts
from rote.model import Edit, Model, Read, Site
from rote.statistics import rng


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelEffects:
    """Effects by ablation; the `relation` axis runs over `relations`."""

    relations: tuple[str, ...]
    effects: dict[str, Effects]


def model_effects(study: Study, *, count: int, pool: int, draws: int) -> ModelEffects:
    """Every window neuron replaced at subject_last, in the prompt of each fact that the model answers rightly.

    Candidates are the reported entities of the effective model; an attribute is what the effective model's entities
    hold for that relation, and the fact counts where p of its first token exceeds known_probability. Means and
    resampled values are those of the same relation's prompts. NotApplicable where there is no window, or fewer than
    two entities with four such facts.
    """
    stack, settings = study.stack, study.settings
    sample = reported(stack, settings).entities
    asked = _known_prompts(study, sample.names)
    where = {name: {entity: i for i, entity in enumerate(p.entities)} for name, p in asked.items()}
    known = np.array([[entity in where[name] for name in asked] for entity in sample.names])
    everyone = np.ones(len(sample), dtype=bool)
    relation = study.recall.relation
    chosen = choose(known, sample.first, sample.last, where=everyone, count=count, settings=settings, relation=relation)
    studied = dict(zip(sample.names, sample.cls[relation].tolist(), strict=True))
    generator = rng(settings.seed, "shared_neurons/model", relation)
    effects: dict[str, list[list[np.ndarray]]] = {"mean": [], "resample": []}
    for name, prompts in asked.items():
        batch = PromptSet.of(study.recall.model, prompts, settings.batch_size)
        sites = [Site("mlp_post", layer) for layer in stack.numbers]
        posts = list(batch.read([Read(site=s, position=batch.subject_last) for s in sites]).values())
        classes = np.array([studied[entity] for entity in prompts.entities])
        columns: dict[str, list[np.ndarray]] = {"mean": [], "resample": []}
        for i in chosen:
            row = where[name].get(sample.names[i])
            if row is None:
                missing = np.full(sum(x.shape[1] for x in posts), np.nan)
                columns["mean"].append(missing)
                columns["resample"].append(missing)
                continue
            others = generator.permutation(np.flatnonzero(classes != classes[row]))[:pool]
            values = {"mean": [x.mean(0, keepdim=True) for x in posts]}
            values["resample"] = _drawn(posts, others, draws, generator)
            for how, value in values.items():
                columns[how].append(_effects(study.recall.model, batch, row, sites, posts, value))
        for how, column in columns.items():
            effects[how].append(column)
    stacked = {how: np.array(columns).transpose(1, 0, 2) for how, columns in effects.items()}
    return ModelEffects(relations=tuple(asked), effects={how: x for how, x in stacked.items() if np.isfinite(x).any()})


def _drawn(
    posts: Sequence[Float[Tensor, "fact neuron"]],
    others: Int[np.ndarray, " other"],
    draws: int,
    generator: np.random.Generator,
) -> list[Float[Tensor, "draw neuron"]]:
    """For each draw and neuron its activation in a random one of the other facts; no draw where there is none."""
    found = []
    for x in posts:
        n = x.shape[1]
        source = (
            generator.choice(others, size=(draws if len(others) else 0, n)) if len(others) else np.zeros((0, n), int)
        )
        found.append(x[torch.as_tensor(source, device=x.device), torch.arange(n, device=x.device)])
    return found


def _known_prompts(study: Study, names: Sequence[str]) -> dict[str, RelationPrompts]:
    """Each relation's prompts about these entities, those that the model answers rightly, by relation."""
    stack, recall = study.stack, study.recall
    index = {name: i for i, name in enumerate(stack.entities.names)}
    wanted = set(names)
    found = {recall.relation: recall.prompts.take([i for i, e in enumerate(recall.names) if e in wanted])}
    limit = getattr(recall.model.config, "max_position_embeddings", None)
    for asked in study.asked_otherwise:
        relation = asked.asked
        if relation.name not in stack.readouts:
            continue
        cls, classes = stack.entities.cls[relation.name], stack.readouts[relation.name].classes
        facts = tuple(
            Fact(entity=name, relation=relation.name, attribute=classes[cls[index[name]]])
            for name in names
            if cls[index[name]] >= 0
        )
        table = FactTable(name="other", relations=(relation,), facts=facts)
        try:
            prompts = build_prompts(
                table, relation.name, recall.model.tokenizer, max_length=limit, allow_shared_first_tokens=True
            )
        except FactsError:  # fewer than two classes can be asked: nothing is told apart there
            continue
        found[relation.name] = prompts.take(ask(recall.model, prompts, study.settings).known)
    return {name: prompts for name, prompts in found.items() if len(prompts)}


def _effects(
    model: Model,
    batch: PromptSet,
    row: int,
    sites: Sequence[Site],
    posts: Sequence[Float[Tensor, "fact neuron"]],
    values: Sequence[Float[Tensor, "draw neuron"]],
) -> Float[np.ndarray, " neuron"]:
    """log p(answer | neuron replaced) − log p(answer) for every neuron of the sites, the mean over draws; NaN without.

    Many copies of the prompt run at once, each with another neuron replaced.
    """
    one = torch.tensor([row])
    recording = model.record(batch.tokens[one], batch.mask[one])
    answer = int(batch.answers[row])

    def log_p(rows: int, layer: int, edit: list[Edit]) -> np.ndarray:
        copies = recording.take(torch.zeros(rows, dtype=torch.long))
        end = batch.end[one].expand(rows)
        read = Read(site=Site("logits"), position=end)
        logits = model.replay(copies, layer, read=[read], edit=edit).logits.double()
        result: np.ndarray = torch.log_softmax(logits, -1)[:, answer].cpu().numpy()
        return result

    clean = log_p(1, sites[0].layer or 0, [])[0]
    parts = []
    for site, post, value in zip(sites, posts, values, strict=True):
        n_draws, n = value.shape
        flat = np.empty(n_draws * n)
        for start in range(0, len(flat), batch.batch_size):
            place = torch.arange(start, min(start + batch.batch_size, len(flat)), device=post.device)
            put = post[row].expand(len(place), -1).clone()
            put[torch.arange(len(place), device=post.device), place % n] = value.flatten()[place]
            edit = Edit(site=site, value=put, position=batch.subject_last[one].expand(len(place)))
            flat[start : start + len(place)] = log_p(len(place), site.layer or 0, [edit])
        parts.append(flat.reshape(n_draws, n).mean(0) - clean if n_draws else np.full(n, np.nan))
    return np.concatenate(parts)
