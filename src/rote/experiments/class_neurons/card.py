"""The card of class_neurons: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import STACK, ExperimentCard, PublishedValue, Source, StatisticCard

_CLASS = Source(post=3, section="individual neurons that tell a sport from the others")
_FULL = ("model", "effective")
_WINDOW = ("known_facts", "two_part_names", "lookup_window")

CARD = ExperimentCard(
    name="class_neurons",
    title="Are there neurons for a class, and what do they read?",
    question="How well does the best single neuron tell a class from the others, how much of that would any search "
    "find by chance, and does the neuron only amplify what can already be read?",
    method=(
        "For each class the neuron of highest ROC AUC is chosen over all layers on one half of the entities and "
        "reported on the other, and the same search is repeated on permuted labels. The neuron is then ablated, its "
        "input weights are compared with its output weights and with the readout, and its AUC is taken again with "
        "these three directions removed from its input weights."
    ),
    source=_CLASS,
    applies_to=_FULL,
    takes=(STACK,),
    seconds=1.7,
    needs=_WINDOW,
    statistics=(
        StatisticCard(
            name="neuron_auc",
            unit="fraction",
            conditions=("best", "permuted", "in_sample", "in_sample_permuted"),
            meaning="How well the best neuron's activation alone tells its class from the others; 0.5 is chance. "
            "best: on the half it was not chosen on; in_sample: on the half it was chosen on; permuted and "
            "in_sample_permuted: the same search on permuted labels, with the range of one more permutation.",
            formula="area under the ROC curve of the activation, class against the rest; p one-sided by Mann–Whitney "
            "(normal approximation), adjusted over the classes by Benjamini–Hochberg",
        ),
        StatisticCard(
            name="class_loss_nats",
            unit="nats",
            conditions=("kept", "mean", "zero"),
            meaning="Loss of the class's entities with its neuron kept, set to its mean, set to zero.",
            formula="mean over the class's entities of −log p(class), over the classes (stacks) or the vocabulary "
            "(model)",
        ),
        StatisticCard(
            name="cosine",
            unit="ratio",
            conditions=("output", "readout", "readout_difference"),
            meaning="Cosine of the neuron's input weights with its output weights (output), with the class's readout "
            "direction (readout), and with that minus the mean of the other classes' (readout_difference).",
            formula="cos(norm weight ⊙ w_in, direction), all centred under a LayerNorm; of a gated neuron the gate's "
            "weights",
        ),
        StatisticCard(
            name="auc_without_directions",
            unit="fraction",
            titles={"": ("class neurons without class directions", "AUC of the best neuron per class")},
            meaning="The neuron's AUC when it cannot read the three directions, so when it cannot merely amplify.",
            formula="AUC of act(pre − x̂·Pv / s(x)): v the input weights with the norm folded in, P the projector on "
            "the three directions, x̂ the centred stream, s(x) the norm's own scale; in gated neurons gate and up",
        ),
        StatisticCard(
            name="direct_effect",
            unit="logit",
            meaning="What one standard deviation of the neuron's activation adds to its class's score, directly.",
            formula="w_out · (readout of the class − mean readout of the others) × SD(activation)",
        ),
    ),
    published=(
        PublishedValue(
            statistic="neuron_auc",
            condition="best",
            value=0.893,
            text="one neuron, L5N6045, for its class (88.7 % is also quoted); here the mean over the classes",
            source=_CLASS,
        ),
        PublishedValue(
            statistic="class_loss_nats",
            condition="kept",
            value=0.167,
            text="loss of its class with L5N6045 kept; here the mean over the classes",
            source=_CLASS,
        ),
        PublishedValue(
            statistic="class_loss_nats",
            condition="mean",
            value=0.284,
            text="with L5N6045 mean-ablated; here the mean over the classes",
            source=_CLASS,
        ),
        PublishedValue(
            statistic="class_loss_nats",
            condition="zero",
            value=0.559,
            text="with L5N6045 zero-ablated; here the mean over the classes",
            source=_CLASS,
        ),
        PublishedValue(
            statistic="cosine",
            condition="output",
            value=0.456,
            text="L5N6045's input with its output weights; here the mean over the classes",
            source=_CLASS,
        ),
        PublishedValue(
            statistic="cosine",
            condition="readout",
            value=0.22,
            text="L5N6045's input weights with its class's readout; here the mean over the classes",
            source=_CLASS,
        ),
        PublishedValue(
            statistic="cosine",
            condition="readout_difference",
            value=0.184,
            text="L5N6045's input weights with its class's readout minus the others'; here the mean over the classes",
            source=_CLASS,
        ),
        PublishedValue(
            statistic="auc_without_directions",
            value=0.83,
            text="L5N6045 without the three directions; here the mean over the classes",
            source=_CLASS,
        ),
    ),
)
