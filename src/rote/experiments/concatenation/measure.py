"""How both name tokens come together at the name's last position."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.asking import ABLATIONS, Recall
from rote.circuit.at_name import silenced
from rote.circuit.concatenation import (
    closed_form_difference,
    concatenation_r2,
    frozen_layers,
    input_tables,
    self_attention_forbidden,
    total_effects,
    total_effects_first_order,
)
from rote.circuit.extraction import Condition, condition_edits, head_readouts, residuals
from rote.circuit.patterns import between_parts, frozen_patterns
from rote.circuit.product import Product
from rote.errors import NotApplicable
from rote.experiments.base import Experiment, Study
from rote.experiments.concatenation.card import CARD
from rote.experiments.cost import Cost, Sizes
from rote.experiments.sweeps import N_PASSES_CHECKED, is_first_order, samples, tabulate_agreement
from rote.experiments.tabulator import Tabulator
from rote.model import Edit, EditLike, Site

BETWEEN_PARTS, PATTERNS_FROZEN = "between_parts", "patterns_frozen"


class ConcatenationExperiment(Experiment):
    """Total effects, ablated and frozen attention, and how additive the stack's input is in the two names.

    What does not apply (no window, too few names of two parts, …) is absent by itself; the rest is measured.
    """

    card = CARD

    def cost(self, sizes: Sizes) -> Cost:
        return Cost(blocks=sizes.read * (sizes.n_heads + sizes.draws) * sizes.sample * sizes.n_layers)

    def measure(self, study: Study, out: Tabulator) -> None:
        sampled = out.over(study.sample.population)
        _total_effects(study.sample, sampled)
        _ablated(study.sample, sampled)
        for statistic, measure in (
            ("self_attention_forbidden_accuracy", _forbidden),
            ("patterns_frozen_accuracy", _frozen),
            ("concatenation_r2", _r2),
            ("closed_form_difference", _closed_form),
        ):
            _or_absent(out, statistic, measure, study)


def _or_absent(out: Tabulator, statistic: str, measure: Callable[[Study, Tabulator], None], study: Study) -> None:
    try:
        measure(study, out)
    except NotApplicable as error:
        out.absent(statistic, error.reason)


def _total_effects(study: Study, out: Tabulator) -> None:
    n_layers = study.circuit.require_readout()[0][0]
    if not n_layers:
        return
    first, first_order = total_effects_first_order(study.recall, n_layers), _first_order(study, n_layers)
    effects = first if first_order else total_effects(study.recall, n_layers)
    keys = [
        {"layer": layer, "head": head, "site": "z", "position": "subject_last"}
        for layer in range(effects.shape[1])
        for head in range(effects.shape[2])
    ]
    out.means(["total_effect"] * len(keys), effects.reshape(len(effects), -1), keys)
    flat, n_heads = first.reshape(len(first), -1), first.shape[2]

    def exact(index: Int[np.ndarray, " chosen"]) -> Float[np.ndarray, "fact chosen"]:
        found = effects
        if first_order:
            found = total_effects(study.recall, n_layers, {(int(i) // n_heads, int(i) % n_heads) for i in index})
        return found.reshape(len(found), -1)[:, index]

    chosen = samples(
        flat, study.settings, f"concatenation/{study.recall.relation}", n=N_PASSES_CHECKED if first_order else 32
    )
    tabulate_agreement(out, flat, exact, chosen)


def _first_order(study: Study, n_layers: int) -> bool:
    """Whether a pass for every head costs too much."""
    recall, model = study.recall, study.recall.model
    positions = int((recall.full.end - recall.full.subject_last + 1).sum())
    operations = 2.0 * model.n_parameters * positions * n_layers * model.n_heads
    return is_first_order(study.settings, operations, model.device.type)


def _ablated(study: Study, out: Tabulator) -> None:
    for layer in range(study.circuit.require_readout()[0][0]):
        for how in ABLATIONS:
            correct = silenced(study.recall, [("attn", layer)], how, "subject_last").correct
            key = {"layer": layer, "position": "subject_last", "site": "attn_out"}
            out.mean("attention_ablated_accuracy", correct, condition=how, **key)


def _forbidden(study: Study, out: Tabulator) -> None:
    layers = study.circuit.concatenating
    if len(layers) < 2:
        raise NotApplicable(f"one layer or none concatenates ({list(layers)}); the statistic is about the second")
    correct = self_attention_forbidden(study.recall, layers[1]).correct_cls.cpu().numpy()
    out.mean(
        "self_attention_forbidden_accuracy",
        correct,
        layer=layers[1],
        position="subject_last",
        unit="fraction",
    )


def _frozen(study: Study, out: Tabulator) -> None:
    """Readout accuracy on name-only prompts of two parts, patterns frozen and late attention mean-ablated."""
    recall, circuit = study.recall, study.circuit
    window = circuit.window
    facts = recall.require_two_part()
    both = Condition(name="both", name_only=True, late_attention_ablated=True)
    (late,) = condition_edits(recall, both, "mean", circuit.attention_from, ())
    layers, key = frozen_layers(recall, window.start), {"layer": window.stop, "site": "resid_post"}
    readout = head_readouts(recall, circuit.require_readout())[-1]
    two = np.isin(np.arange(len(recall)), facts)
    whole = residuals(recall, [*frozen_patterns(recall, layers), *late], (window.stop,), name_only=True)[window.stop]
    for condition, x in ((None, whole), (BETWEEN_PARTS, _between(recall, layers, late, window.stop))):
        correct = readout.centred_on(x[two]).predict(x) == recall.cls
        where = study.report & two
        out.mean("patterns_frozen_accuracy", correct, where=where, position="subject_last", condition=condition, **key)


def _between(recall: Recall, layers: Sequence[int], late: Sequence[Edit], stop: int) -> Float[Tensor, "fact d_model"]:
    """The residual stream after a layer with only the edges between the parts frozen; 0 for names without two parts."""
    names, site = recall.name_only, Site("resid_post", stop)
    dtype = torch.promote_types(recall.model.dtype, torch.float32)
    x = torch.zeros(len(recall), recall.model.d_model, dtype=dtype, device=recall.model.device)
    for stratum, facts in recall.product_strata.items():
        held = between_parts(recall, stratum, layers)
        for rows in torch.split(torch.as_tensor(facts), recall.settings.batch_size):
            tokens = names.tokens[rows, : int(names.end[rows[0]]) + 1]
            edits: list[EditLike] = [*held, *(edit.take(rows) for edit in late)]
            read = recall.model.run(tokens, read=[site.at(names.end[rows])], edit=edits)[site]
            x[rows.to(x.device)] = read.to(x)
    return x


def _r2(study: Study, out: Tabulator) -> None:
    """The mean over strata, weighted by their facts, and where there are several each by itself."""
    recall, start = study.recall, study.circuit.window.start
    recall.require_two_part()
    products, site = Product.all(recall), "resid_pre" if recall.model.parallel else "resid_mid"
    n_facts = [len(product.facts) for product in products]
    for condition in (None, PATTERNS_FROZEN):
        found = [concatenation_r2(recall, product, start, frozen=condition is not None) for product in products]
        values, cells = zip(*found, strict=True)
        key = {"layer": start, "site": site, "condition": condition}
        mean = values[0] if len(values) == 1 else float(np.average(values, weights=n_facts))
        out.value("concatenation_r2", mean, n=sum(cells), **key)
        for product, value, n in zip(products, values, cells, strict=True) if len(products) > 1 else ():
            out.value("concatenation_r2", value, n=n, parameters={"stratum": str(product.stratum)}, **key)


def _closed_form(study: Study, out: Tabulator) -> None:
    start = study.circuit.window.start
    tables = input_tables(study.recall, start)
    value = closed_form_difference(study.recall, tables, start)
    n = len(tables.first) + len(tables.last)
    out.value("closed_form_difference", value, n=n, layer=start)
