"""The card of layer_probes: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import STACK, ExperimentCard, PublishedValue, Source, StatisticCard

_PROBES = Source(post=3, section="testing hash and lookup with linear probes")
_FULL = ("model", "effective")
_WINDOW = ("known_facts", "two_part_names", "lookup_window")

CARD = ExperimentCard(
    name="layer_probes",
    title="Does the answer arrive at once or bit by bit?",
    question="Does the attribute become linearly readable gradually across the window, or all at once in its last "
    "layer?",
    method=(
        "A logistic regression is trained to tell the class from the residual stream before the window and after each "
        "layer, on ten splits of the entities into 80 % and 20 %. Beside it stand the effective model's own readout "
        "loss at each layer and its accuracy with one layer's MLP output kept at a time."
    ),
    source=_PROBES,
    applies_to=_FULL,
    takes=(STACK,),
    seconds=1.7,
    needs=_WINDOW,
    statistics=(
        StatisticCard(
            name="probe_accuracy",
            unit="fraction",
            shown="percent",
            meaning="Held-out accuracy of the probe.",
            formula="mean over 10 seeds of the accuracy on the held-out 20 %, C by inner cross-validation, inputs "
            "standardised on all entities",
        ),
        StatisticCard(
            name="probe_balanced_accuracy",
            unit="fraction",
            shown="percent",
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
            conditions=("least",),
            shown="percent",
            titles={
                "": ("last layer alone", "accuracy with the last MLP alone kept"),
                "least": ("weakest layer alone", "accuracy with one layer's MLP kept"),
            },
            meaning="Accuracy when only one layer's MLP output is kept; `least` is the lowest over the layers.",
            formula="accuracy of the readout of input + mlp_out[layer]; least: min over layers, in every resample anew",
        ),
        StatisticCard(
            name="early_rise",
            unit="fraction",
            titles={"": ("early rise of the probe", "share of the rise in the first half")},
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
