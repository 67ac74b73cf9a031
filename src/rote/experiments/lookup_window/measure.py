"""Which MLP layers look the attribute up, with the curves that bound them and the evidence."""

from __future__ import annotations

import numpy as np

from rote.asking import ABLATIONS
from rote.circuit.at_name import WHERE, Silenced, attention_from, everything, mlps, silenced
from rote.circuit.evidence import ClassAnswers, bootstrap_of, shares, window_evidence
from rote.circuit.window import attention_curve, read_layer
from rote.errors import NotApplicable
from rote.experiments.base import Experiment, Study
from rote.experiments.cost import Cost, Sizes
from rote.experiments.lookup_window.card import CARD, OF_THE_WINDOW
from rote.experiments.tabulator import Tabulator
from rote.statistics.weighted import ratio


class LookupWindowExperiment(Experiment):
    """`lookup_start`, `lookup_stop`, the curves behind them, and what the model loses without MLPs at the name."""

    card = CARD

    def cost(self, sizes: Sizes) -> Cost:
        whole = (3 * sizes.read * sizes.sample + sizes.n_facts) * sizes.n_layers
        return Cost(blocks=sizes.draws * (sizes.curve + whole))

    def measure(self, study: Study, out: Tabulator) -> None:
        heads = study.circuit.require_readout()
        for how in ABLATIONS:
            for layer, correct in enumerate(attention_curve(study.recall, heads, how)):
                key = {"layer": layer, "condition": how, "position": "subject_last"}
                out.mean("attention_kept_accuracy", correct, **key)
        sampled = out.over(study.sample.population)
        for how in ABLATIONS:
            for where in WHERE:
                _kept(study.sample, sampled, how, where)
            for layer in range(heads[0][0]):
                found = silenced(study.sample.recall, mlps([layer]), how, "subject_last")
                key = {"condition": how, "site": "mlp_out", "position": "subject_last", "layer": layer}
                sampled.mean("mlp_ablated_accuracy", found.correct, **key)
        try:
            _window(study, out)
        except NotApplicable as error:
            for statistic in OF_THE_WINDOW:
                out.absent(statistic, error.reason)


def _kept(study: Study, out: Tabulator, how: str, where: str) -> None:
    """The share of the loss that is kept away without attention at the name from a layer on; a curve."""
    recall = study.recall
    total = silenced(recall, everything(recall), how, where).increase
    for layer in range(read_layer(study.circuit.readout_heads) + 2):
        lost = silenced(recall, attention_from(recall, layer), how, where).increase
        key = {"condition": how, "site": "attn_out", "position": where, "layer": layer}
        try:
            share = out.bootstrap.interval(
                lambda weights, lost=lost: 1 - ratio(weights @ lost, weights @ total),  # type: ignore[misc]
                where=None,
            )
        except NotApplicable as error:
            out.absent("attention_kept_share", error.reason, **key)
        else:
            out.estimate("attention_kept_share", share, **key)


def _window(study: Study, out: Tabulator) -> None:
    circuit, recall = study.circuit, study.recall
    window, n = circuit.window, int(recall.selection.sum())
    out.value("lookup_start", window.start, n=n)
    out.value("lookup_stop", window.stop, n=n)
    for statistic, doubt in (("window_decided", circuit.undecided), ("borders_decided", circuit.borders)):
        if doubt:
            out.absent(statistic, doubt)
        else:
            out.value(statistic, 1, n=n)
    sample, sampled = study.sample, out.over(study.sample.population)
    for how in ABLATIONS:
        for where in WHERE:
            key = {"condition": how, "site": "mlp_out", "position": where}
            if where == "subject_last":
                found = silenced(recall, mlps(window.layers), how, where)
                out.mean("window_mlps_ablated_accuracy", found.correct, **key)
            found = silenced(sample.recall, mlps(window.layers), how, where, kl=True)
            _ablated(sample, sampled, found, accuracy=where != "subject_last", key=key)
    _evidence(study, out)


def _ablated(study: Study, out: Tabulator, found: Silenced, *, accuracy: bool, key: dict[str, str]) -> None:
    assert found.kl is not None
    if accuracy:
        out.mean("window_mlps_ablated_accuracy", found.correct, **key)
    out.mean("window_mlps_ablated_increase", found.increase, **key)
    out.mean("window_mlps_ablated_kl", found.kl, **key)
    one = ~study.recall.prompts.has_first
    if one.any() and not one.all():
        alone = {"parameters": {"names": "one token"}, "where": study.report & one}
        out.mean("window_mlps_ablated_increase", found.increase, **alone, **key)


def _evidence(study: Study, out: Tabulator) -> None:
    """The figures that decide, on the report half."""
    recall, window = study.recall, study.circuit.window
    evidence = window_evidence(recall, study.circuit.readout_heads, window.start, window.stop)
    there = np.isin(np.arange(len(recall)), evidence.facts)
    for statistic, values in _held_out(evidence.additive).items():
        spread = np.zeros(len(recall))
        spread[evidence.facts] = values
        out.mean(statistic, spread, where=study.report & there)
    half = ~recall.selection[evidence.facts]
    found = shares(evidence, half, bootstrap_of(recall, evidence.facts, "window_evidence"))
    out.estimate("removable_nats", found.removable)
    for how, share in found.needed.items():
        out.estimate("needed_share", share, condition=how, position="subject_last")
    out.estimate("found_share", found.found)


def _held_out(answers: ClassAnswers) -> dict[str, np.ndarray]:
    return {"additive_accuracy_held_out": answers.correct, "additive_loss_held_out": answers.loss}
