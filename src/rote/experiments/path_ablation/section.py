"""Paths between MLPs: a matrix of earlier by later layer for each ablation."""

from __future__ import annotations

from dataclasses import replace

from rote.experiments.path_ablation.card import CARD
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import ABLATION, MLP, SOURCE_MLP, STACK, By, lines
from rote.page.shapes import curve, figure, matrix, pivot

_METRICS = {
    "path_delta_kl_nats": "KL",
    "path_delta_loss_nats": "loss",
    "path_delta_accuracy_cls": "accuracy among the classes",
    "path_delta_accuracy": "accuracy",
    "path_delta_readout_accuracy": "readout accuracy",
}
_DRAWN = {"path_delta_kl_nats": "KL (nats)", "path_delta_accuracy_cls": "accuracy among the classes (pp)"}
_EARLIER, _LATER = replace(SOURCE_MLP, title="earlier MLP"), replace(MLP, title="later MLP")


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    for statistic, words in _DRAWN.items():
        rows = here.rows(statistic)
        limit = max((abs(r.value) for r in rows), default=None)
        yield figure(
            f"Change of {words} when the later MLP (column) no longer reads the earlier one (row).",
            "Matrices of earlier by later MLP, one for each stack and ablation.",
            *(
                matrix(
                    line.name, line.rows, y=_EARLIER, x=_LATER, unit=words, limit=limit,
                    label=lambda r: f"MLP {_EARLIER.called(r)} → MLP {r.layer}",
                )
                for line in lines(rows, STACK, ABLATION)
            ),
        )  # fmt: skip
    shares, mlp = lines(here.rows("path_share"), STACK, ABLATION), replace(MLP, words={None: "all but the last"})
    yield figure(
        "KL with all of an MLP's paths into later MLPs ablated, as a share of the KL with the MLP removed.",
        "Share per MLP for each stack and ablation.",
        curve("", shares, y="path share", x=mlp, span=(0, 1)),
    )
    yield pivot("Share of an MLP's importance that passes through later MLPs", shares, mlp)
    paths = lines(here.rows(*_METRICS), By(of="statistic", words=_METRICS))
    yield pivot("Change when one path is cut", paths, _EARLIER, _LATER, STACK, ABLATION, most=30, what="paths")
