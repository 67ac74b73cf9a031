"""Prompts that begin alike: what they begin with runs once for all of them, as for examples before a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from rote.model.activations import Activations
from rote.model.model import Model
from rote.model.recording import Recorder, Recording
from rote.model.sites import Read, Site, SiteLike, parse_read

LEAST_SHARED = 16  # tokens, and
LEAST_ROWS = 4  # prompts below which nothing is gained


@dataclass(frozen=True, kw_only=True, eq=False)
class SharingModel(Model):
    """A model whose `record` runs the tokens that all rows begin with once.

    What it records differs from the plain pass in the order of sums alone, so no study is made with it.
    """

    @classmethod
    def of(cls, model: Model) -> SharingModel:
        """The same module, served so."""
        return cls(**{spec.name: getattr(model, spec.name) for spec in fields(Model)})

    def record(
        self,
        tokens: Int[Tensor, "row pos"],
        mask: Bool[Tensor, "row pos"] | None = None,
        *,
        positions: Int[Tensor, "row pos"] | None = None,
        read: Sequence[Read | SiteLike] = (),
    ) -> Recording:
        """As `Model.record`; positions that a right-padded mask rules out hold other values."""
        reads = [parse_read(r) for r in read]
        first = shared(tokens)
        plain = positions is not None or (mask is not None and not bool(mask[:, 0].all()))
        whole = all(r.position is None and r.site.name in ("embed", "final", "resid_pre", "resid_post") for r in reads)
        if plain or not whole or first < LEAST_SHARED or len(tokens) < LEAST_ROWS:
            return super().record(tokens, mask, positions=positions, read=read)
        return self._behind(tokens, first, reads)

    def _behind(self, tokens: Int[Tensor, "row pos"], first: int, reads: Sequence[Read]) -> Recording:
        one = super().record(tokens[:1], torch.ones_like(tokens[:1], dtype=torch.bool), read=reads)
        rows = torch.zeros(len(tokens), dtype=torch.long)
        embed = Site("embed")
        x = self.run(tokens, read=[Read(site=embed)])[embed][:, first:]
        recorder = Recorder()
        inside = [r for r in reads if r.site != embed] or [Read(site=Site("resid_post", self.n_layers - 1))]
        with recorder.watching(self.wiring.blocks, ends=False):
            seen = self.replay(one, 0, first=first, rows=rows, resid=x, read=inside)
        rest = recorder.recording(Activations({}))

        def joined(before: Tensor, behind: Tensor, dim: int = 1) -> Tensor:
            front = before.narrow(dim, 0, first).expand(
                len(tokens), *before.shape[1:dim], first, *before.shape[dim + 1 :]
            )
            return torch.cat([front, behind.to(before.device)], dim=dim)

        return Recording(
            resid_pre=tuple(joined(a, b) for a, b in zip(one.resid_pre, rest.resid_pre, strict=True)),
            resid_post=joined(one.resid_post, rest.resid_post),
            keys_values=tuple(
                (joined(k, key, 2), joined(v, value, 2))
                for (k, v), (key, value) in zip(one.keys_values, rest.keys_values, strict=True)
            ),
            arguments=one.arguments,
            read=Activations({r.site: joined(one.read[r.site], x if r.site == embed else seen[r.site]) for r in reads}),
        )


def shared(tokens: Int[Tensor, "row pos"]) -> int:
    """How many tokens all rows begin with, one less than all of them at most."""
    alike = (tokens == tokens[:1]).all(0)[:-1]
    return int(alike.long().cumprod(0).sum())
