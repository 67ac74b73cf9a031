"""From repetitions to figures: medians per unit, ratios with their range over rounds, shares of the peak, agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np

TOLERANCE = 1e-4  # max|a − b| / max|b| that a tool's results may differ from raw Hugging Face's
DISCRETE = ("accuracy", "accuracy_cls", "readout_accuracy")
MAY_DIFFER = 0.02  # share of facts at which an argmax may fall otherwise, where two logits are equal in float32


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A tool's time per unit over rote's: of medians, and the least and the greatest of single rounds."""

    value: float
    low: float
    high: float
    rounds: int  # that both have: one of them shows no spread

    def __str__(self) -> str:
        return f"{self.value:.2f}" + (f" ({self.low:.2f}–{self.high:.2f})" if self.rounds > 1 else "")


def per_unit(seconds: Sequence[float], units: float) -> float:
    """Median seconds per unit."""
    return median(seconds) / units


def ratio(tool: Sequence[float], tool_units: float, rote: Sequence[float], rote_units: float) -> Ratio:
    """Of two lists of repetitions measured in turn; a round that only one of them has counts in its median alone."""
    value = per_unit(tool, tool_units) / per_unit(rote, rote_units)
    pairs = [(a / tool_units) / (b / rote_units) for a, b in zip(tool, rote, strict=False)]
    return Ratio(value=value, low=min(value, *pairs), high=max(value, *pairs), rounds=len(pairs))


def agreement(found: Mapping[str, Any], reference: Mapping[str, Any]) -> float:
    """Worst max|a − b| / max|b| over a workload's arrays; infinite where shapes or too many argmaxes differ."""
    worst = 0.0
    if sorted(found) != sorted(reference):
        return float("inf")
    for name, expected in reference.items():
        mine, b = np.asarray(found[name], dtype=np.float64), np.asarray(expected, dtype=np.float64)
        if mine.shape != b.shape or not np.isfinite(mine).all():
            return float("inf")
        if name in DISCRETE:
            worst = max(worst, 0.0 if np.mean(mine != b) <= MAY_DIFFER else float("inf"))
        else:
            worst = max(worst, relative(mine, b))
    return worst


def relative(a: np.ndarray, b: np.ndarray) -> float:
    """max|a − b| / max|b|, in float64; where b is 0 everywhere, whether a is."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    scale = float(np.abs(b).max(initial=0.0))
    difference = float(np.abs(a - b).max(initial=0.0))
    if scale == 0.0:
        return 0.0 if difference == 0.0 else float("inf")
    return difference / scale


def share_of_peak(operations: float, seconds: float, peak: float) -> float:
    """Operations that are needed over those that the machine could have done in the time."""
    return operations / (seconds * peak)


def peak_of(data: Mapping[str, Any], shape: str) -> float:
    """Operations per second that the machine could do when a shape's measurements began."""
    return float(data["peak"][shape]["operations_per_second"])


def doublings(amounts: Sequence[int], seconds: Sequence[float]) -> list[float]:
    """By what factor the time grows from each amount to the next, per doubling."""
    pairs = list(zip(amounts, seconds, strict=True))
    return [float((t2 / t1) ** (np.log(2) / np.log(n2 / n1))) for (n1, t1), (n2, t2) in pairwise(pairs)]
