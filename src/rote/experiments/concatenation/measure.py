"""How both name tokens come together at the name's last position."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from rote.asking import ABLATIONS
from rote.circuit.concatenation import (
    attention_ablated,
    closed_form_difference,
    concatenation_r2,
    frozen_layers,
    input_tables,
    self_attention_forbidden,
    total_effects,
    total_effects_first_order,
)
from rote.circuit.extraction import Condition, condition_edits, head_readouts, residuals
from rote.circuit.product import frozen_patterns
from rote.errors import NotApplicable
from rote.experiments.base import Experiment, Study
from rote.experiments.concatenation.card import CARD
from rote.experiments.cost import Cost, Sizes
from rote.experiments.sweeps import N_PASSES_CHECKED, is_first_order, samples, tabulate_agreement
from rote.experiments.tabulator import Tabulator
from rote.model import Edit


class ConcatenationExperiment(Experiment):
    """Total effects, ablated and frozen attention, and how additive the stack's input is in the two names.

    What does not apply (no window, too few two-token names, …) is absent by itself; the rest is measured.
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
            draws = attention_ablated(study.recall, (layer,), how)
            correct = np.mean([scores.correct_cls.cpu().numpy() for scores in draws], axis=0)
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
    """Readout accuracy on two-token name-only prompts, patterns frozen and late attention mean-ablated."""
    recall, circuit = study.recall, study.circuit
    window = circuit.window
    facts = recall.require_two_token()
    both = Condition(name="both", name_only=True, late_attention_ablated=True)
    (late,) = condition_edits(recall, both, "mean", circuit.attention_from, ())
    length = recall.name_only.tokens.shape[1]
    patterns = [_padded(edit, length) for edit in frozen_patterns(recall, frozen_layers(recall, window.start))]
    readout = head_readouts(recall, circuit.require_readout())[-1]
    x = residuals(recall, [*patterns, *late], (window.stop,), name_only=True)[window.stop]
    two = np.isin(np.arange(len(recall)), facts)
    correct = readout.centred_on(x[two]).predict(x) == recall.cls
    key = {"layer": window.stop, "site": "resid_post", "position": "subject_last"}
    out.mean("patterns_frozen_accuracy", correct, where=study.report & two, **key)


def _padded(edit: Edit, length: int) -> Edit:
    """A pattern edit for wider (right-padded) prompts; rows beyond the name attend to themselves."""
    import torch

    assert edit.value is not None
    n = edit.value.shape[-1]
    wide = torch.eye(length, dtype=edit.value.dtype, device=edit.value.device).repeat(edit.value.shape[0], 1, 1)
    wide[:, :n, :n] = edit.value
    return Edit(site=edit.site, value=wide)


def _r2(study: Study, out: Tabulator) -> None:
    window = study.circuit.window
    value, n = concatenation_r2(study.recall, window.start)
    site = "resid_pre" if study.recall.model.parallel else "resid_mid"
    out.value("concatenation_r2", value, n=n, layer=window.start, site=site)


def _closed_form(study: Study, out: Tabulator) -> None:
    start = study.circuit.window.start
    tables = input_tables(study.recall, start)
    value = closed_form_difference(study.recall, tables, start)
    n = len(tables.product.firsts) + len(tables.product.lasts)
    out.value("closed_form_difference", value, n=n, layer=start)
