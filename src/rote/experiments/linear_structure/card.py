"""The card of linear_structure: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import STACK, ExperimentCard, PublishedValue, Source, StatisticCard

_LINEAR = Source(post=3, section="how much linear structure is broken, layer by layer")
_WINDOW = ("known_facts", "two_part_names", "lookup_window")

CARD = ExperimentCard(
    name="linear_structure",
    title="How far does each layer depart from a sum over parts?",
    question="If two known names swap surnames and nobody is called that, does the sum of activations notice?",
    method=(
        "For pairs of known names (A, B) whose surname swaps (C, D) are both unknown, the midpoint of A and B is "
        "compared with the midpoint of C and D, relative to the distance to midpoints of unrelated unknown names. A "
        "layer that treats the parts one by one gives 0; permuted weights and pairs of unknown names show what any "
        "nonlinear layer would give."
    ),
    source=_LINEAR,
    applies_to=("effective",),
    takes=(STACK,),
    seconds=1.3,
    needs=_WINDOW,
    statistics=(
        StatisticCard(
            name="broken_fraction",
            unit="ratio",
            conditions=("real", "shuffled", "shuffled_matched", "unknown_pairs"),
            titles={"": ("broken linear structure", "share of the distance between midpoints")},
            meaning="How much of the layer's output is not a sum over the two parts, for known names.",
            formula="median over pairs of ‖mid(A,B) − mid(C,D)‖ / mean over 16 draws of ‖mid(A,B) − mid(C′,D′)‖",
        ),
        StatisticCard(
            name="interaction_share",
            unit="ratio",
            titles={"": ("joint part of the MLP outputs", "share of standard deviation")},
            meaning="The same over all combinations of at most 200 first and 200 last names, as a share of standard "
            "deviation; without a layer, of all layers together.",
            formula="√(variance of the interaction / total variance), both summed over d_model and, without a layer, "
            "over the layers; the interval resamples names with the main effects as they are",
        ),
    ),
    published=(
        PublishedValue(
            statistic="broken_fraction",
            site="mlp_out",
            condition="real",
            low=0.60,
            high=0.70,
            text="60–70 % for MLP outputs, a little less for MLP2",
            source=_LINEAR,
        ),
        PublishedValue(
            statistic="broken_fraction",
            site="resid_post",
            condition="real",
            low=0.30,
            high=0.50,
            text="residual stream from 30 % to 50 %",
            source=_LINEAR,
        ),
        PublishedValue(
            statistic="broken_fraction",
            site="mlp_out",
            condition="shuffled",
            low=0.20,
            high=0.40,
            text="20–40 % with shuffled weights",
            source=_LINEAR,
        ),
        PublishedValue(
            statistic="broken_fraction",
            site="mlp_out",
            condition="unknown_pairs",
            text="unchanged for pairs of unknown names",
            source=_LINEAR,
        ),
    ),
)
