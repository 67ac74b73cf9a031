"""Pairs of integers as inputs of many networks at once: listed one by one, or all of them in order."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Pairs(ABC):
    """The facts' inputs; `embed` holds the vectors of the first integers, then those of the second."""

    @abstractmethod
    def embedded(self, embed: Float[Tensor, "model place_integer d_model"]) -> Float[Tensor, "model fact d_model"]:
        """x = E_first(a) + E_second(b)."""

    def projected(
        self,
        embed: Float[Tensor, "model place_integer d_model"],
        weight: Float[Tensor, "model d_model neuron"],
        bias: Float[Tensor, "model neuron"],
    ) -> Float[Tensor, "model fact neuron"]:
        """x · weight + bias."""
        return torch.baddbmm(bias.unsqueeze(1), self.embedded(embed), weight)


class ListedPairs(Pairs):
    """Any pairs, another list for each network; a pair marked as not counting has x = 0."""

    def __init__(
        self, first: Int[Tensor, "model fact"], second: Int[Tensor, "model fact"], counts: Tensor, n_integers: int
    ) -> None:
        self._incidence = torch.zeros(*first.shape, 2 * n_integers)
        for column in (first, second + n_integers):
            self._incidence.scatter_(2, column.unsqueeze(2), 1.0)
        self._incidence *= counts.unsqueeze(2)
        self._frozen: tuple[Tensor, Tensor] | None = None

    def embedded(self, embed: Float[Tensor, "model place_integer d_model"]) -> Float[Tensor, "model fact d_model"]:
        if embed.requires_grad:
            return torch.bmm(self._incidence, embed)
        if self._frozen is None or self._frozen[0] is not embed:  # frozen vectors are looked up once
            self._frozen = (embed, torch.bmm(self._incidence, embed))
        return self._frozen[1]


class AllPairs(Pairs):
    """Every pair, or those of some first integers, second integer fastest.

    The first layer then works on at most 2n vectors instead of n² sums of two.
    """

    def __init__(self, n_integers: int, firsts: slice = slice(None)) -> None:
        self._n, self._firsts = n_integers, firsts

    def embedded(self, embed: Float[Tensor, "model place_integer d_model"]) -> Float[Tensor, "model fact d_model"]:
        return self._sums(embed[:, : self._n][:, self._firsts], embed[:, self._n :])

    def projected(
        self,
        embed: Float[Tensor, "model place_integer d_model"],
        weight: Float[Tensor, "model d_model neuron"],
        bias: Float[Tensor, "model neuron"],
    ) -> Float[Tensor, "model fact neuron"]:
        each = torch.bmm(embed, weight)
        return self._sums((each[:, : self._n] + bias.unsqueeze(1))[:, self._firsts], each[:, self._n :])

    @staticmethod
    def _sums(first: Float[Tensor, "model integer column"], second: Float[Tensor, "model integer column"]) -> Tensor:
        return (first.unsqueeze(2) + second.unsqueeze(1)).flatten(1, 2)
