"""The card of capacity: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import TOY, ExperimentCard, PublishedValue, Source, StatisticCard

_SUPERLINEAR = Source(post=1, section="how the number of facts grows with the number of neurons")

CARD = ExperimentCard(
    name="capacity",
    title="How many facts can an MLP store, and does that grow faster than its neurons?",
    question="How does the largest number of facts that a network can be trained to give right grow with its neurons, "
    "its width, its depth and its parameters: superlinearly?",
    method=(
        "Networks of each shape are trained on random classes of random pairs of integers, and the most facts of which "
        "they give 99 % right are found by bisection, several networks at once. Exponents are log–log slopes along one "
        "axis between networks that agree in everything else; a construction by hand, whose every table weight is −1, "
        "0 or 1 and holds one fact of three classes, stands beside them."
    ),
    source=_SUPERLINEAR,
    applies_to=(TOY,),
    statistics=(
        StatisticCard(
            name="facts_stored",
            unit="count",
            conditions=("trained", "by_hand"),
            meaning="The most facts seen stored at the asked accuracy, geometric mean over networks.",
            formula="bisection to the relative precision of the settings",
        ),
        StatisticCard(
            name="bits_per_parameter",
            unit="bits",
            conditions=("trained", "by_hand", "all configurations, * embeddings"),
            meaning="Bits of these facts per parameter: of those that were trained (trained), of the MLPs alone "
            "(mlp), of MLPs and embeddings (all).",
            formula="n · (log₂ K − H(a) − (1 − a) · log₂(K − 1)) / parameters, a the accuracy reached, K classes",
        ),
        StatisticCard(
            name="exponent",
            unit="ratio",
            conditions=("facts", "bits", "parameters", "bits_per_parameter"),
            meaning="Exponent along one axis of the facts stored, of their bits, of the parameters (what is exactly "
            "proportional to them has this exponent) and of bits per parameter (0: as many on every size); also of "
            "the facts between neighbouring sizes.",
            formula="least-squares slope of log facts on log axis, with an intercept for each group of networks that "
            "agree in everything else; configurations and seeds resampled separately",
        ),
    ),
    published=(
        PublishedValue(
            statistic="exponent",
            source_node="neurons",
            text="the number of facts can grow superlinearly with the number of neurons",
            source=_SUPERLINEAR,
        ),
    ),
)
