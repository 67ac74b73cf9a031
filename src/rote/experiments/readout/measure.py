"""How well a linear readout finds the attribute at the name's last token, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int

from rote.asking import ABLATIONS, Recall
from rote.circuit.extraction import CONDITIONS, Condition, answer_ranks, condition_edits, head_readouts, residuals
from rote.circuit.flips import (
    Basis,
    Flips,
    flips,
    has_room,
    patch_layer,
    projected,
    random_basis,
    random_within,
    readout_basis,
    value_flips,
    value_span,
)
from rote.circuit.readout_heads import N_RANDOM, no_room
from rote.circuit.top_heads import Head
from rote.circuit.window import condition_curve, read_layer
from rote.experiments.base import Experiment, Study
from rote.experiments.cost import Cost, Sizes
from rote.experiments.readout.card import CARD
from rote.experiments.tabulator import Tabulator
from rote.statistics import rng
from rote.statistics.probes import logistic_correct, logistic_directions

SUBSPACES = CARD.statistic("subspace_flip").conditions


class ReadoutExperiment(Experiment):
    """`readout_accuracy` through the heads and by logistic regression, under five conditions; the causal check."""

    card = CARD

    def cost(self, sizes: Sizes) -> Cost:
        curves = 2 * sizes.read * (1 + sizes.draws) * (1 + sizes.short)
        swapped = len(SUBSPACES) + N_RANDOM
        return Cost(blocks=sizes.n_facts * (curves + swapped * sizes.settings.n_resamples_ablation * sizes.after))

    def measure(self, study: Study, out: Tabulator) -> None:
        circuit, n = study.circuit, int(study.recall.selection.sum())
        out.value("n_readout_heads", len(circuit.readout_heads), n=n, condition="selection")
        for k, gain in enumerate(circuit.flip_gains, start=1):
            out.value("flip_gain", gain, n=n, condition="selection", parameters={"heads": k})
        if circuit.no_readout is not None:
            for statistic in ("readout_accuracy", "readout_rank", "temperature", "subspace_flip"):
                out.absent(statistic, circuit.no_readout)
            return
        unseen = _classes_apart(study)
        if unseen:
            for readout in ("logistic", "logistic_control"):
                out.absent("readout_accuracy", unseen, parameters=_parameters(readout, None))
        for condition in CONDITIONS:
            if condition.first_mlps_ablated and not circuit.first_mlps:
                reason = "no MLP lies between the concatenating layers and the look-up"
                out.absent("readout_accuracy", reason, condition=condition.name)
                continue
            ablates = condition.late_attention_ablated or condition.first_mlps_ablated
            for how in ABLATIONS if ablates else (None,):
                _heads(study, out, condition, how)
                if not unseen:
                    _logistic(study, out, condition, how)
        _ranks(study, out)
        _temperature(study, out)
        _swapped(study, out, unseen)


def _classes_apart(study: Study) -> str | None:
    """Why nothing can be fitted to the classes, where none has entities in both halves."""
    recall = study.recall
    if np.intersect1d(recall.cls[recall.selection], recall.cls[~recall.selection]).size:
        return None
    n = len(np.unique(recall.cls))
    return (
        f"no class has known entities in both halves ({len(recall)} entities, {n} classes), and a fit can give only "
        "classes that it has seen"
    )


def _parameters(readout: str, how: str | None) -> dict[str, str]:
    return {"readout": readout} if how is None else {"readout": readout, "ablation": how}


def _curve(out: Tabulator, curve: dict[int, np.ndarray], condition: Condition, parameters: dict[str, str]) -> None:
    for layer, correct in curve.items():
        key = {"site": "resid_post", "layer": layer, "position": "subject_last"}
        out.mean("readout_accuracy", correct, condition=condition.name, parameters=parameters, **key)


def _heads(study: Study, out: Tabulator, condition: Condition, how: str | None) -> None:
    circuit = study.circuit
    curve = condition_curve(
        study.recall,
        circuit.readout_heads,
        condition,
        how or "mean",
        circuit.attention_from,
        circuit.first_mlps,
    )
    _curve(out, curve, condition, _parameters("heads", how))


def _logistic(study: Study, out: Tabulator, condition: Condition, how: str | None) -> None:
    """Fitted on the selection half under the same condition (the first draw of a resample ablation).

    Of the full prompt also with control labels: what such a fit gets right where it has nothing to learn.
    """
    recall, circuit = study.recall, study.circuit
    edits = condition_edits(recall, condition, how or "mean", circuit.attention_from, circuit.first_mlps)[0]
    layers = range(-1, read_layer(circuit.readout_heads) + 1)
    values = residuals(recall, edits, layers, name_only=condition.name_only)
    labels = {"logistic": [recall.cls]}
    if condition.name == "full":
        labels["logistic_control"] = _control_labels(recall)
    for readout, told in labels.items():
        curve = {
            layer: np.mean([logistic_correct(x.cpu().numpy(), cls, recall.selection, 1.0) for cls in told], axis=0)
            for layer, x in values.items()
        }
        _curve(out, curve, condition, _parameters(readout, how))


def _control_labels(recall: Recall) -> list[Int[np.ndarray, " fact"]]:
    """The classes, permuted among the entities of the selection half; the reported half keeps its own."""
    generator = rng(recall.settings.seed, "readout", f"{recall.relation}/control_labels")
    names = np.argsort(recall.names, kind="stable")  # so that the order of the table decides nothing
    chosen, dealt = names[recall.selection[names]], []
    for _ in range(N_RANDOM):
        cls = recall.cls.copy()
        cls[chosen] = generator.permutation(cls[chosen])
        dealt.append(cls)
    return dealt


def _ranks(study: Study, out: Tabulator) -> None:
    """Where many classes have one entity each, accuracy alone says little."""
    recall, heads = study.recall, study.circuit.readout_heads
    readout = head_readouts(recall, heads)[-1]
    for layer, x in residuals(recall, [], range(-1, read_layer(heads) + 1), name_only=False).items():
        key = {"site": "resid_post", "layer": layer, "position": "subject_last", "condition": "full"}
        out.mean("readout_rank", answer_ranks(readout, x, recall.cls).astype(float), **key)


def _temperature(study: Study, out: Tabulator) -> None:
    """Fitted on the selection half; of one entity per class, those are entities of other answers."""
    recall, heads = study.recall, study.circuit.readout_heads
    readout, layer = head_readouts(recall, heads)[-1], heads[0][0]
    x = recall.at_subject("resid_pre", (layer,))[layer]
    fitted = readout.centred_on(x).calibrated(x, recall.cls, recall.selection)
    out.value("temperature", fitted.temperature, n=int(recall.selection.sum()), condition="selection")


def swapped_answers(recall: Recall, heads: Sequence[Head], candidates: Sequence[Head]) -> dict[str, Flips]:
    """Answers turned by the subspace of these heads' readout, through their values alone, and by random subspaces.

    Without the random subspaces of what candidates see, where that has no room for a control.
    """
    layer, basis = patch_layer(heads), readout_basis(head_readouts(recall, heads)[-1].weight)
    rank, seed = basis.shape[1], recall.settings.seed
    random = random_basis(recall.model.d_model, rank, rng(seed, "readout", "random_subspace"))
    span, generator = value_span(recall, candidates), rng(seed, "readout", "random_in_value_span")
    found = {
        "readout_subspace": flips(recall, basis, layer),
        "value_inputs": value_flips(recall, basis, heads),
        "random_subspace": flips(recall, random, layer),
    }
    if has_room(span, rank):
        within = [flips(recall, random_within(span, rank, generator), layer) for _ in range(N_RANDOM)]
        found["random_in_value_span"] = np.concatenate(within)
    return found


def _swapped(study: Study, out: Tabulator, unseen: str | None) -> None:
    """The causal check, each subspace with its controls."""
    recall, circuit, layer = study.recall, study.circuit, patch_layer(study.circuit.readout_heads)
    swapped = swapped_answers(recall, circuit.readout_heads, circuit.candidates)
    logistic = {} if unseen else _logistic_parts(study, layer)
    swapped |= {name: flips(recall, part, layer) for name, part in logistic.items() if part.shape[1]}
    key = {"layer": layer, "site": "resid_pre", "position": "subject_last"}
    for condition in SUBSPACES:
        if condition in swapped:
            out.mean("subspace_flip", swapped[condition].mean(0), condition=condition, **key)
        else:
            reason = _no_room(study) if condition == "random_in_value_span" else unseen or _EMPTY
            out.absent("subspace_flip", reason, condition=condition, **key)


def _no_room(study: Study) -> str:
    heads, candidates = study.circuit.readout_heads, study.circuit.candidates
    rank = readout_basis(head_readouts(study.recall, heads)[-1].weight).shape[1]
    return f"there is no control {no_room(value_span(study.recall, candidates), rank)}"


_EMPTY = "the regression's subspace has no such part: what the readout heads' values can see holds all or nothing"


def _logistic_parts(study: Study, layer: int) -> dict[str, Basis]:
    """The subspace of a logistic regression before a block; what of it the readout heads' values see, and the rest."""
    recall = study.recall
    x = recall.at_subject("resid_pre", (layer,))[layer]
    weight = logistic_directions(x.cpu().numpy(), recall.cls, recall.selection, 1.0)
    basis = readout_basis(torch.as_tensor(weight))
    row, null = projected(basis, value_span(recall, study.circuit.readout_heads).cpu())
    return {"logistic_subspace": basis, "logistic_row_space": row, "logistic_null_space": null}
