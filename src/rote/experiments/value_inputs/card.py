"""The card of value_inputs: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import CIRCUIT, ExperimentCard, PublishedValue, Source, StatisticCard, first_order_card

CARD = ExperimentCard(
    name="value_inputs",
    title="What do these heads carry?",
    question="Which earlier parts of the network write what the readout heads carry away from the entity's last token?",
    method=(
        "For each readout head, every earlier node at the entity's last token is replaced by its output on an entity "
        "of another class, as seen through this head's value path only. The effect on the answer shows which "
        "embeddings, MLPs and other heads feed the head, and which boost it."
    ),
    source=Source(post=2, section="attribute extraction: what feeds the extracting heads"),
    takes=(CIRCUIT,),
    seconds=9.6,
    needs=("known_facts",),
    statistics=(
        StatisticCard(
            name="value_effect",
            unit="logit",
            meaning="How much an earlier node supports the answer through the value path of one head.",
            formula="drop of logit[clean class] − logit[other class] when the node is patched into the head's value "
            "input",
        ),
        first_order_card("patching a node"),
    ),
    published=(
        PublishedValue(
            statistic="value_effect",
            text="later heads are fed by the first head's own output at the last name token; MLPs 8, 11 and 13 boost "
            "it",
            source=Source(post=2, section="attribute extraction: what feeds the extracting heads"),
        ),
    ),
)
