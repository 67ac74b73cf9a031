"""The card of key_or_value: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import CIRCUIT, ExperimentCard, PublishedValue, Source, StatisticCard

CARD = ExperimentCard(
    name="key_or_value",
    title="Do the early MLPs say where to look, or what to say?",
    question="Does an early MLP matter because it tells the readout heads where to look (key), or what to carry "
    "(value)?",
    method=(
        "Each early MLP's output at the entity's last token is ablated only as the readout heads' keys see it, and "
        "then only as their values see it. Accuracy falls under the first if the MLP marks the place, under the second "
        "if it writes the content."
    ),
    source=Source(post=3, section="MLP1 matters for the key, not for the value"),
    takes=(CIRCUIT,),
    seconds=4.3,
    needs=("known_facts",),
    statistics=(
        StatisticCard(
            name="accuracy",
            unit="fraction",
            conditions=("clean", "key:mean", "key:resample", "value:mean", "value:resample"),
            shown="percent",
            meaning="Accuracy over the whole vocabulary with one MLP hidden from the readout heads' keys or values.",
            formula="mean of [argmax over the vocabulary = correct attribute's first token]",
        ),
        StatisticCard(
            name="accuracy_cls",
            unit="fraction",
            conditions=("clean", "key:mean", "key:resample", "value:mean", "value:resample"),
            shown="percent",
            meaning="The same among the relation's classes.",
            formula="mean of [argmax over the classes = correct class]",
        ),
    ),
    published=(
        PublishedValue(
            statistic="accuracy",
            source_node="mlp.1",
            text="MLP1 matters for the key, not for the value",
            source=Source(post=3, section="MLP1 and the key"),
        ),
    ),
)
