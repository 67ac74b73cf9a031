"""Which MLP layers look the attribute up at subject_last, or why there is no such window, or what is undecided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from rote.asking.recall import ABLATIONS, Recall
from rote.circuit.at_name import attention_from as attention_from_layer
from rote.circuit.at_name import everything, silenced
from rote.circuit.evidence import Shares, WindowEvidence, bootstrap_of, shares, window_evidence
from rote.circuit.extraction import Condition, condition_edits, head_readouts, residuals
from rote.circuit.top_heads import Head
from rote.errors import NotApplicable
from rote.model import Edit
from rote.stack import Readout
from rote.statistics import Bootstrap, Estimate
from rote.statistics.weighted import ratio


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
    """The window found, or the reason why there is none.

    `doubt` says why it may not be there, `borders` where else it might begin or end: what the intervals leave open.
    """

    attention_from: int
    start: int
    stop: int
    reason: str | None = None
    doubt: str | None = None
    borders: str | None = None

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(range(self.start, self.stop + 1))


def find_window(recall: Recall, heads: Sequence[Head]) -> Window:
    """Choose attention_from, lookup_start and lookup_stop on the selection half, and say whether they hold.

    kept(L) = 1 − (loss increase without attention at subject_last from layer L on) / (the same without attention and
    MLPs of all layers there). attention_from: the first L whose interval of kept lies above `window_keep` under mean
    and resample ablation. lookup_start: the same in parallel blocks; in sequential ones the layer before, whose MLP
    already reads what its own attention brought. lookup_stop: the first layer from there on whose interval of the
    readout's accuracy (name-only prompts, late attention ablated), over that of the best layer, lies above
    `window_plateau` under both. Where a layer before it might do as well, by its interval, that is a doubt. Layers
    count from 0. Nothing is raised where there is no window: the reason stands in it. Source: Fact Finding, post 2, by
    losses and intervals.
    """
    half = recall.take(np.flatnonzero(recall.selection))
    resamples, last = bootstrap_of(half, np.arange(len(half)), "window"), read_layer(heads)
    if reason := _unreadable(half, heads, resamples):
        return Window(attention_from=last + 1, start=last + 1, stop=last, reason=reason)
    begins = _attention(half, last, resamples)
    if begins.reason is not None or begins.layer is None:
        return Window(attention_from=last + 1, start=last + 1, stop=last, reason=begins.reason)
    attention_from = begins.layer
    start = attention_from if recall.model.parallel else max(attention_from - 1, 0)
    if start > last:
        reason = (
            f"There is no MLP window: attention at the name's last token is needed up to layer {attention_from - 1}, "
            f"and the first readout head reads in layer {heads[0][0]}, so no MLP layer lies between."
        )
        return Window(attention_from=attention_from, start=start, stop=start - 1, reason=reason)
    ends = _plateau(half, heads, attention_from, start, resamples)
    assert ends.layer is not None
    window = Window(attention_from=attention_from, start=start, stop=ends.layer)
    doubts = [begins.doubt, ends.doubt]
    try:
        judged = judge(recall, window_evidence(recall, heads, start, window.stop))
        for other, why in _others(half, heads, window, begins.possible, resamples) if judged.spare else ():
            instead = judge(recall, window_evidence(recall, heads, other.start, other.stop))
            if not instead.reason:
                window, judged, doubts = other, instead, [*doubts, why]
                break
    except NotApplicable as error:
        untested = f"Whether MLPs {start} to {ends.layer} look the fact up could not be tested: {error.reason}."
        return replace(window, reason=untested)
    borders = " ".join(doubt for doubt in doubts if doubt) or None
    return replace(window, reason=judged.reason, doubt=judged.doubt, borders=borders)


def _others(
    half: Recall, heads: Sequence[Head], window: Window, possible: int | None, resamples: Bootstrap
) -> Iterator[tuple[Window, str]]:
    """Where else the look-up may be if the model does without a window's MLPs, each with what is said of it.

    Up to where the readout reads, since later MLPs may stand in for these; and from the first layer from which
    attention may be spared by its interval's upper end, since earlier ones may have done it all.
    """
    last, these = read_layer(heads), f"MLPs {window.start} to {window.stop}"
    if window.stop < last:
        why = f"The model does without {these}, and not without those up to {last}: all of them are taken."
        yield replace(window, stop=last), why
    if possible is not None and possible < window.attention_from:
        start = possible if half.model.parallel else max(possible - 1, 0)
        stop = _plateau(half, heads, possible, start, resamples).layer
        assert stop is not None
        why = f"The model does without {these}, and not without MLPs {start} to {stop}: these are taken."
        yield Window(attention_from=possible, start=start, stop=stop), why


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """A layer chosen by intervals; `possible` is an earlier one that they leave open, `reason` why there is none."""

    layer: int | None
    doubt: str | None = None
    reason: str | None = None
    possible: int | None = None


def _first(shares: Mapping[int, Sequence[Estimate]], above: float) -> tuple[int | None, int | None]:
    """(certain, possible): the first layers all of whose intervals lie above, or reach above, a threshold."""
    certain = [n for n, found in shares.items() if all(e.ci_low is not None and e.ci_low > above for e in found)]
    possible = [n for n, found in shares.items() if all((e.ci_high or e.value) > above for e in found)]
    return min(certain, default=None), min(possible, default=None)


def _attention(half: Recall, last: int, resamples: Bootstrap) -> _Layer:
    """The first layer from which attention at the name's last token is not needed."""
    keep = half.settings.window_keep
    shares: dict[int, list[Estimate]] = {}
    for how in ABLATIONS:
        total = silenced(half, everything(half), how, "subject_last").increase
        rise = resamples.mean(total)
        if rise.ci_low is None or rise.ci_low <= 0:
            return _Layer(layer=None, reason=f"There is no MLP window: {_not_at_the_name(rise, how)}")
        for layer in range(last + 2):
            if how == ABLATIONS[0] or (shares[layer][0].ci_high or 0) > keep:  # the others fall by the first already
                lost = silenced(half, attention_from_layer(half, layer), how, "subject_last").increase
                shares.setdefault(layer, []).append(_kept(lost, total, resamples))
    asked = {layer: found for layer, found in shares.items() if len(found) == len(ABLATIONS)}
    certain, possible = _first(asked, keep)
    if certain is None:
        return _Layer(layer=None, reason=_needed_too_long(shares[last + 1], last, keep))
    doubt = None
    if possible is not None and possible < certain:
        doubt = (
            "Where the window begins is undecided: without attention at the name's last token from layer "
            f"{possible} on {_both(asked[possible])} of the loss is kept away, from layer {certain} on "
            f"{_both(asked[certain])} (more than {keep:.0%} is asked for)."
        )
    return _Layer(layer=certain, doubt=doubt, possible=possible)


def _kept(lost: np.ndarray, total: np.ndarray, resamples: Bootstrap) -> Estimate:
    return resamples.interval(lambda weights: 1 - ratio(weights @ lost, weights @ total))


def _not_at_the_name(rise: Estimate, how: str) -> str:
    return (
        "the answer does not hang on the name's last token. Without all attention and MLPs there the loss rises by "
        f"{rise.written('.2f', ' nats')} ({how} ablation)."
    )


def _needed_too_long(shares: Sequence[Estimate], last: int, keep: float) -> str:
    return (
        "There is no MLP window: attention at the name's last token is needed where the first readout head reads. "
        f"Without it from layer {last + 1} on {_both(shares)} of the loss is kept away; more than {keep:.0%} is asked "
        "for."
    )


def _plateau(half: Recall, heads: Sequence[Head], attention_from: int, start: int, resamples: Bootstrap) -> _Layer:
    """The first layer at which the readout under both ablations has reached its plateau."""
    both, last = Condition(name="both", name_only=True, late_attention_ablated=True), read_layer(heads)
    shares: dict[int, list[Estimate]] = {layer: [] for layer in range(start, last + 1)}
    accuracies: dict[str, dict[int, float]] = {}
    for how in ABLATIONS:
        curve = condition_curve(half, heads, both, how, attention_from, ())
        accuracies[how] = {layer: float(curve[layer].mean()) for layer in shares}
        best = curve[max(shares, key=lambda layer: accuracies[how][layer])]
        for layer, found in shares.items():
            found.append(_relative(curve[layer], best, resamples))
    certain, possible = _first(shares, half.settings.window_plateau)
    if certain is None:
        first = accuracies[ABLATIONS[0]]
        certain = max(first, key=lambda layer: (first[layer], -layer))
    if possible is None or possible >= certain:
        return _Layer(layer=certain)
    doubt = (
        f"Where it ends is undecided: after layer {possible} the readout has reached {_both(shares[possible])} of its "
        f"plateau, after layer {certain} {_both(shares[certain])} (more than {half.settings.window_plateau:.0%} is "
        "asked for)."
    )
    return _Layer(layer=certain, doubt=doubt)


def _relative(correct: np.ndarray, best: np.ndarray, resamples: Bootstrap) -> Estimate:
    if np.array_equal(correct, best):
        return Estimate(value=1.0, ci_low=1.0, ci_high=1.0, n=len(correct))
    return resamples.interval(lambda weights: ratio(weights @ correct, weights @ best))


def _unreadable(half: Recall, heads: Sequence[Head], resamples: Bootstrap) -> str | None:
    """Why nothing can be looked up at the name, where the readout finds next to nothing there."""
    readout, layer = head_readouts(half, heads)[-1], read_layer(heads)
    read = resamples.mean(_read_correct(half, readout, [[]], (layer,), name_only=False)[layer])
    model = float(half.clean.scores.correct_cls.double().mean())
    chance = float(np.bincount(half.cls).max() / len(half))
    least = chance + half.settings.window_drop * (model - chance)
    if (read.ci_high or read.value) >= least:
        return None
    return (
        f"There is no MLP window: the attribute can hardly be read at the name's last token; the readout there is "
        f"right for {read.written('.1%')}, the model for {model:.1%}, the commonest class would be "
        f"for {chance:.1%}."
    )


def judge(recall: Recall, evidence: WindowEvidence) -> WindowVerdict:
    """Whether the window is there, on the selection half, by the ends of intervals; mean and resample have to agree."""
    facts = evidence.facts
    half, settings = recall.selection[facts], recall.settings
    found = shares(evidence, half, bootstrap_of(recall, facts, "window_evidence"))
    share, figures = settings.window_drop, _figures(found, evidence.exact, settings.window_drop)
    if _below([found.removable], settings.window_least):
        return WindowVerdict(reason=f"There is no MLP window: next to nothing is left to look up. {figures}")
    if _below(found.needed.values(), share):
        reason = f"There is no MLP window: the model does not need these MLPs at the name. {figures}"
        return WindowVerdict(reason=reason, spare=True)
    if _below([found.found], share):
        return WindowVerdict(
            reason="There is no MLP window: these MLPs do not find the attribute from what stands at the name, so it "
            f"is formed elsewhere, for instance in attention patterns. {figures}"
        )
    if alone := int((~recall.prompts.has_first[facts]).sum()):
        return WindowVerdict(
            doubt="Too few names have two parts to tell a look-up of both from what a single token brings along "
            f"({alone} of the {len(facts)} known names have one token). Over all of them: {figures}"
        )
    there = _above([found.removable], settings.window_least) and _above([*found.needed.values(), found.found], share)
    return WindowVerdict(doubt=None if there else f"Whether these MLPs look the fact up is undecided. {figures}")


@dataclass(frozen=True, kw_only=True)
class WindowVerdict:
    """Not there, with the reason; there or not there, with the doubt; there. `spare`: the model can do without."""

    reason: str | None = None
    doubt: str | None = None
    spare: bool = False


def _below(found: Iterable[Estimate], threshold: float) -> bool:
    return all(e.ci_high is not None and e.ci_high < threshold for e in found)


def _above(found: Iterable[Estimate], threshold: float) -> bool:
    return all(e.ci_low is not None and e.ci_low > threshold for e in found)


def _figures(found: Shares, exact: bool, share: float) -> str:
    what = "a linear model on what stands at the name" if exact else "a linear model on the two parts of the name"
    needed = ", ".join(f"{e.written('.0%')} ({how} ablation)" for how, e in found.needed.items())
    return (
        f"{what[0].upper()}{what[1:]} loses {found.removable.written('.2f', ' nats')} more "
        f"than the model; without these MLPs the model loses {needed} of that, and the effective model wins back "
        f"{found.found.written('.0%')} of what the readout wins in the whole model; "
        f"{share:.0%} is asked for."
    )


def _both(found: Sequence[Estimate]) -> str:
    return " and ".join(e.written(".0%") for e in found)
