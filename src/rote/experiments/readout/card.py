"""The card of readout: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import CIRCUIT, ExperimentCard, PublishedValue, Source, StatisticCard

_READ = Source(post=2, section="attribute extraction as a linear map of the residual stream")

CARD = ExperimentCard(
    name="readout",
    title="From which layer on can the answer be read?",
    question="At which layer does the residual stream at the entity's last token hold the answer in the form that the "
    "extracting heads read?",
    method=(
        "The extracting heads' value and output weights and the unembedding are multiplied into one linear map from "
        "the residual stream to class scores, and this readout is applied after every layer. It is repeated on prompts "
        "with the name only, with late attention at the name ablated, and with both, and once with a logistic "
        "regression in place of the heads, beside it the same regression fitted to permuted labels."
    ),
    source=_READ,
    takes=(CIRCUIT,),
    seconds=8.0,
    needs=("known_facts",),
    statistics=(
        StatisticCard(
            name="readout_accuracy",
            unit="fraction",
            conditions=("full", "name_only", "late_attention_ablated", "both", "both_first_mlps_ablated"),
            shown="percent",
            meaning="How often the readout gives the right class after a layer (−1: before the first).",
            formula="mean of [argmax of (resid_post[layer] − mean) · W_V · W_O · W_U[classes] = correct class] at the "
            "entity's last token; logistic: of a regression fitted on the selection half; its control: fitted there to "
            "classes permuted among the entities, the mean over two permutations",
        ),
        StatisticCard(
            name="readout_rank",
            unit="rank",
            conditions=("full",),
            meaning="The place of the right class among all classes by the heads' scores after a layer; 1 is right.",
            formula="mean of 1 + number of classes with a higher score",
        ),
        StatisticCard(
            name="flip_gain",
            unit="fraction",
            conditions=("selection",),
            shown="points",
            meaning="By how much the subspace of the readout of so many heads turns more answers than a random one "
            "does; the number of heads is chosen by it.",
            formula="share of answers that become the donor's, minus the same for random subspaces of equal rank "
            "within what the candidate heads' values can see, or in d_model where that has less than twice the "
            "dimensions of one head's readout",
        ),
        StatisticCard(
            name="n_readout_heads",
            unit="count",
            conditions=("selection",),
            meaning="Heads that make up the readout.",
            formula="fewest heads, in the order of what they bring from the name's last token, whose flip_gain is "
            "within a tolerance of the largest; 0 where flips do not beat random ones",
        ),
        StatisticCard(
            name="temperature",
            unit="ratio",
            conditions=("selection",),
            meaning="What class scores are divided by before the softmax.",
            formula="the temperature of least loss on the selection half",
        ),
        StatisticCard(
            name="subspace_flip",
            unit="fraction",
            conditions=(
                "readout_subspace",
                "value_inputs",
                "random_in_value_span",
                "random_subspace",
                "logistic_subspace",
                "logistic_row_space",
                "logistic_null_space",
            ),
            shown="percent",
            meaning="How often swapping only the readout's subspace from another entity swaps the answer.",
            formula="share of entities whose answer becomes the donor's; controls are random subspaces of equal rank, "
            "in d_model and within what the candidate heads' values can see (absent where that has less than twice as "
            "many dimensions: it would be the readout over again); value_inputs: the same change seen by the readout "
            "heads' values alone; logistic: the regression's subspace, whole, and its parts inside and outside of what "
            "the readout heads' values can see (Makelov et al. 2023)",
        ),
    ),
    published=(
        PublishedValue(
            statistic="readout_accuracy",
            condition="full",
            layer=16,
            value=0.98,
            text="98 % at layer 16, full prompt",
            source=_READ,
        ),
        PublishedValue(
            statistic="readout_accuracy",
            condition="full",
            layer=6,
            value=0.90,
            text="about 90 % at layer 6, full prompt",
            source=_READ,
        ),
        PublishedValue(
            statistic="readout_accuracy",
            condition="both",
            layer=6,
            value=0.85,
            text="85 % at layer 6 with the name only and late attention ablated",
            source=_READ,
        ),
        PublishedValue(
            statistic="readout_accuracy",
            condition="both",
            value=0.94,
            text="up to 94 % at later layers under the same two ablations",
            source=_READ,
        ),
        PublishedValue(
            statistic="readout_accuracy",
            condition="both_first_mlps_ablated",
            layer=6,
            value=0.81,
            text="81 % at layer 6 with MLP1 ablated as well",
            source=_READ,
        ),
        PublishedValue(
            statistic="readout_accuracy",
            condition="both_first_mlps_ablated",
            value=0.90,
            text="up to 90 % at later layers with MLP1 ablated as well",
            source=_READ,
        ),
    ),
)
