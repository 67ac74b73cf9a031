"""The card of known_norms: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import STACK, ExperimentCard, PublishedValue, Source, StatisticCard

_NORMS = Source(post=3, section="do early MLPs answer differently to known names?")
_FULL = ("model", "effective")
_WINDOW = ("known_facts", "two_part_names", "lookup_window")

CARD = ExperimentCard(
    name="known_norms",
    title="Do the MLPs answer louder to known names?",
    question="Are the outputs of the window's MLPs larger for known names than for unknown combinations of the same "
    "parts?",
    method=(
        "The norms of MLP outputs are compared between known names and all other combinations of their first and last "
        "parts. The adjusted value first removes what each first part and each last part contributes on its own, "
        "since known names may simply be made of louder parts."
    ),
    source=_NORMS,
    applies_to=_FULL,
    takes=(STACK,),
    seconds=1.8,
    needs=_WINDOW,
    statistics=(
        StatisticCard(
            name="norm_auc",
            unit="fraction",
            conditions=("raw", "adjusted"),
            titles={"": ("louder for known names", "AUC of the first MLP's output norm, tokens adjusted")},
            meaning="How well the norm alone tells known from unknown names; 0.5 is chance.",
            formula="area under the ROC curve of ‖mlp_out‖ for known against unknown names",
        ),
        StatisticCard(
            name="norm_d",
            unit="SD",
            conditions=("raw", "adjusted"),
            meaning="Difference of the mean norms in standard deviations.",
            formula="(mean norm of known − mean norm of unknown) / pooled standard deviation",
        ),
    ),
    published=(
        PublishedValue(
            statistic="norm_d",
            condition="raw",
            text="known names have larger norms, already at MLP1",
            source=_NORMS,
        ),
    ),
)
