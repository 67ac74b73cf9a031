"""The card of path_ablation: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import STACK, ExperimentCard, PublishedValue, Source, StatisticCard

_PATHS = Source(post=3, section="testing single-step detokenisation by ablating paths between MLPs")
_FULL = ("model", "effective")
_WINDOW = ("known_facts", "two_part_names", "lookup_window")

CARD = ExperimentCard(
    name="path_ablation",
    title="Do the MLPs build on each other?",
    question="Does a later MLP of the window need the output of an earlier one, or do all of them read the name alone?",
    method=(
        "For each pair of window layers, the later MLP reads a residual stream in which the earlier one's output is "
        "ablated, and everything after it recomputes. Ablation is by the mean, by another entity's value, and "
        "additive, which keeps what the earlier MLP says about each part alone and removes only what it computes from "
        "both together."
    ),
    source=_PATHS,
    applies_to=_FULL,
    takes=(STACK,),
    seconds=5.3,
    needs=_WINDOW,
    statistics=(
        StatisticCard(
            name="path_delta_accuracy_cls",
            unit="fraction",
            conditions=("mean", "resample", "additive"),
            shown="points",
            meaning="Change of accuracy among the classes when one path is cut.",
            formula="accuracy among the classes, path ablated, minus clean",
        ),
        StatisticCard(
            name="path_delta_loss_nats",
            unit="nats",
            conditions=("mean", "resample", "additive"),
            meaning="Change of loss when one path is cut.",
            formula="loss, path ablated, minus clean",
        ),
        StatisticCard(
            name="path_delta_kl_nats",
            unit="nats",
            conditions=("mean", "resample", "additive"),
            meaning="How far the prediction moves when one path is cut.",
            formula="mean KL(clean ‖ path ablated), over the vocabulary (model) or the classes (effective)",
        ),
        StatisticCard(
            name="path_delta_accuracy",
            unit="fraction",
            conditions=("mean", "resample", "additive"),
            shown="points",
            meaning="Change of accuracy over the whole vocabulary (model only).",
            formula="accuracy, path ablated, minus clean",
        ),
        StatisticCard(
            name="path_delta_readout_accuracy",
            unit="fraction",
            conditions=("mean", "resample", "additive"),
            shown="points",
            meaning="Change of the readout's accuracy at the end of the window (model only).",
            formula="readout accuracy at lookup_stop, path ablated, minus clean",
        ),
        StatisticCard(
            name="path_share",
            unit="ratio",
            conditions=("mean", "resample", "additive"),
            titles={
                "additive": ("joint part of MLP → MLP paths", "what both names do through later MLPs, as a share"),
                "resample": ("whole MLP → MLP paths", "what reaches the answer through later MLPs, as a share"),
            },
            meaning="Share of an MLP's importance that passes through later MLPs; without a layer, of all MLPs but "
            "the last together.",
            formula="KL(all its paths into later MLPs ablated) / KL(the MLP removed altogether); without a layer, "
            "both summed over the layers",
        ),
    ),
    published=(
        PublishedValue(
            statistic="path_delta_loss_nats",
            text="cutting paths hurts, worst for the first layer; loss and KL move more than accuracy",
            source=_PATHS,
        ),
    ),
)
