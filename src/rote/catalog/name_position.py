"""Cards: what happens at the entity's last token, from concatenation to the effective model."""

from __future__ import annotations

from rote.catalog.types import ExperimentCard, PublishedValue, Source, StatisticCard, first_order_card

_READ = Source(post=2, section="attribute extraction as a linear map of the residual stream")

READOUT = ExperimentCard(
    name="readout",
    title="From which layer on can the answer be read?",
    question="At which layer does the residual stream at the entity's last token hold the answer in the form "
    "that the "
    "extracting heads read?",
    method=(
        "The extracting heads' value and output weights and the unembedding are multiplied into one linear "
        "map from the "
        "residual stream to class scores, and this readout is applied after every layer. "
        "It is repeated on prompts with the name only, with late attention at the name ablated, and with "
        "both, and once "
        "with a logistic regression in place of the heads."
    ),
    source=_READ,
    applies_to=("model",),
    needs=("known_facts",),
    statistics=(
        StatisticCard(
            name="readout_accuracy",
            unit="fraction",
            meaning="How often the readout gives the right class after a layer (−1: before the first).",
            formula="mean of [argmax of (resid_post[layer] − mean) · W_V · W_O · W_U[classes] = correct "
            "class] "
            "at the entity's last token",
        ),
        StatisticCard(
            name="n_readout_heads",
            unit="count",
            meaning="Heads that make up the readout.",
            formula="fewest top heads whose readout is within a tolerance of the best on the selection half",
        ),
        StatisticCard(
            name="temperature",
            unit="ratio",
            meaning="What class scores are divided by before the softmax.",
            formula="the temperature of least loss on the selection half",
        ),
        StatisticCard(
            name="subspace_flip",
            unit="fraction",
            meaning="How often swapping only the readout's subspace from another entity swaps the answer.",
            formula="share of entities whose answer becomes the donor's; a random subspace of equal rank is "
            "the control",
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

CONCATENATION = ExperimentCard(
    name="concatenation",
    title="How do the tokens of a name come together?",
    question="Which heads bring the first name to the last token, and is the result a plain sum of the two tokens?",
    method=(
        "Each head's output at the entity's last token is resampled in turn, each layer's attention there is "
        "ablated, and "
        "the second concatenating layer is forbidden to attend to itself. "
        "The input of the look-up layers is then split, over all combinations of first and last names, into "
        "a part for "
        "the first token, a part for the last, a constant, and what only both together explain."
    ),
    source=Source(post=2, section="token concatenation by previous-token heads"),
    applies_to=("model",),
    needs=("known_facts", "two_token_names"),
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
            meaning="Accuracy with one layer's attention at the entity's last token ablated; low for layers "
            "that "
            "concatenate.",
            formula="accuracy with attn_out[layer] replaced there by its mean or by another entity's",
        ),
        StatisticCard(
            name="self_attention_forbidden_accuracy",
            unit="fraction",
            meaning="Accuracy when the second concatenating layer may not attend from the last token to itself.",
            formula="accuracy with that edge's attention set to 0 and the rest renormalised",
        ),
        StatisticCard(
            name="patterns_frozen_accuracy",
            unit="fraction",
            meaning="Accuracy with the attention patterns held at their mean over two-token names.",
            formula="accuracy with mean patterns in place of each name's own",
        ),
        StatisticCard(
            name="concatenation_r2",
            unit="fraction",
            meaning="Share of the look-up's input that is a plain sum of a part per token; 1 means no "
            "look-up has "
            "happened yet.",
            formula="1 − variance of the interaction / total variance, over all combinations of names, "
            "patterns not frozen",
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

LOOKUP_WINDOW = ExperimentCard(
    name="lookup_window",
    title="Which layers look the fact up?",
    question="Between which layers do the MLPs at the entity's last token turn the tokens of a name into its "
    "attribute?",
    method=(
        "The window starts at the first layer from which all attention at the entity's last token can be "
        "ablated while at "
        "least 90 % of the readout's accuracy stays, and it stops where the readout reaches 90 % of its "
        "plateau. "
        "As evidence, the window's MLPs are then ablated together and one by one, and compared with what a "
        "linear model "
        "on the two tokens reaches on entities it was not fitted to."
    ),
    source=Source(post=2, section="fact look-up in the MLPs between concatenation and extraction"),
    applies_to=("model",),
    needs=("known_facts", "two_token_names"),
    statistics=(
        StatisticCard(
            name="lookup_start",
            unit="layer",
            meaning="First MLP layer of the window.",
            formula="first layer from which mean-ablating all attention at the last name token keeps ≥ 90 % "
            "of the "
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
            meaning="Readout accuracy when attention at the last name token is ablated from a layer on.",
            formula="readout accuracy with attn_out ablated at layers ≥ layer",
        ),
        StatisticCard(
            name="window_mlps_ablated_accuracy",
            unit="fraction",
            meaning="Accuracy among the classes with all MLPs of the window ablated at the last name token.",
            formula="accuracy among the classes with mlp_out[start..stop] replaced there",
        ),
        StatisticCard(
            name="mlp_ablated_accuracy",
            unit="fraction",
            meaning="The same with one MLP ablated.",
            formula="accuracy among the classes with mlp_out[layer] replaced there",
        ),
        StatisticCard(
            name="additive_accuracy_held_out",
            unit="fraction",
            meaning="What the two tokens give without an AND.",
            formula="accuracy on the report half of a linear classifier on E_first + E_last fitted on the "
            "selection half",
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

EFFECTIVE_MODEL = ExperimentCard(
    name="effective_model",
    title="How much does the distilled circuit recall?",
    question="Does a small model of two token vectors, the window's MLPs and the readout still recall the facts?",
    method=(
        "The look-up is cut out: a sum of a vector for the first token, one for the last and a constant runs "
        "through the "
        "window's MLPs with attention frozen at its mean, then through the readout. "
        "It is scored on entities that no choice was made on, on entities that share a token with another, "
        "and with "
        "permuted MLP weights."
    ),
    source=Source(post=2, section="the effective model of five MLP layers"),
    applies_to=("effective",),
    needs=("known_facts", "two_token_names", "lookup_window"),
    statistics=(
        StatisticCard(
            name="effective_accuracy",
            unit="fraction",
            meaning="How often the effective model gives the right class.",
            formula="mean of [argmax of readout(stack(E_first + E_last + constant)) = correct class]",
        ),
        StatisticCard(
            name="effective_loss_nats",
            unit="nats",
            meaning="Its loss over the classes.",
            formula="mean of −log softmax(scores / temperature)[correct class]",
        ),
        StatisticCard(
            name="effective_agreement",
            unit="fraction",
            meaning="How often it gives the same class as the whole model.",
            formula="mean of [effective model's class = whole model's class]",
        ),
        StatisticCard(
            name="effective_balanced_accuracy",
            unit="fraction",
            meaning="Its accuracy with every class weighing the same.",
            formula="mean over classes of the accuracy within the class",
        ),
    ),
    published=(
        PublishedValue(
            statistic="effective_accuracy",
            condition="report",
            value=0.86,
            text="86 %",
            source=Source(post=2, section="the effective model"),
        ),
    ),
)
