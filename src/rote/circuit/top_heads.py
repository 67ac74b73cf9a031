"""What the top heads attend to, what feeds them, and whether early MLPs matter for their keys or values."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rote.asking.prompts import PromptSet
from rote.asking.recall import Recall, class_difference
from rote.facts import RelationPrompts
from rote.model import Edit, Read, Site

Head = tuple[int, int]
PathAccuracy = tuple[np.ndarray, np.ndarray]  # per fact: right in the whole vocabulary, right among the classes


def head_attention(
    prompts: PromptSet, asked: RelationPrompts, heads: Sequence[Head]
) -> dict[Head, dict[str, Float[np.ndarray, " fact"]]]:
    """Attention weight (a fraction) from `end` to each category of positions, per head and fact; they sum to 1.

    Source: Fact Finding, post 2. Categories: bos, prefix, name_early, subject_last, relation_words, end.
    """
    sites = [Site("pattern", layer) for layer in sorted({layer for layer, _ in heads})]
    patterns = prompts.read([Read(site=site, position=prompts.end) for site in sites])
    rows = {site.layer: pattern.cpu().numpy() for site, pattern in patterns.items()}
    spans = asked.spans()
    return {
        (layer, head): {name: (rows[layer][:, head] * span).sum(1) for name, span in spans.items()}
        for layer, head in heads
    }


def earlier_nodes(recall: Recall, layer: int) -> list[tuple[str, Site, int | None]]:
    """Everything that writes into the residual stream before a layer: (name, site, head), layers counted from 0."""
    model = recall.model
    nodes: list[tuple[str, Site, int | None]] = [("embed", Site("embed"), None)]
    for early in range(layer):
        nodes += [(f"L{early}H{h}", Site("z", early), h) for h in range(model.n_heads)]
        nodes.append((f"mlp.{early}", Site(model.mlp_contribution, early), None))
    return nodes


def value_inputs(
    recall: Recall, head: Head, only: Collection[str] | None = None
) -> dict[str, Float[np.ndarray, " fact"]]:
    """Path-patch each earlier node at subject_last through this head's value path only.

    The node's output is taken from a random fact of another class; the head's value at subject_last is computed
    from the residual stream with that change, and everything after the head runs again. The effect is the drop of
    logit[clean class] − logit[other class] at `end`, averaged over draws, in logits. `only` names the nodes wanted.
    Source: Fact Finding, post 2.
    """
    layer, index = head
    cls, clean = torch.as_tensor(recall.cls), recall.clean.scores.class_logits
    stream = recall.at_subject("attn_in", (layer,))[layer]
    effects: dict[str, Float[np.ndarray, " fact"]] = {}
    for name, output in _outputs(recall, layer).items():
        if only is not None and name not in only:
            continue
        total = torch.zeros(len(recall), device=clean.device, dtype=clean.dtype)
        for other in recall.others:
            value = head_values(recall, head, stream + output[other] - output)
            edit = Edit(site=Site("v", layer), value=value, position=recall.full.subject_last, head=index)
            patched = recall.full.forward([edit]).scores.class_logits
            other_cls = cls[other]
            total += class_difference(clean, cls, other_cls) - class_difference(patched, cls, other_cls)
        effects[name] = (total / len(recall.others)).cpu().numpy()
    return effects


def value_inputs_first_order(recall: Recall, head: Head) -> dict[str, Float[np.ndarray, " fact"]]:
    """The same to first order: −slope · (changed value − value), one gradient per draw in place of a pass per node.

    What the head's value becomes is exact; only what the later blocks make of it is taken to be linear. In logits.
    """
    layer, index = head
    site, outputs = Site("v", layer), _outputs(recall, layer)
    stream = recall.at_subject("attn_in", (layer,))[layer]
    effects = {name: np.zeros(len(recall)) for name in outputs}
    for other in recall.others:
        found = recall.full.slopes([site], recall.difference_from(other), recall.full.subject_last)[site]
        slope, value = found.slope[:, index], found.value[:, index]
        for name, output in outputs.items():
            change = head_values(recall, head, stream + output[other] - output) - value
            effects[name] -= (slope * change).sum(-1).cpu().numpy() / len(recall.others)
    return effects


def head_values(recall: Recall, head: Head, stream: Float[Tensor, "fact d_model"]) -> Float[Tensor, "fact d_head"]:
    """A head's values for a residual stream, by linear algebra (positions do not enter values)."""
    norm, ov = recall.model.attention_norm(head[0]), recall.model.head(*head)
    x = stream if norm is None else norm(stream)
    return ov.values(x)


def _outputs(recall: Recall, layer: int) -> dict[str, Float[Tensor, "fact d_model"]]:
    """What every earlier node adds to the residual stream at subject_last."""
    model, position = recall.model, recall.full.subject_last
    nodes = earlier_nodes(recall, layer)
    sites = list(dict.fromkeys(site for _, site, _ in nodes))
    sites += [Site("attn_out", early) for early in range(layer)]
    values = recall.full.read([Read(site=site, position=position) for site in sites])
    outputs = {}
    for name, site, head in nodes:
        x = values[site]
        if head is not None and site.layer is not None:
            x = x[:, head] @ model.head(site.layer, head).w_o
            norm = model.attention_out_norm(site.layer)
            if norm is not None:
                # the norm's scale belongs to the whole of attention, so the heads' parts still add up
                x = norm.linear(x, norm.scale(values[Site("attn_out", site.layer)]))
        outputs[name] = x
    return outputs


def _through(
    recall: Recall, layer: int, shift: Float[Tensor, "fact d_model"], site: str
) -> Float[Tensor, "fact head d_head"]:
    """A layer's keys or values at subject_last when its residual input there is shifted."""
    position = recall.full.subject_last
    edit = Edit(site=Site("attn_in", layer), change="add", value=shift, position=position)
    read = Read(site=Site(site, layer), position=position)
    return recall.full.read([read], [edit])[read.site]


def key_or_value(recall: Recall, heads: Sequence[Head], mlp: int, path: str, how: str) -> list[PathAccuracy]:
    """Ablate one MLP at subject_last only along the top heads' keys (`k`) or values (`v`); one entry per draw.

    Every head of a later layer gets the key or value computed from the clean residual stream with the MLP's output
    ablated; nothing else changes. Source: Fact Finding, post 3 (MLP1 matters for the key, not for the value).
    """
    later = [h for h in heads if h[0] > mlp]
    clean = recall.contributions("mlp", (mlp,))[Site(recall.model.mlp_contribution, mlp)]
    results = []
    for value in recall.ablated_values(clean, how):
        edits = []
        for layer in sorted({layer for layer, _ in later}):
            changed = _through(recall, layer, value - clean, path)
            for _, head in [h for h in later if h[0] == layer]:
                edits.append(
                    Edit(
                        site=Site(path, layer),
                        value=changed[:, head],
                        position=recall.full.subject_last,
                        head=head,
                    )
                )
        scores = recall.full.forward(edits).scores
        results.append((scores.correct.cpu().numpy(), scores.correct_cls.cpu().numpy()))
    return results
