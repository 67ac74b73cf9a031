"""The card of lookup_window: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import CIRCUIT, ExperimentCard, PublishedValue, Source, StatisticCard

# what there is only where there is a window
OF_THE_WINDOW = (
    "lookup_start",
    "lookup_stop",
    "window_decided",
    "borders_decided",
    "window_mlps_ablated_accuracy",
    "window_mlps_ablated_increase",
    "window_mlps_ablated_kl",
    "additive_accuracy_held_out",
    "additive_loss_held_out",
    "removable_nats",
    "needed_share",
    "found_share",
)

CARD = ExperimentCard(
    name="lookup_window",
    title="Which layers look the fact up?",
    question="Between which layers do the MLPs at the entity's last token turn the tokens of a name into its "
    "attribute?",
    method=(
        "The window starts at the first layer from which all attention at the entity's last token can be ablated while "
        "more than 90 % of the loss that it keeps away stays away, and it stops where the readout has reached 90 % of "
        "its plateau; by the ends of intervals, under mean and resample ablation. As evidence, the window's MLPs are "
        "then ablated and the effective model is run, both against what a linear model on the two parts of the name "
        "loses on entities it was not fitted to: the window is there, not there, or undecided."
    ),
    source=Source(post=2, section="fact look-up in the MLPs between concatenation and extraction"),
    takes=(CIRCUIT,),
    seconds=8.9,
    needs=("known_facts",),
    statistics=(
        StatisticCard(
            name="lookup_start",
            unit="layer",
            meaning="First MLP layer of the window.",
            formula="first layer whose interval of attention_kept_share lies above 0.9 under both ablations, on the "
            "selection half (in sequential blocks the layer before)",
        ),
        StatisticCard(
            name="lookup_stop",
            unit="layer",
            meaning="Last MLP layer of the window, inclusive.",
            formula="first layer whose interval of readout accuracy / that of the best layer lies above 0.9 under both "
            "ablations, on the selection half",
        ),
        StatisticCard(
            name="window_decided",
            unit="count",
            meaning="1 where the intervals say that it is there; absent, with the figures, where they leave it open.",
            formula="1 if removable_nats > 0.05 and needed_share, found_share > 0.5 by the lower ends of their "
            "intervals on the selection half",
        ),
        StatisticCard(
            name="borders_decided",
            unit="count",
            meaning="1 where the intervals say where it begins and ends; absent, with the figures, where they leave "
            "another layer possible.",
            formula="1 if no earlier layer than lookup_start or lookup_stop is possible by its interval's upper end",
        ),
        StatisticCard(
            name="attention_kept_share",
            unit="fraction",
            conditions=("mean", "resample"),
            meaning="Share of the loss that the name keeps away, still kept away without attention there from a layer "
            "on; at the last name token, and at all of them.",
            formula="1 − loss increase with attn_out ablated at layers ≥ layer / loss increase with attn_out and "
            "mlp_out of all layers ablated",
        ),
        StatisticCard(
            name="attention_kept_accuracy",
            unit="fraction",
            conditions=("mean", "resample"),
            shown="percent",
            meaning="Readout accuracy when attention at the last name token is ablated from a layer on.",
            formula="readout accuracy with attn_out ablated at layers ≥ layer",
        ),
        StatisticCard(
            name="window_mlps_ablated_accuracy",
            unit="fraction",
            conditions=("mean", "resample"),
            shown="percent",
            meaning="Accuracy among the classes with all MLPs of the window ablated at the last name token.",
            formula="accuracy among the classes with mlp_out[start..stop] replaced there",
        ),
        StatisticCard(
            name="window_mlps_ablated_increase",
            unit="nats",
            conditions=("mean", "resample"),
            meaning="What that costs; also with the MLPs ablated at every token of the name, and for names of one "
            "token apart.",
            formula="rise of −log p(class token) with mlp_out[start..stop] replaced there",
        ),
        StatisticCard(
            name="window_mlps_ablated_kl",
            unit="nats",
            conditions=("mean", "resample"),
            meaning="How far that moves the next token.",
            formula="KL(clean next-token distribution ‖ with mlp_out[start..stop] replaced there)",
        ),
        StatisticCard(
            name="removable_nats",
            unit="nats",
            meaning="What a sum over the two parts does not give away: all that is there to be looked up.",
            formula="loss over the classes of the additive baseline − of the model, on the report half",
        ),
        StatisticCard(
            name="needed_share",
            unit="fraction",
            conditions=("mean", "resample"),
            meaning="How much of it the model loses without the window's MLPs at the last name token.",
            formula="(loss with them ablated − the model's) / removable_nats",
        ),
        StatisticCard(
            name="found_share",
            unit="fraction",
            meaning="How much of what can be read the effective model finds.",
            formula="(the additive baseline's loss − the effective model's) / (the additive baseline's − that of the "
            "same readout where its first head reads, in the whole model)",
        ),
        StatisticCard(
            name="mlp_ablated_accuracy",
            unit="fraction",
            conditions=("mean", "resample"),
            shown="percent",
            meaning="The same with one MLP ablated.",
            formula="accuracy among the classes with mlp_out[layer] replaced there",
        ),
        StatisticCard(
            name="additive_accuracy_held_out",
            unit="fraction",
            shown="percent",
            meaning="What the two parts give without an AND.",
            formula="accuracy on the report half of a linear classifier on E_first + E_last fitted on the selection "
            "half, or of the head readout on the same sum where that loses less",
        ),
        StatisticCard(
            name="additive_loss_held_out",
            unit="nats",
            meaning="Its loss over the classes.",
            formula="mean of −log p(class) of the same",
        ),
    ),
    published=(
        PublishedValue(
            statistic="lookup_start",
            value=2,
            text="MLPs 2 to 6 look the sport up",
            source=Source(post=2, section="fact look-up"),
        ),
        PublishedValue(
            statistic="lookup_stop",
            value=6,
            text="MLPs 2 to 6 look the sport up",
            source=Source(post=2, section="fact look-up"),
        ),
    ),
)
