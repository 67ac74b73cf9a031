"""The card of concatenation: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import CIRCUIT, ExperimentCard, PublishedValue, Source, StatisticCard, first_order_card

CARD = ExperimentCard(
    name="concatenation",
    title="How do the parts of a name come together?",
    question="Which heads bring the first part of a name to its last token, and is the result a plain sum of the two "
    "parts?",
    method=(
        "Each head's output at the entity's last token is resampled in turn, each layer's attention there is ablated, "
        "and the second concatenating layer is forbidden to attend to itself. The input of the look-up layers is then "
        "split, over all combinations of first and last parts of names of one kind and length, into what the first "
        "part adds, what the last adds, a constant, and what only both together explain."
    ),
    source=Source(post=2, section="token concatenation by previous-token heads"),
    takes=(CIRCUIT,),
    seconds=5.6,
    needs=("known_facts",),
    statistics=(
        StatisticCard(
            name="total_effect",
            unit="logit",
            meaning="How much the answer depends on one head at the entity's last token.",
            formula="drop of logit[clean class] − logit[other class] when the head's output there is resampled",
        ),
        first_order_card("resampling a head"),
        StatisticCard(
            name="attention_ablated_accuracy",
            unit="fraction",
            conditions=("mean", "resample"),
            shown="percent",
            meaning="Accuracy with one layer's attention at the entity's last token ablated; low for layers that "
            "concatenate.",
            formula="accuracy with attn_out[layer] replaced there by its mean or by another entity's",
        ),
        StatisticCard(
            name="self_attention_forbidden_accuracy",
            unit="fraction",
            shown="percent",
            meaning="Accuracy when the second concatenating layer may not attend from the last token to itself.",
            formula="accuracy with that edge's attention set to 0 and the rest renormalised",
        ),
        StatisticCard(
            name="patterns_frozen_accuracy",
            unit="fraction",
            conditions=("between_parts",),
            shown="percent",
            meaning="Accuracy with the attention patterns held at their mean over names of one kind and length; also "
            "with only the edges from the last part to the first held.",
            formula="accuracy with mean patterns in place of each name's own; between_parts: those edges alone, the "
            "rest of a row in its own proportions",
        ),
        StatisticCard(
            name="concatenation_r2",
            unit="fraction",
            conditions=("patterns_frozen",),
            meaning="Share of the look-up's input that is a plain sum over the two parts; 1 means no look-up has "
            "happened yet. The mean over strata of names, weighted by their facts.",
            formula="1 − variance of the interaction / total variance, over all combinations of parts within a "
            "stratum, patterns not frozen; patterns_frozen: at their means",
        ),
        StatisticCard(
            name="closed_form_difference",
            unit="ratio",
            meaning="How far the measured parts lie from those computed from weights (parallel blocks only).",
            formula="RMS difference of main effects and closed form / RMS of the main effects",
        ),
    ),
    published=(
        PublishedValue(
            statistic="attention_ablated_accuracy",
            text="heads in layers 0 and 1 bring the first token to the last; ablating them is catastrophic",
            source=Source(post=2, section="token concatenation"),
        ),
    ),
)
