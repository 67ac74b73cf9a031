"""Cards: what the MLPs of the look-up window do."""

from __future__ import annotations

from rote.catalog.types import ExperimentCard, PublishedValue, Source, StatisticCard

_PATHS = Source(post=3, section="testing single-step detokenisation by ablating paths between MLPs")
_PROBES = Source(post=3, section="testing hash and lookup with linear probes")
_LINEAR = Source(post=3, section="how much linear structure is broken, layer by layer")
_NORMS = Source(post=3, section="do early MLPs answer differently to known names?")
_FULL = ("model", "effective")
_WINDOW = ("known_facts", "two_token_names", "lookup_window")

LAYER_PROBES = ExperimentCard(
    name="layer_probes",
    title="Does the answer arrive at once or bit by bit?",
    question="Does the attribute become linearly readable gradually across the window, or all at once in its "
    "last layer?",
    method=(
        "A logistic regression is trained to tell the class from the residual stream before the window and "
        "after each "
        "layer, on ten splits of the entities into 80 % and 20 %. "
        "Beside it stand the effective model's own readout loss at each layer and its accuracy with one "
        "layer's MLP output "
        "kept at a time."
    ),
    source=_PROBES,
    applies_to=_FULL,
    needs=_WINDOW,
    statistics=(
        StatisticCard(
            name="probe_accuracy",
            unit="fraction",
            meaning="Held-out accuracy of the probe.",
            formula="mean over 10 seeds of the accuracy on the held-out 20 %, C by inner cross-validation, inputs "
            "standardised on all entities",
        ),
        StatisticCard(
            name="probe_balanced_accuracy",
            unit="fraction",
            meaning="The same with every class weighing the same; chance is 1 / number of classes.",
            formula="mean over classes of the held-out accuracy within the class",
        ),
        StatisticCard(
            name="readout_loss_nats",
            unit="nats",
            meaning="Loss of the stack's own readout after each layer.",
            formula="mean of −log softmax(readout(resid_post[layer]) / temperature)[correct class]",
        ),
        StatisticCard(
            name="layer_alone",
            unit="fraction",
            meaning="Accuracy when only one layer's MLP output is kept; `least` is the lowest over the layers.",
            formula="accuracy of the readout of input + mlp_out[layer]; least: min over layers, in every resample anew",
        ),
        StatisticCard(
            name="early_rise",
            unit="fraction",
            meaning="Share of the probe's rise that happens in the first half of the window.",
            formula="(p_mid − p_0) / (p_end − p_0), p the probe's accuracy",
        ),
    ),
    published=(
        PublishedValue(
            statistic="probe_accuracy",
            site="resid_pre",
            value=0.50,
            text="about 50 % on the summed tokens",
            source=_PROBES,
        ),
        PublishedValue(
            statistic="probe_accuracy",
            text="a smooth rise with a jump between layers 4 and 5",
            source=_PROBES,
        ),
    ),
)

PATH_ABLATION = ExperimentCard(
    name="path_ablation",
    title="Do the MLPs build on each other?",
    question="Does a later MLP of the window need the output of an earlier one, or do all of them read the "
    "tokens alone?",
    method=(
        "For each pair of window layers, the later MLP reads a residual stream in which the earlier one's "
        "output is "
        "ablated, and everything after it recomputes. "
        "Ablation is by the mean, by another entity's value, and additive, which keeps what the earlier MLP "
        "says about "
        "each token alone and removes only what it computes from both together."
    ),
    source=_PATHS,
    applies_to=_FULL,
    needs=_WINDOW,
    statistics=(
        StatisticCard(
            name="path_delta_accuracy_cls",
            unit="fraction",
            meaning="Change of accuracy among the classes when one path is cut.",
            formula="accuracy among the classes, path ablated, minus clean",
        ),
        StatisticCard(
            name="path_delta_loss_nats",
            unit="nats",
            meaning="Change of loss when one path is cut.",
            formula="loss, path ablated, minus clean",
        ),
        StatisticCard(
            name="path_delta_kl_nats",
            unit="nats",
            meaning="How far the prediction moves when one path is cut.",
            formula="mean KL(clean ‖ path ablated), over the vocabulary (model) or the classes (effective)",
        ),
        StatisticCard(
            name="path_delta_accuracy",
            unit="fraction",
            meaning="Change of accuracy over the whole vocabulary (model only).",
            formula="accuracy, path ablated, minus clean",
        ),
        StatisticCard(
            name="path_delta_readout_accuracy",
            unit="fraction",
            meaning="Change of the readout's accuracy at the end of the window (model only).",
            formula="readout accuracy at lookup_stop, path ablated, minus clean",
        ),
        StatisticCard(
            name="path_share",
            unit="ratio",
            meaning="Share of an MLP's importance that passes through later MLPs; without a layer, of all MLPs "
            "but the last together.",
            formula="KL(all its paths into later MLPs ablated) / KL(the MLP removed altogether); without a layer, both "
            "summed over the layers",
        ),
    ),
    published=(
        PublishedValue(
            statistic="path_delta_loss_nats",
            text="cutting paths hurts, worst for the first layer; loss and KL move more than accuracy",
            source=_PATHS,
        ),
    ),
)

LINEAR_STRUCTURE = ExperimentCard(
    name="linear_structure",
    title="How far does each layer depart from a sum over tokens?",
    question="If two known names swap surnames and nobody is called that, does the sum of activations notice?",
    method=(
        "For pairs of known names (A, B) whose surname swaps (C, D) are both unknown, the midpoint of A and "
        "B is compared "
        "with the midpoint of C and D, relative to the distance to midpoints of unrelated unknown names. "
        "A layer that treats the tokens one by one gives 0; permuted weights and pairs of unknown names show "
        "what any "
        "nonlinear layer would give."
    ),
    source=_LINEAR,
    applies_to=("effective",),
    needs=_WINDOW,
    statistics=(
        StatisticCard(
            name="broken_fraction",
            unit="ratio",
            meaning="How much of the layer's output is not a sum over the two tokens, for known names.",
            formula="median over pairs of ‖mid(A,B) − mid(C,D)‖ / mean over 16 draws of ‖mid(A,B) − mid(C′,D′)‖",
        ),
        StatisticCard(
            name="interaction_share",
            unit="ratio",
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

KNOWN_NORMS = ExperimentCard(
    name="known_norms",
    title="Do the MLPs answer louder to known names?",
    question="Are the outputs of the window's MLPs larger for known names than for unknown combinations of "
    "the same tokens?",
    method=(
        "The norms of MLP outputs are compared between known names and all other combinations of their first "
        "and last "
        "tokens. "
        "The adjusted value first removes what each first token and each last token contributes on its own, "
        "since known "
        "names may simply be made of louder tokens."
    ),
    source=_NORMS,
    applies_to=_FULL,
    needs=_WINDOW,
    statistics=(
        StatisticCard(
            name="norm_auc",
            unit="fraction",
            meaning="How well the norm alone tells known from unknown names; 0.5 is chance.",
            formula="area under the ROC curve of ‖mlp_out‖ for known against unknown names",
        ),
        StatisticCard(
            name="norm_d",
            unit="SD",
            meaning="Difference of the mean norms in standard deviations.",
            formula="(mean norm of known − mean norm of unknown) / pooled standard deviation",
        ),
    ),
    published=(
        PublishedValue(
            statistic="norm_d",
            condition="raw",
            text="known names have larger norms, already at MLP1",
            source=_NORMS,
        ),
    ),
)
