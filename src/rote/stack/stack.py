"""`Stack`: input tables for the first and last parts of names, MLPs with a residual stream, a readout per relation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rote.stack.layers import StackLayer, matched, permuted
from rote.stack.readout import Readout


@dataclass(frozen=True, kw_only=True, eq=False)
class Entities:
    """The study's names of two parts: indices into the stack's tables, classes per relation, and the halves."""

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
    """Residual stream before the first and after each layer, what each MLP read, and what it added.

    `stratum` is each name's, None where all have the same.
    """

    resid: tuple[Float[Tensor, "name d_model"], ...]
    mlp_in: tuple[Float[Tensor, "name d_model"], ...]
    mlp_out: tuple[Float[Tensor, "name d_model"], ...]
    stratum: Int[np.ndarray, " name"] | None = None

    def take(self, index: Int[np.ndarray, " new_name"]) -> StackRun:
        """Some of the names."""
        rows = torch.as_tensor(index)
        return StackRun(
            resid=tuple(x[rows] for x in self.resid),
            mlp_in=tuple(x[rows] for x in self.mlp_in),
            mlp_out=tuple(x[rows] for x in self.mlp_out),
            stratum=None if self.stratum is None else self.stratum[index],
        )

    @property
    def output(self) -> Float[Tensor, "name d_model"]:
        return self.resid[-1]


def run_layers(
    layers: Sequence[StackLayer],
    x: Float[Tensor, "name d_model"],
    stratum: Int[np.ndarray, " name"] | None = None,
    *,
    read_shift: Mapping[int, Float[Tensor, "#name d_model"]] | None = None,
    output: Mapping[int, Float[Tensor, "#name d_model"]] | None = None,
) -> StackRun:
    """Run layers on input vectors; `read_shift[j]` is added to what MLP j reads, `output[i]` replaces MLP i's output.

    i and j count the layers from 0; `stratum` is each name's, which tells what attention adds.
    """
    shifts, outputs = read_shift or {}, output or {}
    resid, reads, outs = [x], [], []
    for index, layer in enumerate(layers):
        attention = layer.attends(stratum)
        base = x if layer.parallel else x + attention
        read = base + shifts[index] if index in shifts else base
        out = outputs[index].expand_as(base) if index in outputs else layer.mlp_out(read)
        x = x + attention + out
        resid.append(x)
        reads.append(read)
        outs.append(out)
    return StackRun(resid=tuple(resid), mlp_in=tuple(reads), mlp_out=tuple(outs), stratum=stratum)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """x = E_first + E_last + constant; per layer x ← x + ā + MLP(norm(x)); then a readout per relation.

    Sequential blocks read norm(x + ā). Source: Fact Finding, post 2 (the effective model).

    Names lie in strata (the same kind of cut, parts of the same lengths). A row of `first` or `last` is a part within
    one stratum, `stratum` says which, and only parts of one stratum make a name. What a stratum's names have in common
    beyond `constant` is in its rows of `first`; ā is its own. None: all names are of one stratum.
    """

    name: str
    first: Float[Tensor, "n_first d_model"]
    last: Float[Tensor, "n_last d_model"]
    constant: Float[Tensor, " d_model"]
    layers: tuple[StackLayer, ...]
    readouts: Mapping[str, Readout]
    entities: Entities
    stratum: Int[np.ndarray, " n_first"] | None = None
    batch_size: int = field(default=8192)

    def inputs(self, first: Int[np.ndarray, " name"], last: Int[np.ndarray, " name"]) -> Float[Tensor, "name d_model"]:
        """Input vectors of names given by their indices into the two tables."""
        return self.first[torch.as_tensor(first)] + self.last[torch.as_tensor(last)] + self.constant

    def strata_of(self, first: Int[np.ndarray, " name"]) -> Int[np.ndarray, " name"] | None:
        """The stratum of names given by the index of their first part; None where all have the same."""
        return None if self.stratum is None else self.stratum[first]

    def run_names(self, first: Int[np.ndarray, " name"], last: Int[np.ndarray, " name"]) -> StackRun:
        """`run` on names given by their indices into the two tables."""
        return self.run(self.inputs(first, last), self.strata_of(first))

    def run(
        self,
        x: Float[Tensor, "name d_model"],
        stratum: Int[np.ndarray, " name"] | None = None,
        *,
        read_shift: Mapping[int, Float[Tensor, "#name d_model"]] | None = None,
        output: Mapping[int, Float[Tensor, "#name d_model"]] | None = None,
    ) -> StackRun:
        """Run the layers, as `run_layers` does; `stratum` is each name's, as `strata_of` gives it."""
        return run_layers(self.layers, x, stratum, read_shift=read_shift, output=output)

    def run_entities(self) -> StackRun:
        return self.run_names(self.entities.first, self.entities.last)

    def by_stratum(self) -> tuple[tuple[Int[np.ndarray, " member"], Stack], ...]:
        """Per stratum its entities, and the stack with these alone: what makes names of their parts takes one each."""
        strata = self.strata_of(self.entities.first)
        if strata is None:
            return ((np.arange(len(self.entities)), self),)
        members = [(stratum, np.flatnonzero(strata == stratum)) for stratum in np.unique(strata)]
        return tuple((some, self._of(stratum, some)) for stratum, some in members)

    def _of(self, stratum: int, members: Int[np.ndarray, " member"]) -> Stack:
        layers = tuple(replace(layer, attention=layer.attention[stratum]) for layer in self.layers)
        return replace(self, layers=layers, entities=self.entities.take(members), stratum=None)

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
            attention = layer.attends(target.stratum)
            read = x if layer.parallel else x + attention
            fitted = matched(shuffled, read, layer.pre(target.mlp_in[index]))
            layers.append(fitted)
            x = x + attention + fitted.mlp_out(read)
        return self.with_layers(tuple(layers), "shuffled_matched")
