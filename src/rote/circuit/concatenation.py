"""How both parts of a name come to stand at subject_last, and the tables E_first and E_last that result."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rote.asking.prompts import Scores
from rote.asking.recall import Recall, class_difference
from rote.circuit.at_name import silenced
from rote.circuit.patterns import frozen_patterns, mean_patterns
from rote.circuit.product import Product, in_tables, main_effects, read_names
from rote.errors import NotApplicable
from rote.model import Edit, Read, Site
from rote.model.precision import wide
from rote.statistics import TwoWayFit, two_way_main_effects


def total_effects(
    recall: Recall, n_layers: int, only: Collection[tuple[int, int]] | None = None
) -> Float[np.ndarray, "fact layer head"]:
    """Drop of logit[clean class] − logit[other class] when one head's z at subject_last is resampled, in logits.

    Everything after the head runs again. `only`: the (layer, head) wanted, the others stay 0. Source: Fact Finding,
    post 2 (finding the concatenating heads).
    """
    prompts, cls = recall.full, torch.as_tensor(recall.cls)
    clean = recall.clean.scores.class_logits
    effects = torch.zeros(len(recall), n_layers, recall.model.n_heads, dtype=clean.dtype)
    sites = [Site("z", layer) for layer in range(n_layers)]
    values = prompts.read([Read(site=site, position=prompts.subject_last) for site in sites])
    other = recall.others[0]
    for layer, site in enumerate(sites):
        for head in range(recall.model.n_heads):
            if only is not None and (layer, head) not in only:
                continue
            value = values[site][other, head]
            edit = Edit(site=site, value=value, position=prompts.subject_last, head=head)
            patched = prompts.forward([edit]).scores.class_logits
            drop = class_difference(clean, cls, cls[other]) - class_difference(patched, cls, cls[other])
            effects[:, layer, head] = drop.cpu()
    return effects.numpy()


def total_effects_first_order(recall: Recall, n_layers: int) -> Float[np.ndarray, "fact layer head"]:
    """The same to first order, −slope · (resampled z − z), for all heads from one gradient; in logits."""
    prompts, other = recall.full, recall.others[0]
    sites = [Site("z", layer) for layer in range(n_layers)]
    found = prompts.slopes(sites, recall.difference_from(other), prompts.subject_last)
    drops = [-found[site].effect(found[site].value[other]).sum(-1) for site in sites]
    return np.asarray(torch.stack(drops, 1).double().cpu().numpy())


def concatenating_layers(recall: Recall, attention_from: int) -> tuple[int, ...]:
    """Layers below `attention_from` whose attention at subject_last the answer cannot do without.

    Catastrophic means: mean-ablated, accuracy_cls on the selection half falls below `window_keep` of the clean one.
    """
    use = recall.selection
    clean = recall.clean.scores.correct_cls.cpu().numpy()[use].mean()
    found = []
    for layer in range(attention_from):
        right = silenced(recall, [("attn", layer)], "mean", "subject_last").correct
        if right[use].mean() < recall.settings.window_keep * clean:
            found.append(layer)
    return tuple(found)


def self_attention_forbidden(recall: Recall, layer: int) -> Scores:
    """The model's answers when subject_last must not attend to itself in one layer.

    NotApplicable where that is a prompt's first position, which sees nothing else.
    """
    position = recall.full.subject_last
    if bool((position == 0).any()):
        raise NotApplicable("a name's last token is the prompt's first position, so it can attend to nothing else")
    edit = Edit(site=Site("scores", layer), change="forbid", position=position, key_position=position)
    return recall.full.forward([edit]).scores


@dataclass(frozen=True, kw_only=True, eq=False)
class InputTables:
    """x = first[i] + last[j] + constant: main effects of the stack's input over the product of each stratum.

    Rows of all products after one another; what a stratum's names have in common beyond `constant`, the mean over
    strata weighted by their facts, is in its rows of `first`.
    """

    products: tuple[Product, ...]
    first: Float[Tensor, "n_first d_model"]
    last: Float[Tensor, "n_last d_model"]
    constant: Float[Tensor, " d_model"]


def stack_site(recall: Recall, start: int) -> Site:
    """Where the stack begins: before block `start` (from 0) if parallel, after its attention if sequential."""
    return Site("resid_pre" if recall.model.parallel else "resid_mid", start)


def frozen_layers(recall: Recall, start: int) -> tuple[int, ...]:
    """The layers whose attention has run before the stack's input."""
    return tuple(range(start if recall.model.parallel else start + 1))


def input_tables(recall: Recall, start: int) -> InputTables:
    """E_first, E_last and the constant on name-only prompts with patterns frozen at their mean, stratum by stratum.

    Source: Fact Finding, post 2. Effects are centred over the sampled product. NotApplicable where too few names have
    two parts, MeasurementError where the least squares do not converge.
    """
    recall.require_two_part()
    products, site = Product.all(recall), stack_site(recall, start)
    fits = []
    for product in products:
        frozen = mean_patterns(recall, product.stratum, frozen_layers(recall, start))
        fits.append(main_effects(recall, product, [site], frozen)[site])
    n = np.array([len(product.facts) for product in products])
    grand = fits[0].grand if len(fits) == 1 else np.average([fit.grand for fit in fits], axis=0, weights=n)

    def table(x: np.ndarray) -> Tensor:
        return torch.as_tensor(
            x, dtype=torch.promote_types(recall.model.dtype, torch.float32), device=recall.model.device
        )

    return InputTables(
        products=products,
        first=table(np.concatenate([fit.first + (fit.grand - grand) for fit in fits])),
        last=table(np.concatenate([fit.last for fit in fits])),
        constant=table(np.asarray(grand)),
    )


def concatenation_r2(recall: Recall, product: Product, start: int, *, frozen: bool) -> tuple[float, int]:
    """Fraction of the stack input's variance that main effects explain in one stratum; and the cells behind it.

    On a complete product of at most product_side random parts of each kind, summed over d_model; with attention
    patterns as they are, or `frozen` at their means. NotApplicable where the input is the same for all of them.
    """
    firsts, lasts = product.side(recall, recall.settings.product_side)
    grid = np.stack(np.meshgrid(firsts, lasts, indexing="ij")).reshape(2, -1)
    site = stack_site(recall, start)
    edits = mean_patterns(recall, product.stratum, frozen_layers(recall, start)) if frozen else ()
    values = read_names(recall, product, grid[0], grid[1], [site], edits)[site].double().cpu().numpy()
    table = values.reshape(len(firsts), len(lasts), -1)
    return two_way_main_effects(table).main_effects_r2, len(values)


def exact_inputs(recall: Recall, start: int) -> Float[Tensor, "fact d_model"]:
    """The stack's input itself: the residual stream of every name with patterns frozen, nothing taken apart.

    The only input of a name of one token.
    """
    names, site = recall.name_only, stack_site(recall, start)
    edits = frozen_patterns(recall, frozen_layers(recall, start))
    return names.read([Read(site=site, position=names.subject_last)], edits)[site]


def closed_form_difference(recall: Recall, tables: InputTables, start: int) -> float:
    """RMS(closed form − main effects) / RMS(main effects), the larger of E_first and E_last, both centred.

    In the stratum of two one-token parts: behind longer ones, MLPs at earlier tokens have already mixed.
    The study's closed form (post 2) for parallel rotary blocks: E_last = embedding + MLP0 + Σ p̄(last, last)·OV,
    E_first = Σ p̄(last, first)·OV, over the heads of the layers before the stack; in layer 0 OV reads the
    embedding, later embedding + MLP0. A ratio without a unit. NotApplicable for other blocks, for a stack from block 0,
    where MLP0 has no single neurons, and without such a stratum.
    """
    model = recall.model
    if not model.parallel or not model.family.rotary:
        raise NotApplicable("the study's closed form is for parallel blocks with rotary positions")
    if start == 0:
        raise NotApplicable("the stack begins at block 0, so no attention has run and there is no closed form")
    one_token_parts = [rows for rows in in_tables(tables.products) if rows[0].stratum[1:] == (1, 1)]
    if not one_token_parts:
        raise NotApplicable("the study's closed form is for names of two parts of one token each; there are too few")
    product, first, last = max(one_token_parts, key=lambda rows: len(rows[0].facts))
    patterns = [e.value for e in mean_patterns(recall, product.stratum, range(start))]
    worst = 0.0
    for tokens, own, table in (
        (product.firsts, False, tables.first[first : first + len(product.firsts)]),
        (product.lasts, True, tables.last[last : last + len(product.lasts)]),
    ):
        closed = _closed_form(recall, tokens, patterns, own)
        # a constant may stand in either table, so only differences between tokens can be compared
        closed, table = closed - closed.mean(0), table - table.mean(0)
        worst = max(worst, float(((closed - table).pow(2).mean() / table.pow(2).mean()).sqrt()))
    return worst


def _closed_form(
    recall: Recall, tokens: np.ndarray, patterns: Sequence[Tensor | None], own: bool
) -> Float[Tensor, "name d_model"]:
    """What comes from one token of the name into the stack's input; `own`: it stands at subject_last itself."""
    model = recall.model
    embedded = wide(model.run(torch.as_tensor(tokens)[:, None], read=["embed"])["embed"][:, 0])
    norm, after = model.mlp_norm(0), model.mlp_out_norm(0)
    out = model.mlp(0)(embedded if norm is None else norm(embedded))
    later = embedded + (out if after is None else after(out))
    total = later.clone() if own else torch.zeros_like(embedded)
    for layer, pattern in enumerate(patterns):
        assert pattern is not None
        before = model.attention_norm(layer)
        x = embedded if layer == 0 else later
        x = x if before is None else before(x)
        # biases of values and output are the same for every token, and go when the table is centred
        for head in range(model.n_heads):
            ov = model.head(layer, head)
            total += pattern[head, -1, -1 if own else -2] * (x @ ov.w_v @ ov.w_o)
    return total


def additive_prediction(fit: TwoWayFit, first: np.ndarray, last: np.ndarray) -> Float[np.ndarray, "name d_model"]:
    """grand + first effect + last effect of names given by the levels that the fit knows."""
    row, column = np.searchsorted(fit.first_levels, first), np.searchsorted(fit.last_levels, last)
    predicted: Float[np.ndarray, "name d_model"] = fit.grand + fit.first[row] + fit.last[column]
    return predicted
