"""The card of effective_model: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import CIRCUIT, ExperimentCard, PublishedValue, Source, StatisticCard

_EXACT = ("exact", "exact_selection", "exact_all_names", "exact_one_token")

CARD = ExperimentCard(
    name="effective_model",
    title="How much does the distilled circuit recall?",
    question="Does a small model of a vector for each part of a name, the window's MLPs and the readout still recall "
    "the facts?",
    method=(
        "The look-up is cut out: a sum of a vector for the name's first part, one for the last and a constant runs "
        "through the window's MLPs with attention frozen at its mean, then through the readout. It is scored on "
        "entities that no choice was made on, on entities that share a part with another, and with permuted MLP "
        "weights; with the residual stream that the sum stands for as its input (exact), what the sum loses is lost to "
        "additivity, and names of one token have an effective model too."
    ),
    source=Source(post=2, section="the effective model of five MLP layers"),
    applies_to=("effective",),
    takes=(CIRCUIT,),
    seconds=2.0,
    needs=("known_facts", "lookup_window"),
    statistics=(
        StatisticCard(
            name="effective_accuracy",
            unit="fraction",
            conditions=("report", "selection", "shared", "shuffled", *_EXACT),
            shown="percent",
            meaning="How often the effective model gives the right class.",
            formula="mean of [argmax of readout(stack(E_first + E_last + constant)) = correct class]",
        ),
        StatisticCard(
            name="effective_loss_nats",
            unit="nats",
            conditions=("report", "selection", "shared", *_EXACT),
            meaning="Its loss over the classes.",
            formula="mean of −log softmax(scores / temperature)[correct class]",
        ),
        StatisticCard(
            name="effective_agreement",
            unit="fraction",
            conditions=("report", "selection", "shared", *_EXACT),
            shown="percent",
            meaning="How often it gives the same class as the whole model.",
            formula="mean of [effective model's class = whole model's class]",
        ),
        StatisticCard(
            name="effective_balanced_accuracy",
            unit="fraction",
            conditions=("report", "selection", "shared", *_EXACT),
            shown="percent",
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
