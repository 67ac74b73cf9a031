"""The residual stream at tokens of strings, with their full context and with the last few tokens alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.model import Model, Read, Site
from rote.model.precision import wide


@dataclass(frozen=True, kw_only=True, eq=False)
class Contexts:
    """Strings of a text and the places in them that are looked at.

    A row is `<bos>` + tokens, or the tokens alone where the tokenizer has no bos. A context of length k of a place
    holds its own token and the k − 1 before it. No row is padded: those of one length are run together, about
    `batch_tokens` tokens at a time.
    """

    model: Model
    strings: Int[Tensor, "string place"]
    places: Int[Tensor, "string taken"]
    batch_tokens: int

    @property
    def bos(self) -> int | None:
        found = getattr(self.model.tokenizer, "bos_token_id", None)
        return None if found is None else int(found)

    @property
    def n_tokens(self) -> int:
        return self.places.numel()

    def full(self) -> Float[Tensor, "token layer d_model"]:
        """The residual stream after every block at every place, the whole string before it; each string runs once.

        Raises what `Model.run` does: NonFinite, and NotApplicable for positions that a family does not take.
        """
        before = 0 if self.bos is None else 1
        parts = []
        for rows in torch.split(torch.arange(len(self.strings)), self._rows(self.strings.shape[1] + before)):
            tokens = self._with_bos(self.strings[rows])
            parts.append(self._read(tokens, self.places[rows] + before, None).flatten(0, 1))
        return torch.cat(parts)

    def truncated(
        self, length: int, *, kept: bool
    ) -> Iterator[tuple[Int[Tensor, " batch"], Float[Tensor, "batch layer d_model"]]]:
        """(tokens, the residual stream there) in batches, with contexts of `length` tokens, or the whole one if less.

        With `kept`, bos stands at 0 and every other token where it stood in the string; else they are moved up to bos.
        NotApplicable where the family takes no positions.
        """
        before = 0 if self.bos is None else 1
        string = torch.arange(len(self.places))[:, None].expand_as(self.places).flatten()
        place = self.places.flatten()
        lengths = (place + 1).clamp(max=length)
        for n in sorted(set(lengths.tolist())):
            for batch in torch.split((lengths == n).nonzero().flatten(), self._rows(n + before)):
                window = place[batch, None] + torch.arange(1 - n, 1)
                tokens = self._with_bos(self.strings[string[batch, None], window])
                positions = torch.cat([torch.zeros(len(batch), before, dtype=torch.long), window + before], dim=1)
                last = torch.full((len(batch), 1), tokens.shape[1] - 1)
                yield batch, self._read(tokens, last, positions if kept else None)[:, 0]

    def _rows(self, length: int) -> int:
        return max(self.batch_tokens // length, 1)

    def _with_bos(self, tokens: Int[Tensor, "row place"]) -> Int[Tensor, "row pos"]:
        if self.bos is None:
            return tokens
        return torch.cat([torch.full((len(tokens), 1), self.bos), tokens], dim=1)

    def _read(
        self, tokens: Int[Tensor, "row pos"], at: Int[Tensor, "row taken"], positions: Int[Tensor, "row pos"] | None
    ) -> Float[Tensor, "row taken layer d_model"]:
        sites = [Site("resid_post", layer) for layer in range(self.model.n_layers)]
        read = [Read(site=site, position=at) for site in sites]
        acts = self.model.run(tokens, positions=positions, read=read)
        return torch.stack([wide(acts[site]).cpu() for site in sites], dim=2)


def cosines(contexts: Contexts, lengths: tuple[int, ...], *, kept: bool) -> Float[Tensor, "token layer length"]:
    """cos(truncated − mean, full − mean), −1 to 1, per token, block and length; the mean is the full ones', per block.

    NaN where one of the two is the mean itself.
    """
    full = contexts.full()
    mean = full.mean(0)
    full -= mean  # in place: every token in every layer is by far the largest thing held
    found = torch.empty(contexts.n_tokens, contexts.model.n_layers, len(lengths), dtype=full.dtype)
    for column, length in enumerate(lengths):
        for batch, residual in contexts.truncated(length, kept=kept):
            a, b = residual - mean, full[batch]
            found[batch, :, column] = (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))
    return found
