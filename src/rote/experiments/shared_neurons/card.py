"""The card of shared_neurons: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import STACK, ExperimentCard, PublishedValue, Source, StatisticCard

_SHARED = Source(post=3, section="are neurons shared between the facts of one athlete?")
_FULL = ("model", "effective")
_WINDOW = ("known_facts", "two_part_names", "lookup_window")

CARD = ExperimentCard(
    name="shared_neurons",
    title="Do the same neurons serve every fact about an entity?",
    question="If one neuron recognises the name, it matters for all that is known of it: do the facts of one entity "
    "depend on the same neurons?",
    method=(
        "For at most eight entities with four known relations or more, no two sharing a name token, each neuron of the "
        "window is ablated alone at the name's last token, and its effects on the log-probabilities of two facts of "
        "one entity are correlated over all neurons. The ablation puts the mean over the entities in the neuron's "
        "place (under resample the values of entities of another class), and relations of which one determines the "
        "other for 95 % of the entities, each guessed from the others, are told apart as linked."
    ),
    source=_SHARED,
    applies_to=_FULL,
    takes=(STACK,),
    seconds=9.7,
    needs=(*_WINDOW, "several_relations"),
    statistics=(
        StatisticCard(
            name="fact_correlation",
            unit="ratio",
            conditions=("unlinked", "linked", "unlinked_resample", "linked_resample"),
            meaning="How far two facts of an entity depend on the same neurons, for one pair of relations.",
            formula="mean over entities of the Pearson correlation over all window neurons of Δ log p(answer of the "
            "one) and Δ log p(answer of the other)",
        ),
        StatisticCard(
            name="mean_abs_correlation",
            unit="ratio",
            conditions=("unlinked", "linked", "unlinked_resample", "linked_resample"),
            titles={"": ("same neurons for a name's facts", "mean |correlation| over unlinked facts")},
            meaning="The size of these correlations, whatever their sign, over all pairs of relations that are not "
            "linked (or are); resample: under resample ablation.",
            formula="mean over entities of the mean over pairs of the absolute correlation",
        ),
        StatisticCard(
            name="first_order_correlation",
            unit="ratio",
            conditions=("random", "top"),
            meaning="How well gradient × change stands for the exact effect of ablating a neuron. random: on neurons "
            "drawn at random; top: on those with the largest first-order effects.",
            formula="Pearson correlation over entities, facts and the chosen neurons of ∂ log p / ∂ activation × "
            "(mean − activation) and the exact Δ log p",
        ),
    ),
    published=(
        PublishedValue(
            statistic="mean_abs_correlation",
            condition="unlinked",
            text="correlations are low except for the two facts about years",
            source=_SHARED,
        ),
    ),
)
