"""The card of local_processing: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import TEXT, ExperimentCard, PublishedValue, Source, StatisticCard

_LOCAL = Source(post=5, section="the residual stream of truncated contexts against that of full ones")

CARD = ExperimentCard(
    name="local_processing",
    title="Do early layers look at nearby tokens only?",
    question="How much of the residual stream after each layer do the last few tokens of the context account for?",
    method=(
        "Random strings of a text are run once with their full context, and tokens in them again with nothing but the "
        "beginning of text and the last 1 to 100 tokens, their own among these, by default at the positions that they "
        "had in the string. The cosine between both residual streams, each minus the layer's mean over the tokens, is "
        "reported as a median over tokens of every category, with intervals from resampling whole strings."
    ),
    source=_LOCAL,
    takes=(TEXT,),
    statistics=(
        StatisticCard(
            name="truncated_cosine",
            unit="ratio",
            conditions=("all", "newline", "full_stop", "comma", "common_word", "alphabetic", "other"),
            meaning="How much of its direction the residual stream keeps when all but the last tokens are left out.",
            formula="median over tokens of cos(x_k − m, x − m) after each block: x with full context, x_k with the "
            "last k tokens (the token itself among them; parameters: length k, positions), m = mean of x over the "
            "tokens; condition: all, newline (white space with a line break), full_stop, comma, common_word (a whole "
            "word among the text's 50 commonest), alphabetic (other tokens of letters only), other",
        ),
        StatisticCard(
            name="truncated_cosine_squared",
            unit="ratio",
            conditions=("all", "newline", "full_stop", "comma", "common_word", "alphabetic", "other"),
            meaning="The same squared: the share of the variance along the direction with full context.",
            formula="median over tokens of cos²",
        ),
        StatisticCard(
            name="n_tokens",
            unit="count",
            conditions=("all", "newline", "full_stop", "comma", "common_word", "alphabetic", "other"),
            meaning="Tokens looked at, per category.",
            formula="number of tokens",
        ),
        StatisticCard(
            name="n_strings",
            unit="count",
            meaning="Strings that they stand in.",
            formula="number of strings; parameters: their tokens, and whether a token for the beginning of text was "
            "put before them and before every truncated context",
        ),
    ),
    published=(
        PublishedValue(
            statistic="truncated_cosine",
            condition="all",
            layer=0,
            parameters={"length": 10},
            low=0.9,
            high=1.0,
            text="above 0.9 after layer 0 with ten tokens",
            source=_LOCAL,
        ),
        PublishedValue(statistic="truncated_cosine", text="falls until layer 10, then stays level", source=_LOCAL),
    ),
)
