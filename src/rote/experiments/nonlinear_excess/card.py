"""The card of nonlinear_excess: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import STACK, ExperimentCard, PublishedValue, Source, StatisticCard

_EXCESS = Source(post=3, section="non-linear excess: what neurons compute beyond the sum over tokens")
_WINDOW = ("known_facts", "two_part_names", "lookup_window")

CARD = ExperimentCard(
    name="nonlinear_excess",
    title="Do the neurons join the two names themselves?",
    question="Of the part of the answer that exists only for both names together, how much do the neurons compute and "
    "how much do they inherit from the layers before?",
    method=(
        "Over all combinations of first and last names, the excess of a known name is what it has beyond the sum of "
        "what each of its parts brings, and it is split exactly into what a layer's input already held, what the norm "
        "adds and what the activation function adds. The study's own ratio stands beside it in four variants, with "
        "pre-activations clamped at 0 or not and over rising neurons or all: in a first trial the choice of rising "
        "neurons, not the clamp, decided its value, and the four show whether it does here."
    ),
    source=_EXCESS,
    applies_to=("effective",),
    takes=(STACK,),
    seconds=0.3,
    needs=_WINDOW,
    statistics=(
        StatisticCard(
            name="interaction_score",
            unit="SD",
            titles={"": ("score of both names jointly", "excess in standard deviations of the score")},
            meaning="How much of the score exists only for both names together.",
            formula="mean over facts of T / SD(correct minus mean other score over all combinations), T = Σ over "
            "neurons of w·e(activation), w the direct effect on that score, e = E[A,B] − E[¬A,B] − E[A,¬B] + E[¬A,¬B]",
        ),
        StatisticCard(
            name="inherited",
            unit="ratio",
            titles={"": ("excess inherited from earlier layers", "share of the nonlinear excess")},
            meaning="Share of the excess that the layer's input already held; 0 in the first layer.",
            formula="Σ w·β·e(pre-activation with the norm's scale frozen at its mean) / Σ T, β the least-squares "
            "slope of the activation on the pre-activation (gated: on gate and up)",
        ),
        StatisticCard(
            name="norm",
            unit="ratio",
            meaning="Share of the excess that the norm's varying scale brings.",
            formula="Σ w·β·e(pre-activation − the same with the scale frozen) / Σ T",
        ),
        StatisticCard(
            name="activation",
            unit="ratio",
            meaning="Share of the excess that the activation function brings; the three shares sum to 1.",
            formula="Σ w·(e(activation) − β·e(pre-activation)) / Σ T",
        ),
        StatisticCard(
            name="median_excess_ratio",
            unit="ratio",
            conditions=("clamped_rising", "clamped_all", "raw_rising", "raw_all"),
            meaning="The study's ratio: excess before the activation function over excess after it.",
            formula="median over facts of Σ w·e(pre′) / Σ w·e(activation); clamped: pre′ = max(pre-activation, 0), "
            "raw: as it is; rising: neurons with e(activation) > 0, all: every neuron",
        ),
        StatisticCard(
            name="and_share",
            unit="fraction",
            meaning="Share of the neurons' effect on the score in neurons that act as an AND of the two names.",
            formula="Σ abs(w·r) over neurons with κ > ½ / Σ abs(w·r) over all, κ = sign(r)·(r − a − b) / max(abs r, "
            "abs a, abs b); r, a, b: the activation with both names, the first, the last, each less that with neither",
        ),
        StatisticCard(
            name="or_share",
            unit="fraction",
            meaning="The same for neurons that act as an OR.",
            formula="as and_share, over neurons with κ < −½",
        ),
        StatisticCard(
            name="linear_share",
            unit="fraction",
            titles={"": ("linear neurons", "share of neurons that respond to no pair of names")},
            meaning="The same for neurons that nearly add the names up; the three sum to 1.",
            formula="as and_share, over neurons with −½ ≤ κ ≤ ½",
        ),
    ),
    published=(
        PublishedValue(
            statistic="median_excess_ratio",
            condition="clamped_rising",
            value=0.23,
            text="median 23 %, clamped and over rising neurons",
            source=_EXCESS,
        ),
    ),
)
