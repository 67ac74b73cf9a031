"""Attention and MLPs ablated at the name: at its last token, or at every token of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rote.asking.recall import Recall
from rote.model import Edit, Read, Site

WHERE = ("subject_last", "name")  # the last token of the name, or all of its tokens
Part = tuple[str, int]  # "attn" or "mlp", and the layer


def attention_from(recall: Recall, start: int) -> list[Part]:
    """The attention of every layer from `start` on."""
    return [("attn", layer) for layer in range(start, recall.model.n_layers)]


def mlps(layers: Iterable[int]) -> list[Part]:
    return [("mlp", layer) for layer in layers]


def everything(recall: Recall) -> list[Part]:
    """Attention and MLPs of all layers: what is left at the name is its embedding."""
    return [*attention_from(recall, 0), *mlps(range(recall.model.n_layers))]


def name_ablations(recall: Recall, parts: Sequence[Part], how: str, where: str) -> list[list[Edit]]:
    """For each draw, the edits that ablate these outputs at the name.

    `how`: `mean`, one draw, or `resample`, as in `Recall.ablated_values`; `where`: one of WHERE. Tokens of the last
    part are told apart by their distance from its end, those of the first part by that from its start: each takes the
    mean over the names whose part is so long, or what stands there in the other name (the part's furthest token, where
    that is shorter; the last token, where there is no first part).
    """
    sites = [_site(recall, part) for part in parts]
    if not sites:
        return [[]]
    edits: list[list[Edit]] = [[] for _ in range(1 if how == "mean" else len(recall.others))]
    before: dict[tuple[Site, int], Tensor] = {}
    for position, there in _places(recall, where):
        clean = recall.full.read([Read(site=site, position=position) for site in sites])
        for site in sites:
            for draw, value in enumerate(_values(recall, clean[site], how, there)):
                # a shorter part has no such token: what the one in its place was given stands
                if (site, draw) in before:
                    value = torch.where(there[:, None].to(value.device), value, before[site, draw])
                before[site, draw] = value
                edits[draw].append(Edit(site=site, value=value, position=position))
    return edits


def _site(recall: Recall, part: Part) -> Site:
    name = recall.model.attn_contribution if part[0] == "attn" else recall.model.mlp_contribution
    return Site(name, part[1])


def _places(recall: Recall, where: str) -> Iterator[tuple[Int[Tensor, " fact"], Bool[Tensor, " fact"]]]:
    """(position, whether a name has it): the last part from its end, then the first part from its start.

    Where a name has no such token its position is that of the place before.
    """
    first, last = recall.full.subject_first, recall.full.subject_last
    cut = torch.as_tensor(recall.prompts.cut)
    n_last = last - first + 1 - cut
    for k in range(1 if where == "subject_last" else int(n_last.max())):
        yield last - n_last.sub(1).clamp_max(k), n_last > k
    for k in range(0 if where == "subject_last" else int(cut.max())):
        yield first + cut.sub(1).clamp_max(k).clamp_min(0), cut > k


def _values(
    recall: Recall, clean: Float[Tensor, "fact d_model"], how: str, there: Tensor
) -> list[Float[Tensor, "fact d_model"]]:
    if how == "mean":
        return [clean[there.to(clean.device)].mean(0, keepdim=True).expand_as(clean)]
    return recall.ablated_values(clean, how)


@dataclass(frozen=True, kw_only=True, eq=False)
class Silenced:
    """The model with something ablated at the name, per fact, means over draws: what it loses and still gets right.

    `increase`: of the loss on the class token over the whole vocabulary, in nats; `correct`: among the classes; `kl`:
    of the next token from the clean run, in nats, where it was asked for.
    """

    increase: Float[np.ndarray, " fact"]
    correct: Float[np.ndarray, " fact"]
    kl: Float[np.ndarray, " fact"] | None = None


def silenced(recall: Recall, parts: Sequence[Part], how: str, where: str, *, kl: bool = False) -> Silenced:
    """Ablate these outputs at the name and let the model answer."""
    clean = recall.full.forward(keep_log_probs=True) if kl else recall.clean
    before = clean.scores.answer_log_prob
    increases, rights, divergences = [], [], []
    for edits in name_ablations(recall, parts, how, where):
        found = recall.full.forward(edits, keep_log_probs=kl)
        increases.append((before - found.scores.answer_log_prob).double().cpu().numpy())
        rights.append(found.scores.correct_cls.double().cpu().numpy())
        if kl:
            assert clean.log_probs is not None and found.log_probs is not None
            divergence = (clean.log_probs.exp() * (clean.log_probs - found.log_probs)).sum(-1)
            divergences.append(divergence.double().cpu().numpy())
    return Silenced(
        increase=np.mean(increases, axis=0),
        correct=np.mean(rights, axis=0),
        kl=np.mean(divergences, axis=0) if kl else None,
    )
