"""The card of head_attention: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import CIRCUIT, ExperimentCard, Source, StatisticCard

CARD = ExperimentCard(
    name="head_attention",
    title="Where do these heads look?",
    question="Do the heads that write the answer look back at the entity's last token, whatever is asked about it?",
    method=(
        "The attention of each readout head from the prompt's end is averaged over the facts and summed by kind of "
        "position: start of text, one-shot prefix, earlier name tokens, last name token, relation words, the end "
        "itself. The same is done with prompts about the model's other relations."
    ),
    source=Source(post=1, section="heads extract the sport even when another attribute is asked"),
    takes=(CIRCUIT,),
    seconds=4.8,
    needs=("known_facts",),
    statistics=(
        StatisticCard(
            name="attention",
            unit="fraction",
            conditions=("asked:*", "other_relation"),
            shown="percent",
            meaning="Share of a head's attention, from the prompt's end, that goes to one kind of position.",
            formula="mean over facts of the sum of the pattern from `end` over the positions of that kind",
        ),
    ),
)
