"""The card of orthogonal_remainder: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import STACK, ExperimentCard, PublishedValue, Source, StatisticCard

_REMAINDER = Source(post=3, section="the part of an entity orthogonal to many others, withdrawn by the authors")
_WINDOW = ("known_facts", "two_part_names", "lookup_window")

CARD = ExperimentCard(
    name="orthogonal_remainder",
    title="Is a class left in what no other entity shares?",
    question="Does the best neuron of a class still tell it from the part of an entity's residual stream that many "
    "other entities do not span?",
    method=(
        "For each class the neuron of highest AUC is chosen on one half of the entities, and on the other half its "
        "input weights are applied to what the layer reads minus the projection on the span of others, 0.586 of the "
        "width in number as in the study. The authors withdrew this experiment after a toy, shown beside it: Gaussian "
        "vectors with no structure but the same difference between the classes; no verdict rests on it."
    ),
    source=_REMAINDER,
    applies_to=("effective",),
    takes=(STACK,),
    seconds=0.3,
    needs=_WINDOW,
    statistics=(
        StatisticCard(
            name="remainder_auc",
            unit="fraction",
            conditions=("real", "gaussian"),
            meaning="How well the neuron's input weights tell the class from the remainder; 0.5 is chance.",
            formula="area under the ROC curve of (x − projection of x on the others)·(norm weight ⊙ input weights), x "
            "what the layer reads, centred as the norm does; gaussian: x isotropic, with the class difference of "
            "x·weights along one direction",
        ),
        StatisticCard(
            name="neuron_auc",
            unit="fraction",
            meaning="How well the same neuron's activation tells the class, with nothing taken away.",
            formula="area under the ROC curve of the activation, on the half on which the neuron was not chosen",
        ),
    ),
    published=(
        PublishedValue(
            statistic="remainder_auc",
            condition="real",
            value=0.60,
            text="about 60 %, withdrawn by the authors",
            source=_REMAINDER,
        ),
    ),
)
