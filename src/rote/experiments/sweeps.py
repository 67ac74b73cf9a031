"""Sweeps over all neurons, heads or edges: exactly or to first order, and how far the two agree.

First order (attribution patching) is slope × change from one gradient, where exact effects take one pass for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from rote.experiments.tabulator import Tabulator
from rote.settings import Settings
from rote.statistics import rng

# What `auto` does exactly: half an hour of a two-core processor, ten minutes of a GPU.
EXACT_OPERATIONS = {"cpu": 2e14, "cuda": 1e17}
N_PASSES_CHECKED = 8  # nodes or heads, where each exact effect would be passes of their own
N_CHECKED = 256  # of all that is swept over, drawn at random, and as many with the largest first-order effects
STATISTIC = "first_order_correlation"
SAMPLES = ("random", "top")


def is_first_order(settings: Settings, operations: float, device: str) -> bool:
    """Whether a sweep is taken to first order: as `sweeps` says, under `auto` where exact effects cost too much.

    `operations` counts the multiplications and additions of the exact sweep.
    """
    if settings.sweeps != "auto":
        return settings.sweeps == "first_order"
    return operations > EXACT_OPERATIONS.get(device, EXACT_OPERATIONS["cuda"])


def samples(
    first: Float[np.ndarray, "case swept"], settings: Settings, item: str, n: int = N_CHECKED
) -> dict[str, Int[np.ndarray, " chosen"]]:
    """Which of those swept over are checked: n at random, and the n of largest mean |first-order effect|."""
    total = first.shape[1]
    size = np.abs(np.where(np.isfinite(first), first, 0.0)).mean(axis=0)
    random = rng(settings.seed, "first_order", item).permutation(total)[:n]
    return {"random": np.sort(random), "top": np.sort(np.argsort(-size, kind="stable")[:n])}


def correlation(exact: Float[np.ndarray, "..."], first: Float[np.ndarray, "..."]) -> float | None:
    """Pearson correlation (−1 to 1) over all cases that have an effect; None where one side does not vary."""
    defined = np.isfinite(exact) & np.isfinite(first)
    if not defined.any():
        return None
    a, b = exact[defined] - exact[defined].mean(), first[defined] - first[defined].mean()
    below = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / below if below > 0 else None


def tabulate_agreement(
    out: Tabulator,
    first: Float[np.ndarray, "case swept"],
    exact: Callable[[Int[np.ndarray, " chosen"]], Float[np.ndarray, "case chosen"]],
    chosen: Mapping[str, Int[np.ndarray, " chosen"]],
    **key: Any,
) -> None:
    """A row for each sample: first-order against exact effects over cases × those chosen."""
    for name, index in chosen.items():
        found = correlation(exact(index), first[:, index])
        if found is None:
            out.absent(STATISTIC, "nothing that was swept over changes an answer more than another", condition=name)
        else:
            out.value(STATISTIC, found, n=len(index), condition=name, **key)
