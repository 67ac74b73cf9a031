"""`Stack`: input tables for first and last names, MLP layers with a residual stream, a readout per relation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rote.stack.layers import StackLayer, matched, permuted
from rote.stack.readout import Readout


@dataclass(frozen=True, kw_only=True, eq=False)
class Entities:
    """The study's two-token names: indices into the stack's tables, classes per relation, and the halves."""

    names: tuple[str, ...]
    first: Int[np.ndarray, " entity"]
    last: Int[np.ndarray, " entity"]
    cls: Mapping[str, Int[np.ndarray, " entity"]]
    selection: Bool[np.ndarray, " entity"]
    taken: frozenset[tuple[int, int]] = frozenset()  # every (first, last) of the table, known or not

    def __len__(self) -> int:
        return len(self.names)

    def take(self, index: Int[np.ndarray, " new_entity"]) -> Entities:
        return replace(
            self,
            names=tuple(self.names[i] for i in index),
            first=self.first[index],
            last=self.last[index],
            cls={relation: cls[index] for relation, cls in self.cls.items()},
            selection=self.selection[index],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class StackRun:
    """Residual stream before the first and after each layer, what each MLP read, and what it added."""

    resid: tuple[Float[Tensor, "name d_model"], ...]
    mlp_in: tuple[Float[Tensor, "name d_model"], ...]
    mlp_out: tuple[Float[Tensor, "name d_model"], ...]

    @property
    def output(self) -> Float[Tensor, "name d_model"]:
        return self.resid[-1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """x = E_first + E_last + constant; per layer x ← x + ā + MLP(norm(x)); then a readout per relation.

    Sequential blocks read norm(x + ā). Source: Fact Finding, post 2 (the effective model).
    """

    name: str
    first: Float[Tensor, "n_first d_model"]
    last: Float[Tensor, "n_last d_model"]
    constant: Float[Tensor, " d_model"]
    layers: tuple[StackLayer, ...]
    readouts: Mapping[str, Readout]
    entities: Entities
    batch_size: int = field(default=8192)

    def inputs(self, first: Int[np.ndarray, " name"], last: Int[np.ndarray, " name"]) -> Float[Tensor, "name d_model"]:
        """Input vectors of names given by their indices into the two tables."""
        return self.first[torch.as_tensor(first)] + self.last[torch.as_tensor(last)] + self.constant

    def run(
        self,
        x: Float[Tensor, "name d_model"],
        *,
        read_shift: Mapping[int, Float[Tensor, "#name d_model"]] | None = None,
        output: Mapping[int, Float[Tensor, "#name d_model"]] | None = None,
    ) -> StackRun:
        """Run the layers; `read_shift[j]` is added to what MLP j reads, `output[i]` replaces MLP i's output.

        i and j count the stack's layers from 0.
        """
        shifts, outputs = read_shift or {}, output or {}
        resid, reads, outs = [x], [], []
        for index, layer in enumerate(self.layers):
            base = x if layer.parallel else x + layer.attention
            read = base + shifts[index] if index in shifts else base
            out = outputs[index].expand_as(base) if index in outputs else layer.mlp_out(read)
            x = x + layer.attention + out
            resid.append(x)
            reads.append(read)
            outs.append(out)
        return StackRun(resid=tuple(resid), mlp_in=tuple(reads), mlp_out=tuple(outs))

    def run_entities(self) -> StackRun:
        return self.run(self.inputs(self.entities.first, self.entities.last))

    def batches(self, n: int) -> Iterator[slice]:
        """Slices that cover n names in pieces that fit memory."""
        return (slice(start, min(start + self.batch_size, n)) for start in range(0, n, self.batch_size))

    @property
    def numbers(self) -> tuple[int, ...]:
        """The model's layer numbers of this stack's layers, counted from 0."""
        return tuple(layer.number for layer in self.layers)

    def with_layers(self, layers: tuple[StackLayer, ...], name: str) -> Stack:
        return replace(self, layers=layers, name=name)

    def with_entities(self, entities: Entities) -> Stack:
        return replace(self, entities=entities)

    def shuffled(self, generator: np.random.Generator) -> Stack:
        """Every layer's MLP weights permuted entrywise (Fact Finding, post 3)."""
        return self.with_layers(tuple(permuted(layer, generator) for layer in self.layers), "shuffled")

    def shuffled_matched(self, generator: np.random.Generator) -> Stack:
        """Permuted weights, then every neuron's pre-activation matched to the model's mean and SD.

        Matched layer by layer on the study's entities: column n of the input weights is scaled by
        SD(model)/SD(permuted) and the bias set so that the means agree; else sparsity makes the difference.
        """
        target, layers = self.run_entities(), []
        x = target.resid[0]
        for index, layer in enumerate(self.layers):
            shuffled = permuted(layer, generator)
            read = x if layer.parallel else x + layer.attention
            fitted = matched(shuffled, read, layer.pre(target.mlp_in[index]))
            layers.append(fitted)
            x = x + layer.attention + fitted.mlp_out(read)
        return self.with_layers(tuple(layers), "shuffled_matched")
