"""Names for the places in a model where activations can be read or edited.

The words are the field's: a site is a name and, within a block, a layer. TransformerLens names
(`blocks.5.hook_resid_post`) mean the same places.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from rote.errors import InputError

# name -> what follows the batch dimension
SHAPES: dict[str, str] = {
    "embed": "pos d_model",
    "resid_pre": "pos d_model",
    "attn_in": "pos d_model",
    "q": "pos head d_head",
    "k": "pos head d_head",
    "v": "pos head d_head",
    "scores": "head query key",
    "pattern": "head query key",
    "z": "pos head d_head",
    "attn_out": "pos d_model",
    "attn_out_post": "pos d_model",
    "resid_mid": "pos d_model",
    "mlp_in": "pos d_model",
    "mlp_pre": "pos neuron",
    "mlp_post": "pos neuron",
    "mlp_out": "pos d_model",
    "mlp_out_post": "pos d_model",
    "resid_post": "pos d_model",
    "final": "pos d_model",
    "logits": "pos vocab",
}
UNLAYERED = ("embed", "final", "logits")
PER_HEAD = ("q", "k", "v", "z")
ATTENTION_SQUARES = ("scores", "pattern")

_LENS_NAMES = {
    "hook_resid_pre": "resid_pre",
    "hook_attn_in": "attn_in",
    "attn.hook_rot_q": "q",
    "attn.hook_rot_k": "k",
    "attn.hook_v": "v",
    "attn.hook_attn_scores": "scores",
    "attn.hook_pattern": "pattern",
    "attn.hook_z": "z",
    "hook_attn_out": "attn_out",
    "hook_resid_mid": "resid_mid",
    "hook_mlp_in": "mlp_in",
    "mlp.hook_pre": "mlp_pre",
    "mlp.hook_post": "mlp_post",
    "hook_mlp_out": "mlp_out",
    "hook_resid_post": "resid_post",
}
_LENS_UNLAYERED = {"hook_embed": "embed", "ln_final.hook_normalized": "final", "unembed.hook_out": "logits"}


@dataclass(frozen=True)
class Site:
    """One named place: `Site("resid_post", 5)`.

    `embed` is what enters block 0 (token embedding, scaled, with positions where the family adds them);
    `attn_in` and `mlp_in` are the residual stream as attention and MLP read it, before their norm;
    `q` and `k` are what enters the dot product (after rotary), `k` and `v` repeated to the query heads;
    `scores` are masked logits of the attention; `z` enters the output projection; `*_out_post` comes after a
    norm that follows the output; in a gated MLP `mlp_pre` is the gate's pre-activation and `mlp_post` the
    product that enters the output matrix. Layers count from 0. Raises InputError for a name that is none, or a layer
    too much or too little; whether a model has the place is asked when it runs.
    """

    name: str
    layer: int | None = None

    def __post_init__(self) -> None:
        if self.name not in SHAPES:
            raise InputError(f"no site is called {self.name!r}; the sites are {', '.join(SHAPES)}")
        if (self.layer is None) != (self.name in UNLAYERED):
            needs = "takes no layer" if self.name in UNLAYERED else "needs a layer, such as (name, 5)"
            raise InputError(f"site {self.name!r} with layer {self.layer!r}; it {needs}")

    def at(self, position: Int[Tensor, " row"] | Int[Tensor, "row place"]) -> Read:
        """Read only one position of each row (the result loses its position dimension), or several."""
        return Read(site=self, position=position)

    def __str__(self) -> str:
        return self.name if self.layer is None else f"{self.name}[{self.layer}]"


@dataclass(frozen=True, kw_only=True, eq=False)
class Read:
    """A site to be read, at every position, or at one or several positions of each row."""

    site: Site
    position: Int[Tensor, " row"] | Int[Tensor, "row place"] | None = None

    def counted_from(self, first: int) -> Read:
        """The same read where only the positions from `first` on are run; InputError for an earlier one."""
        if self.position is None:
            return self
        return Read(site=self.site, position=after(self.position, first, f"the read at {self.site}"))


def after(position: Int[Tensor, " row"], first: int, what: str) -> Int[Tensor, " row"]:
    """Positions counted from `first` on; InputError, naming `what`, where one lies before it."""
    if position.numel() and int(position.min()) < first:
        raise InputError(f"{what} is at position {int(position.min())}, but only those from {first} on are run again")
    return position - first


SiteLike = Site | str | tuple[str, int]


def parse_site(site: SiteLike) -> Site:
    """A `Site` from itself, a name, a (name, layer) pair, or a TransformerLens name; InputError for any other."""
    if isinstance(site, Site):
        return site
    if isinstance(site, tuple):
        return Site(*site)
    if site in _LENS_UNLAYERED:
        return Site(_LENS_UNLAYERED[site])
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)", site)
    if match and match[2] in _LENS_NAMES:
        return Site(_LENS_NAMES[match[2]], int(match[1]))
    return Site(site)


def parse_read(read: Read | SiteLike) -> Read:
    """A `Read` from itself, or of every position of a site; InputError for a site that does not exist."""
    return read if isinstance(read, Read) else Read(site=parse_site(read))
