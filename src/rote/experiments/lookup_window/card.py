"""The card of lookup_window: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import CIRCUIT, ExperimentCard, PublishedValue, Source, StatisticCard

CARD = ExperimentCard(
    name="lookup_window",
    title="Which layers look the fact up?",
    question="Between which layers do the MLPs at the entity's last token turn the tokens of a name into its "
    "attribute?",
    method=(
        "The window starts at the first layer from which all attention at the entity's last token can be ablated while "
        "at least 90 % of the readout's accuracy stays, and it stops where the readout reaches 90 % of its plateau. As "
        "evidence, the window's MLPs are then ablated together and one by one, and compared with what a linear model "
        "on the two tokens reaches on entities it was not fitted to."
    ),
    source=Source(post=2, section="fact look-up in the MLPs between concatenation and extraction"),
    takes=(CIRCUIT,),
    seconds=8.9,
    needs=("known_facts", "two_part_names"),
    statistics=(
        StatisticCard(
            name="lookup_start",
            unit="layer",
            meaning="First MLP layer of the window.",
            formula="first layer from which mean-ablating all attention at the last name token keeps ≥ 90 % of the "
            "readout accuracy",
        ),
        StatisticCard(
            name="lookup_stop",
            unit="layer",
            meaning="Last MLP layer of the window, inclusive.",
            formula="first layer where the readout under both ablations reaches 90 % of its plateau",
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
            meaning="What the two tokens give without an AND.",
            formula="accuracy on the report half of a linear classifier on E_first + E_last fitted on the selection "
            "half",
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
