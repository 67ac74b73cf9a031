"""Main effects and interactions of a stack's outputs over a complete product of names, streamed in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.errors import NotApplicable
from rote.stack.stack import Stack, StackRun

ROUNDING = 1e-12  # a variance below this share of the mean square is rounding, so the output is constant
BLOCK_CELLS = 1024  # about so many names run at once: what is computed from them stays in the processor's cache
KEPT_BYTES = 512 * 2**20  # runs of a product up to this size are kept, larger ones are run twice


@dataclass(frozen=True, kw_only=True, eq=False)
class MainEffects:
    """out(A, B) = grand + first(A) + last(B) + interaction(A, B) for one output of one layer; float64."""

    grand: Float[Tensor, " d_model"]
    first: Float[Tensor, "first d_model"]
    last: Float[Tensor, "last d_model"]

    def additive(
        self, row: Int[np.ndarray, " name"], column: Int[np.ndarray, " name"]
    ) -> Float[Tensor, "name d_model"]:
        """The output without its interaction, for names given by their places in the product."""
        device = self.grand.device
        row_index, column_index = torch.as_tensor(row, device=device), torch.as_tensor(column, device=device)
        return self.grand + self.first[row_index] + self.last[column_index]


@dataclass(frozen=True, kw_only=True, eq=False)
class Effects:
    """Main effects of one output of one layer, and ‖interaction‖² and ‖out − grand‖² of every cell; float64."""

    main: MainEffects
    interaction: Float[np.ndarray, "first last"]
    total: Float[np.ndarray, "first last"]

    @property
    def constant(self) -> bool:
        """Whether the output is the same for all names, but for rounding."""
        # rounding grows with the values, so the variance is held against their mean square and not against 0
        mean_square = float(self.total.mean()) + float(self.main.grand.square().sum())
        return mean_square == 0 or float(self.total.mean()) <= ROUNDING * mean_square

    @property
    def interaction_share(self) -> float:
        """√(σ²_interaction / σ²_total), 0 to 1, variances summed over d_model; NotApplicable for a constant output."""
        if self.constant:
            raise NotApplicable("the output is constant over the product, so no share of its variance exists")
        return float(np.sqrt(self.interaction.sum() / self.total.sum()))


def mlp_main_effects(
    stack: Stack, firsts: Int[np.ndarray, " first"], lasts: Int[np.ndarray, " last"]
) -> tuple[MainEffects, ...]:
    """Main effects of each layer's MLP output over firsts × lasts (indices into the stack's tables), in one pass."""
    return _main_effects(_runs(stack, firsts, lasts), len(firsts), len(lasts))


def product_effects(
    stack: Stack, firsts: Int[np.ndarray, " first"], lasts: Int[np.ndarray, " last"]
) -> tuple[tuple[Effects, ...], tuple[Effects, ...]]:
    """(mlp_out, resid_post) effects per layer over firsts × lasts; two passes, so that zero comes out as zero.

    A difference of sums of squares would do with one pass, and give rounding for an interaction of 0.
    """
    runs = _Runs(stack, firsts, lasts)
    mlp_out = _main_effects(runs, len(firsts), len(lasts))
    main = (*mlp_out, *_stream_effects(stack, firsts, lasts, mlp_out))
    interaction: list[list[Tensor]] = [[] for _ in main]
    total: list[list[Tensor]] = [[] for _ in main]
    done = 0
    for outputs in map(_outputs, runs):
        block = slice(done, done + len(outputs[0]) // len(lasts))
        done = block.stop
        for index, (out, of_tokens) in enumerate(zip(outputs, main, strict=True)):
            centred = out.double().reshape(-1, len(lasts), out.shape[-1]) - of_tokens.grand
            total[index].append(_squares(centred))
            # in place: a block of one output in float64 is the largest thing there is
            centred -= of_tokens.first[block][:, None]
            centred -= of_tokens.last
            interaction[index].append(_squares(centred))
    effects = tuple(
        Effects(main=m, interaction=torch.cat(i).cpu().numpy(), total=torch.cat(t).cpu().numpy())
        for m, i, t in zip(main, interaction, total, strict=True)
    )
    return effects[: len(stack.layers)], effects[len(stack.layers) :]


def _squares(x: Float[Tensor, "block last d_model"]) -> Float[Tensor, "block last"]:
    squares: Tensor = torch.linalg.vecdot(x, x)
    return squares


def _outputs(run: StackRun) -> list[Tensor]:
    """What is measured: each MLP's output, then the residual stream after each layer."""
    return [*run.mlp_out, *run.resid[1:]]


def _main_effects(runs: Iterable[StackRun], n_first: int, n_last: int) -> tuple[MainEffects, ...]:
    """Of the MLPs' outputs."""
    first_means: list[list[Tensor]] = []
    last_sums: list[Tensor] = []
    for run in runs:
        tables = [out.double().reshape(-1, n_last, out.shape[-1]) for out in run.mlp_out]
        if not first_means:
            first_means, last_sums = [[] for _ in tables], [torch.zeros_like(table[0]) for table in tables]
        for rows, sums, table in zip(first_means, last_sums, tables, strict=True):
            rows.append(table.mean(1))
            sums += table.sum(0)
    effects = []
    for parts, sums in zip(first_means, last_sums, strict=True):
        means = torch.cat(parts)
        grand = means.mean(0)
        effects.append(MainEffects(grand=grand, first=means - grand, last=sums / n_first - grand))
    return tuple(effects)


def _stream_effects(
    stack: Stack, firsts: np.ndarray, lasts: np.ndarray, mlp_out: Sequence[MainEffects]
) -> tuple[MainEffects, ...]:
    """Of the residual stream after each layer: it is a sum, so its main effects are the sums of theirs."""
    first, last = (
        x[torch.as_tensor(i, device=x.device)].double() for x, i in ((stack.first, firsts), (stack.last, lasts))
    )
    # centred over the names of this product, which may be fewer than those the tables were centred over
    grand = first.mean(0) + last.mean(0) + stack.constant.double()
    first, last, effects = first - first.mean(0), last - last.mean(0), []
    for layer, added in zip(stack.layers, mlp_out, strict=True):
        grand = grand + layer.attention.double() + added.grand
        first, last = first + added.first, last + added.last
        effects.append(MainEffects(grand=grand, first=first, last=last))
    return tuple(effects)


class _Runs:
    """Runs of some first names after the other with all last names; kept for a second pass where they are small."""

    def __init__(self, stack: Stack, firsts: np.ndarray, lasts: np.ndarray) -> None:
        self.names = stack, firsts, lasts
        # per name what a StackRun holds: inputs and outputs of every MLP, and one residual stream more than layers
        n_vectors = len(firsts) * len(lasts) * (3 * len(stack.layers) + 1)
        self.keep = n_vectors * stack.constant.numel() * stack.constant.element_size() <= KEPT_BYTES
        self.kept: list[StackRun] = []

    def __iter__(self) -> Iterator[StackRun]:
        if self.kept:
            yield from self.kept
            return
        for run in _runs(*self.names):
            if self.keep:
                self.kept.append(run)
            yield run


def _runs(stack: Stack, firsts: np.ndarray, lasts: np.ndarray) -> Iterator[StackRun]:
    size = max(BLOCK_CELLS // len(lasts), 1)
    for start in range(0, len(firsts), size):
        some = firsts[start : start + size]
        yield stack.run(stack.inputs(np.repeat(some, len(lasts)), np.tile(lasts, len(some))))
