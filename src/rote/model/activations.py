"""What a forward pass has read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from rote.model.sites import Site, SiteLike, parse_site


class Activations(Mapping[Site, Tensor]):
    """What one forward pass read; index it by Site, name, (name, layer) or TransformerLens name."""

    def __init__(self, values: Mapping[Site, Tensor]) -> None:
        self._values = dict(values)

    def __getitem__(self, site: SiteLike) -> Tensor:
        return self._values[parse_site(site)]

    def __iter__(self) -> Iterator[Site]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def logits(self) -> Tensor:
        """The logits; KeyError where they were not read."""
        return self._values[Site("logits")]

    def __repr__(self) -> str:
        shapes = ", ".join(f"{site}: {tuple(x.shape)}" for site, x in self._values.items())
        return f"Activations({shapes})"
