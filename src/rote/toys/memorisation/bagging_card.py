"""The card of bagging: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import TOY, ExperimentCard, Source, StatisticCard

_BAGGING = Source(post=4, section="neurons as many weak classifiers whose votes are added up")

CARD = ExperimentCard(
    name="bagging",
    title="Are neurons like uncorrelated weak classifiers?",
    question="Does a network that has memorised add up the votes of neurons that err independently of each other, as "
    "bagging does?",
    method=(
        "On the networks of memorisation each neuron of the last layer votes by the sign of its contribution to the "
        "logit beside the midpoint of its means on the two classes. Everything is measured again after each neuron's "
        "contributions were dealt out anew among the facts of each class, which leaves every neuron as strong as it "
        "was and makes them independent."
    ),
    source=_BAGGING,
    applies_to=(TOY,),
    statistics=(
        StatisticCard(
            name="vote_accuracy",
            unit="fraction",
            conditions=("memorisation", "checkerboard", "modular_addition", "untrained"),
            shown="percent",
            meaning="Accuracy of a single neuron's vote on the seen facts.",
            formula="mean over neurons and networks",
        ),
        StatisticCard(
            name="error_correlation",
            unit="ratio",
            conditions=("memorisation", "checkerboard", "modular_addition", "untrained"),
            meaning="Correlation of the errors of two neurons' votes; independent: dealt out anew.",
            formula="mean over pairs of neurons of the Pearson correlation over facts; at least −1/(neurons − 1)",
        ),
        StatisticCard(
            name="vote_count_variance",
            unit="ratio",
            conditions=("memorisation", "checkerboard", "modular_addition", "untrained"),
            meaning="How much the number of wrong votes varies from fact to fact beside votes that err independently: "
            "1, less where neurons make up for each other's errors, more where they err together.",
            formula="Var(Σ_j wrong_j) / Σ_j Var(wrong_j) over facts",
        ),
        StatisticCard(
            name="majority_accuracy",
            unit="fraction",
            conditions=("memorisation", "checkerboard", "modular_addition", "untrained"),
            shown="percent",
            meaning="Accuracy of the majority of the votes; independent: dealt out anew.",
            formula="mean over networks",
        ),
        StatisticCard(
            name="subset_accuracy",
            unit="fraction",
            conditions=("memorisation", "checkerboard", "modular_addition", "untrained"),
            shown="percent",
            meaning="Accuracy of the summed contributions of random neurons, of the share in the parameters; "
            "independent: dealt out anew.",
            formula="mean over draws of neurons and over networks",
        ),
    ),
)
