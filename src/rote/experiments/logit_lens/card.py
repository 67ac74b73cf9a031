"""The card of logit_lens: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import FACTS, ExperimentCard, StatisticCard

CARD = ExperimentCard(
    name="logit_lens",
    title="From which layer on do the logits hold the answer?",
    question="If the model stopped after a layer, would it give the answer already?",
    method=(
        "The residual stream at the prompt's end is read after every block, and the model's own final norm and "
        "unembedding are applied to it, as they are to the last one. Only facts that the model knows are asked; "
        "nothing is chosen, so no half is put aside."
    ),
    source="the logit lens (nostalgebraist 2020, interpreting GPT: the logit lens)",
    takes=(FACTS,),
    seconds=0.5,
    statistics=(
        StatisticCard(
            name="lens_accuracy",
            unit="fraction",
            shown="percent",
            meaning="How often the answer's first token is the likeliest of all tokens.",
            formula="mean over known facts of [argmax W_U · norm(resid_post[layer]) = first token of the answer] at "
            "the prompt's end; layer −1: the input of block 0",
        ),
        StatisticCard(
            name="lens_accuracy_cls",
            unit="fraction",
            shown="percent",
            meaning="How often it is the likeliest of the relation's answers.",
            formula="the same among the classes' first tokens",
        ),
        StatisticCard(
            name="lens_loss_nats",
            unit="nats",
            meaning="Surprisal of the answer's first token.",
            formula="mean over known facts of −log softmax(W_U · norm(resid_post[layer]))[first token of the answer]",
        ),
    ),
)
