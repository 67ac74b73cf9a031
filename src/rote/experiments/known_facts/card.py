"""The card of known_facts: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import FACTS, ExperimentCard, PublishedValue, Source, StatisticCard

_NAMES = ("all", "two_token", "two_part")
_LENGTHS = ("by_words", "by_tokens")
_OVER_TOKENS = ("all_over_tokens", "two_part_over_tokens")

CARD = ExperimentCard(
    name="known_facts",
    title="Which facts does the model know?",
    question="How many of the facts does the model know, and how far would one get from the tokens of a name alone?",
    method=(
        "Every fact is put to the model with its prompt and its whole answer is scored: the probability of its tokens "
        "behind what all answers begin with, less that of longer answers that go on from it, summed over "
        "its spellings; it is known if that is above one half, or as the setting `known` says. Guesses that use no "
        "look-up at all (the commonest class, or the commonest class among other entities that share the first or last "
        "part of the name, or where parts have several tokens also the token) are scored leave-one-out beside it."
    ),
    source=Source(post=2, section="the narrow task of athletes and their sports, and what single tokens give away"),
    takes=(FACTS,),
    seconds=3.0,
    statistics=(
        StatisticCard(
            name="n_facts",
            unit="count",
            conditions=_NAMES,
            meaning="Facts put to the model.",
            formula="number of facts",
        ),
        StatisticCard(
            name="n_known",
            unit="count",
            conditions=(*_NAMES, *_LENGTHS),
            meaning="Facts that the model knows.",
            formula="number of facts with score(correct attribute) > 0.5, or by the setting `known` one of the next "
            "three",
        ),
        StatisticCard(
            name="n_known_probability",
            unit="count",
            conditions=_NAMES,
            meaning="Facts whose answer is likely.",
            formula="number of facts with score(correct attribute) > known_probability",
        ),
        StatisticCard(
            name="n_known_top1",
            unit="count",
            conditions=_NAMES,
            meaning="Facts whose answer the likeliest tokens spell.",
            formula="number of facts with every token of the correct attribute the argmax behind those before it, and "
            "no longer answer of the relation likewise",
        ),
        StatisticCard(
            name="n_known_among_answers",
            unit="count",
            conditions=_NAMES,
            meaning="Facts whose answer is the likeliest of the relation's answers.",
            formula="number of facts with score(correct attribute) ≥ that of every other answer",
        ),
        StatisticCard(
            name="n_answers",
            unit="count",
            meaning="Different answers; those that aliases connect are one.",
            formula="number of classes",
        ),
        StatisticCard(
            name="n_circuit_classes",
            unit="count",
            meaning="Classes that the circuit can tell apart: answers that share their class token are one.",
            formula="number of different first tokens behind what all answers begin with",
        ),
        StatisticCard(
            name="accuracy",
            unit="fraction",
            conditions=(*_NAMES, *_LENGTHS),
            shown="percent",
            meaning="How often the most probable tokens of all are the right ones.",
            formula="mean of [argmax over the vocabulary = correct attribute's token], all of its tokens at once",
        ),
        StatisticCard(
            name="accuracy_cls",
            unit="fraction",
            conditions=_NAMES,
            shown="percent",
            meaning="How often the right class is the most probable of the relation's classes.",
            formula="mean of [argmax over the classes = correct class]",
        ),
        StatisticCard(
            name="loss_nats",
            unit="nats",
            conditions=_NAMES,
            meaning="Loss on the correct attribute, over all facts and for each class.",
            formula="mean of −log score(correct attribute)",
        ),
        StatisticCard(
            name="baseline_majority",
            unit="fraction",
            conditions=_NAMES,
            shown="percent",
            meaning="Accuracy of always guessing the commonest class of the other entities.",
            formula="leave-one-out accuracy of the majority class",
        ),
        StatisticCard(
            name="baseline_last",
            unit="fraction",
            conditions=(*_NAMES, *_OVER_TOKENS),
            shown="percent",
            meaning="Accuracy of guessing from the last part of the name, or (over_tokens) from its last token.",
            formula="leave-one-out accuracy of the majority class among entities with the same last part "
            "(over_tokens: last token), else of the majority class",
        ),
        StatisticCard(
            name="baseline_first",
            unit="fraction",
            conditions=(*_NAMES, *_OVER_TOKENS),
            shown="percent",
            meaning="Accuracy of guessing from the first part of the name, or (over_tokens) from its first token.",
            formula="leave-one-out accuracy of the majority class among entities with the same first part "
            "(over_tokens: first token), else of the majority class",
        ),
        StatisticCard(
            name="baseline_additive_fit",
            unit="fraction",
            conditions=_NAMES,
            shown="percent",
            meaning="How much a linear model on both parts can memorise; in-sample, so no evidence of look-up.",
            formula="in-sample accuracy of a linear classifier on one-hot first and last parts",
        ),
        StatisticCard(
            name="shared_first",
            unit="fraction",
            conditions=_NAMES,
            shown="percent",
            meaning="Entities whose first part occurs in another entity.",
            formula="share of entities with a shared first part",
        ),
        StatisticCard(
            name="shared_last",
            unit="fraction",
            conditions=_NAMES,
            shown="percent",
            meaning="Entities whose last part occurs in another entity.",
            formula="share of entities with a shared last part",
        ),
        StatisticCard(
            name="shared_both",
            unit="fraction",
            conditions=_NAMES,
            shown="percent",
            meaning="Entities for which both hold.",
            formula="share of entities with a shared first and a shared last part",
        ),
    ),
    published=(
        PublishedValue(
            statistic="baseline_majority",
            condition="two_token",
            value=0.47,
            text="47 % of the athletes with two-token names play the commonest sport",
            source=Source(post=2, section="how far single tokens go"),
        ),
        PublishedValue(
            statistic="baseline_last",
            condition="two_token",
            value=0.50,
            text="50 % from the last token",
            source=Source(post=2, section="how far single tokens go"),
        ),
        PublishedValue(
            statistic="baseline_first",
            condition="two_token",
            value=0.40,
            text="40 % from the first token",
            source=Source(post=2, section="how far single tokens go"),
        ),
    ),
)
