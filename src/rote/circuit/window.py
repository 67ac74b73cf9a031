"""Which MLP layers look the attribute up at subject_last, or why there is no such window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from rote.asking.recall import Recall
from rote.circuit.concatenation import mlps_ablated
from rote.circuit.effective import effective_model
from rote.circuit.extraction import Condition, condition_edits, head_readouts, residuals
from rote.circuit.top_heads import Head
from rote.errors import NotApplicable
from rote.model import Edit
from rote.stack import Readout
from rote.statistics.probes import best_strength, logistic_correct


def read_layer(heads: Sequence[Head]) -> int:
    """The layer whose output the first readout head reads (−1: the input of block 0)."""
    return heads[0][0] - 1


def attention_curve(recall: Recall, heads: Sequence[Head], how: str) -> Float[np.ndarray, "layer fact"]:
    """Readout accuracy with attention at subject_last ablated from each layer on, on full prompts.

    Row L: attention of layers L.. ablated, read where the first readout head reads; the last row is the clean run.
    Values are fractions of draws in which the fact is read correctly.
    """
    readout, layer = head_readouts(recall, heads)[-1], read_layer(heads)
    late = Condition(name="late", late_attention_ablated=True)
    rows = []
    for start in range(layer + 2):
        edits: list[list[Edit]] = [[]] if start == layer + 1 else condition_edits(recall, late, how, start, ())
        rows.append(_read_correct(recall, readout, edits, (layer,), name_only=False)[layer])
    return np.stack(rows)


def _read_correct(
    recall: Recall,
    readout: Readout,
    draws: Sequence[Sequence[Edit]],
    layers: Sequence[int],
    *,
    name_only: bool,
) -> dict[int, Float[np.ndarray, " fact"]]:
    """Per layer, the share of draws in which the centred readout is right, fact by fact."""
    shares: dict[int, Float[np.ndarray, " fact"]] = {}
    for edits in draws:
        for layer, x in residuals(recall, edits, layers, name_only=name_only).items():
            # on each condition's own mean: what it adds to all facts alike would pull every answer to one class
            right = readout.centred_on(x).predict(x) == recall.cls
            shares[layer] = shares.get(layer, 0) + right / len(draws)
    return shares


def condition_curve(
    recall: Recall,
    heads: Sequence[Head],
    condition: Condition,
    how: str,
    attention_from: int,
    first_mlps: Sequence[int],
) -> dict[int, Float[np.ndarray, " fact"]]:
    """Readout accuracy per layer (−1: input of block 0) under a condition; fractions of draws, fact by fact."""
    layers = range(-1, read_layer(heads) + 1)
    draws = condition_edits(recall, condition, how, attention_from, first_mlps)
    readout = head_readouts(recall, heads)[-1]
    return _read_correct(recall, readout, draws, layers, name_only=condition.name_only)


@dataclass(frozen=True, kw_only=True)
class Window:
    """The window found, or the reason why there is none; accuracies on the selection half unless said otherwise."""

    attention_from: int
    start: int
    stop: int
    reason: str | None = None

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(range(self.start, self.stop + 1))


def find_window(recall: Recall, heads: Sequence[Head]) -> Window:
    """Choose attention_from, lookup_start and lookup_stop on the selection half, and test whether they hold.

    attention_from: first layer from which mean-ablating all attention at subject_last keeps `window_keep` of the
    readout's accuracy. lookup_start: the same in parallel blocks; in sequential ones the layer before, whose MLP
    already reads what its own attention brought. lookup_stop: first layer from there on where the readout on
    name-only prompts with late attention ablated reaches `window_plateau` of its plateau. Layers count from 0. Nothing
    is raised where there is no window: the reason stands in it.
    """
    use = recall.selection
    curve = attention_curve(recall, heads, "mean")[:, use].mean(1)
    # the first; there is always one, since the last row is the clean run itself
    attention_from = int(np.argmax(curve >= recall.settings.window_keep * curve[-1]))
    start = attention_from if recall.model.parallel else max(attention_from - 1, 0)
    unreadable = _unreadable(recall, float(curve[-1]))
    if unreadable:  # stop before start: a window without layers, beside the layer that was found
        return Window(attention_from=attention_from, start=start, stop=start - 1, reason=unreadable)
    both = Condition(name="both", name_only=True, late_attention_ablated=True)
    reached = condition_curve(recall, heads, both, "mean", attention_from, ())
    last = read_layer(heads)
    plateau = {layer: float(reached[layer][use].mean()) for layer in range(start, last + 1)}
    if not plateau:
        reason = (
            f"There is no MLP window: attention at the name's last token is needed up to layer {attention_from - 1}, "
            f"and the first readout head reads in layer {heads[0][0]}, so no MLP layer lies between."
        )
        return Window(attention_from=attention_from, start=start, stop=start - 1, reason=reason)
    enough = recall.settings.window_plateau * max(plateau.values())
    stop = min(layer for layer, accuracy in plateau.items() if accuracy >= enough)
    window = Window(attention_from=attention_from, start=start, stop=stop)
    found: str | None
    try:
        found = _not_there(recall, window_evidence(recall, heads, window))
    except NotApplicable as error:
        found = f"Whether MLPs {start} to {stop} look the fact up could not be tested: {error.reason}."
    return replace(window, reason=found)


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowEvidence:
    """Per fact of a two-part name: right in the whole model, without the window's MLPs, additively, in the stack."""

    facts: np.ndarray
    model: Bool[np.ndarray, " two_part"]
    without_mlps: Bool[np.ndarray, " two_part"]
    additive: Bool[np.ndarray, " two_part"]
    stack: Bool[np.ndarray, " two_part"]


def window_evidence(recall: Recall, heads: Sequence[Head], window: Window) -> WindowEvidence:
    """What tells a look-up in the window's MLPs from one elsewhere, on every fact whose name has two parts.

    NotApplicable where too few names have two parts, the MLPs have no single neurons, or the selection half has one
    class.
    """
    facts = recall.require_two_part()
    (ablated,) = mlps_ablated(recall, window.layers, "mean")
    stack = effective_model(recall, heads, window.start, window.stop)
    run = stack.run_entities()
    cls = stack.entities.cls[recall.relation]
    return WindowEvidence(
        facts=facts,
        model=recall.clean.scores.correct_cls.cpu().numpy()[facts],
        without_mlps=ablated.correct_cls.cpu().numpy()[facts],
        additive=additive_correct(run.resid[0].cpu().numpy(), cls, recall.selection[facts]),
        stack=stack.readouts[recall.relation].predict(run.output) == cls,
    )


def additive_correct(
    x: Float[np.ndarray, "entity d_model"], cls: np.ndarray, selection: Bool[np.ndarray, " entity"]
) -> Bool[np.ndarray, " entity"]:
    """Right or not, of a linear model on E_first + E_last for entities that it was not fitted on.

    The report half is predicted by a fit on the selection half; the selection half, for choices, by fits on four
    fifths of itself. Logistic regression with the penalty that generalises best within the fitting entities.
    NotApplicable where these are all of one class.
    """
    correct = np.zeros(len(cls), dtype=bool)
    strength = best_strength(x, cls, selection)
    correct[~selection] = logistic_correct(x, cls, selection, strength)[~selection]
    for fold in np.array_split(np.flatnonzero(selection), 5):
        train = selection.copy()
        train[fold] = False
        correct[fold] = logistic_correct(x, cls, train, strength)[fold]
    return correct


def _unreadable(recall: Recall, read: float) -> str | None:
    """Why nothing can be looked up at the name, where the readout finds next to nothing there; selection half."""
    use = recall.selection
    model = float(recall.clean.scores.correct_cls.cpu().numpy()[use].mean())
    chance = float(np.bincount(recall.cls[use]).max() / use.sum())
    if read >= chance + recall.settings.window_drop * (model - chance):
        return None
    return (
        f"There is no MLP window: the attribute can hardly be read at the name's last token; the readout there is "
        f"right for {read:.1%}, "
        f"the model for {model:.1%}, the commonest class would be for {chance:.1%}."
    )


def _not_there(recall: Recall, evidence: WindowEvidence) -> str | None:
    """Why these MLPs do not look the fact up, with the figures; None where they do; selection half."""
    half = recall.selection[evidence.facts]
    model, without, additive, stack = (
        float(x[half].mean()) for x in (evidence.model, evidence.without_mlps, evidence.additive, evidence.stack)
    )
    share = recall.settings.window_drop
    removable = model - additive  # what a sum over the two tokens gives away needs no look-up
    if removable < recall.settings.window_least:
        return (
            f"There is no MLP window: a linear model on the two parts of the name is right for {additive:.1%}, the "
            f"model for {model:.1%}, so next to nothing is left to look up."
        )
    if model - without < share * removable:
        return (
            f"There is no MLP window: the model does not need these MLPs at the name: with all of them ablated it is "
            f"right for {without:.1%} (clean {model:.1%}; a linear model on the two parts of the name {additive:.1%})."
        )
    if stack - additive < share * removable:
        return (
            "There is no MLP window: these MLPs do not find the attribute from the sum of the two names. The effective "
            f"model is right for {stack:.1%} (model {model:.1%}; a linear model on the same sum {additive:.1%}), so "
            "the names are combined elsewhere, for instance in attention patterns."
        )
    return None
