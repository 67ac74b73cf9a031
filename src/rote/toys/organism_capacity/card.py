"""The card of organism_capacity: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import ExperimentCard, Source, StatisticCard

CARD = ExperimentCard(
    name="organism_capacity",
    title="How many facts does a model of a given size hold?",
    question="How does the number of facts that a trained transformer knows grow with its parameters, and with how "
    "often it has read each fact?",
    method=(
        "Small transformers of several widths are trained on random facts, a pair of names and an answer that nothing "
        "but memory can tell, each read equally often. Facts known and bits stored are counted for every number of "
        "facts and of exposures, and the most that a width comes to hold is set against its parameters on logarithmic "
        "scales."
    ),
    source=Source(post=1, section="why superposition should let many facts into few neurons"),
    statistics=(
        StatisticCard(
            name="n_known",
            unit="count",
            meaning="Facts known after training.",
            formula="mean over seeds of the number of facts with p(answer) > 0.5 over the vocabulary; parameters: "
            "d_model, n_facts, exposures",
        ),
        StatisticCard(
            name="bits_per_parameter",
            unit="bits",
            meaning="What the predictions save of the facts' description, for each parameter.",
            formula="mean over seeds of Σ over facts of (log₂ classes + log₂ p(answer among the classes)) / parameters",
        ),
        StatisticCard(
            name="facts_held",
            unit="count",
            meaning="The most facts that a width comes to know, whatever their number.",
            formula="per d_model and exposures: mean over seeds of max over n_facts of n_known",
        ),
        StatisticCard(
            name="bits_held",
            unit="bits",
            meaning="The most bits for each parameter that a width comes to store.",
            formula="per d_model and exposures: mean over seeds of max over n_facts of the bits per parameter",
        ),
        StatisticCard(
            name="capacity_exponent",
            unit="ratio",
            conditions=("parameters", "block_parameters"),
            meaning="How facts held grow with parameters; above 1 is more than in proportion.",
            formula="slope of log facts_held on log parameters (condition parameters; or block_parameters, without "
            "the embeddings), one point per width, ± t with widths − 2 degrees of freedom; parameters: exposures",
        ),
        StatisticCard(
            name="bits_exponent",
            unit="ratio",
            conditions=("parameters", "block_parameters"),
            meaning="The same of all the bits stored.",
            formula="slope of log(bits_held × parameters) on log parameters",
        ),
    ),
)
