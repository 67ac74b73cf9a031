"""What exists only for both names together: how much, by what means, and the study's ratio in four variants."""

from __future__ import annotations

from dataclasses import replace

from rote.experiments.nonlinear_excess.card import CARD
from rote.page.document import Guide
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import MLP, STACK, By, lines
from rote.page.shapes import curve, figure, finding, pivot

_SCORE = {"interaction_score": "excess"}
_PARTS = {"inherited": "inherited", "norm": "norm", "activation": "activation function"}
_KINDS = {"and_share": "AND-like", "or_share": "OR-like", "linear_share": "nearly linear"}
_RATIOS = {
    "clamped_rising": "clamped, rising neurons",
    "clamped_all": "clamped, all neurons",
    "raw_rising": "not clamped, rising neurons",
    "raw_all": "not clamped, all neurons",
}
_CHARTS = (
    ("how much", "T / SD of the score", _SCORE),
    ("where it comes from", "share of the excess", _PARTS),
    ("kinds of neurons", "share of the effect", _KINDS),
)
_TABLES = (
    ("Excess in standard deviations of the score, and where it comes from", {**_SCORE, **_PARTS}),
    ("Neurons by kind, as shares of their effect on the score", _KINDS),
)
_MLP = replace(MLP, words={None: "all layers"})


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    for stack in dict.fromkeys(r.stack for r in here.rows()):
        yield finding(_finding(here, str(stack)))
        nothing = [Guide(value=0.0, label="nothing")]
        drawn = [
            (title, y, lines(here.rows(*words, stack=stack), By(of="statistic", words=words)))
            for title, y, words in _CHARTS
        ]
        yield figure(
            "By layer: the part of the score that exists only for both names together; where it comes from; and "
            "whether neurons act as an AND or an OR of the two names or nearly add them up, weighted by their effect. "
            "Bars are 95 % intervals.",
            "Points per layer for the excess, its three parts, and the three kinds of neurons.",
            *(curve(title, found, y=y, x=_MLP, guides=nothing) for title, y, found in drawn),
        )
        for caption, words in _TABLES:
            yield pivot(caption, lines(here.rows(*words, stack=stack), By(of="statistic", words=words)), _MLP)
        caption = (
            "The study's ratio: median over facts of the excess before the activation function over the one after it"
        )
        ratios = here.rows("median_excess_ratio", stack=stack)
        yield pivot(caption, lines(ratios, By(of="condition", words=_RATIOS)), _MLP)


def _finding(here: Here, stack: str) -> str:
    score, inherited, norm, activation = (here.one(s, stack=stack, layer=None) for s in (*_SCORE, *_PARTS))
    if score is None:
        return ""
    start = (
        f"In the {STACK.word(stack)}, the part of the score that exists only for both names together is on average "
        f"{score.number} {score.interval}"
    )
    if inherited is None or norm is None or activation is None:
        return f"{start}; it cannot be told from 0, so it is not split."
    return (
        f"{start}. Of it the layers' inputs already held {inherited.number} {inherited.interval}, the activation "
        f"function added {activation.number} {activation.interval} and the norm {norm.number} {norm.interval}."
    )
