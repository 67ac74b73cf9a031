"""Main effects and interactions of a stack's outputs over a complete product of names, streamed by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.errors import NotApplicable
from rote.stack.stack import Stack, StackRun

ROUNDING = 1e-12  # a variance below this share of the mean square is rounding, so the output is constant


@dataclass(frozen=True, kw_only=True, eq=False)
class Effects:
    """out(A, B) = grand + first(A) + last(B) + interaction(A, B) for one output of one layer; float64."""

    grand: Float[Tensor, " d_model"]
    first: Float[Tensor, "first d_model"]
    last: Float[Tensor, "last d_model"]
    interaction_variance: float
    total_variance: float
    mean_square: float

    @property
    def interaction_share(self) -> float:
        """√(σ²_interaction / σ²_total), variances summed over d_model; NotApplicable for a constant output."""
        if self.total_variance <= ROUNDING * self.mean_square or self.mean_square == 0:
            raise NotApplicable("the output is constant over the product, so no share of its variance exists")
        return float(np.sqrt(self.interaction_variance / self.total_variance))


def _outputs(run: StackRun) -> list[Tensor]:
    """What is measured: each MLP's output, then the residual stream after each layer."""
    return [*run.mlp_out, *run.resid[1:]]


def product_effects(
    stack: Stack, firsts: Int[np.ndarray, " first"], lasts: Int[np.ndarray, " last"]
) -> tuple[tuple[Effects, ...], tuple[Effects, ...]]:
    """(mlp_out, resid_post) effects per layer over firsts × lasts; two passes, so that zero comes out as zero."""
    n = 2 * len(stack.layers)
    first_means: list[list[Tensor]] = [[] for _ in range(n)]
    last_sums: list[Tensor | None] = [None] * n
    for outputs in _rows(stack, firsts, lasts):
        for index, out in enumerate(outputs):
            first_means[index].append(out.mean(0))
            last_sums[index] = out if last_sums[index] is None else last_sums[index] + out
    grands, first_effects, last_effects = [], [], []
    for index in range(n):
        means, sums = torch.stack(first_means[index]), last_sums[index]
        assert sums is not None
        grands.append(means.mean(0))
        first_effects.append(means - grands[index])
        last_effects.append(sums / len(firsts) - grands[index])
    interaction, total, square = np.zeros(n), np.zeros(n), np.zeros(n)
    for row, outputs in enumerate(_rows(stack, firsts, lasts)):
        for index, out in enumerate(outputs):
            centred = out - grands[index]
            rest = centred - first_effects[index][row] - last_effects[index]
            interaction[index] += float(rest.pow(2).sum())
            total[index] += float(centred.pow(2).sum())
            square[index] += float(out.pow(2).sum())
    cells = len(firsts) * len(lasts)
    effects = tuple(
        Effects(
            grand=grands[i],
            first=first_effects[i],
            last=last_effects[i],
            interaction_variance=interaction[i] / cells,
            total_variance=total[i] / cells,
            mean_square=square[i] / cells,
        )
        for i in range(n)
    )
    return effects[: n // 2], effects[n // 2 :]


def _rows(stack: Stack, firsts: np.ndarray, lasts: np.ndarray):  # type: ignore[no-untyped-def]
    """For each first name, the outputs for all last names, in float64."""
    for first in firsts:
        run = stack.run(stack.inputs(np.full(len(lasts), first), lasts))
        yield [out.double() for out in _outputs(run)]
