"""Which module shows which site, and the hooks that read and edit there for one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from rote.errors import InputError, MeasurementError
from rote.model import attention
from rote.model.edits import AnyEdit
from rote.model.families import Family
from rote.model.sites import ATTENTION_SQUARES, SHAPES, Read, Site

_IN_ATTENTION = ("q", "k", "v", "scores", "pattern")


@dataclass(frozen=True, kw_only=True)
class Point:
    """The input or the output of one module, and how the site's activation stands there.

    `split` is the number of heads in the last dimension. `first_half`: the last dimension holds the site and, behind
    it, something else (a gate and its up-projection). `scale`: what passes here is multiplied by it before it is
    added to the residual stream, and the site is the product. `behind`: the site is the input of this norm, which
    another module reads too, so that an edit is passed through the norm again for this module alone. `flattened`:
    inside this block rows and positions may be one dimension.
    """

    module: nn.Module
    side: Literal["input", "output"]
    split: int | None = None
    first_half: bool = False
    scale: float = 1.0
    behind: nn.Module | None = None
    flattened: nn.Module | None = None


class Stop(Exception):
    """Ends a forward pass early, once everything that is to be read has been read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Wiring:
    """Resolves sites to points for one loaded module."""

    module: nn.Module
    family: Family
    n_heads: int
    parallel: bool
    residual_scale: float = 1.0
    device: torch.device | None = None  # where reads are put; None leaves them where they were computed

    @property
    def blocks(self) -> nn.ModuleList:
        blocks = self.module.get_submodule(self.family.blocks)
        assert isinstance(blocks, nn.ModuleList)
        return blocks

    @property
    def final_norm(self) -> nn.Module:
        return self.module.get_submodule(self.family.final_norm)

    def part(self, layer: int, path: str | None) -> nn.Module | None:
        """A module of block `layer` (counted from 0); None where the family has none there."""
        return None if path is None else self.blocks[layer].get_submodule(path)

    def point(self, site: Site) -> Point:
        """Where a site shows; InputError for a site or layer that this model has not."""
        if site.name == "embed":
            return Point(module=self.blocks[0], side="input")
        if site.name == "final":
            return Point(module=self.final_norm, side="output")
        found = self._block_point(site.name, self.layer(site))
        if found is None:
            raise InputError(f"site {site} does not exist in {self._kind(site.name)}")
        return found

    def _kind(self, name: str) -> str:
        if name in ("mlp_pre", "mlp_post") and self.family.experts:
            return f"family {self.family.model_type}: {self.family.experts}"
        return "parallel blocks" if name == "resid_mid" and self.parallel else f"family {self.family.model_type}"

    def layer(self, site: Site) -> int:
        """The site's layer, counted from 0; InputError where this model has no such layer."""
        if site.layer is None or not 0 <= site.layer < len(self.blocks):
            raise InputError(f"site {site}: this model has layers 0 to {len(self.blocks) - 1}")
        return site.layer

    def _block_point(self, name: str, layer: int) -> Point | None:
        family, block = self.family, self.blocks[layer]
        whole: dict[str, Point] = {
            "resid_pre": Point(module=block, side="input"),
            "resid_post": Point(module=block, side="output"),
        }
        if name in whole:
            return whole[name]
        if name == "resid_mid" and self.parallel:
            return None
        path, side = {
            "attn_in": (family.attention_norm or family.attention, "input"),
            "z": (family.attention_out, "input"),
            "attn_out": (family.attention_out, "output"),
            "attn_out_post": (family.attention_out_norm, "output"),
            "resid_mid": (family.mlp_norm or family.mlp, "input"),
            "mlp_in": (family.mlp_norm or family.mlp, "input"),
            "mlp_pre": (family.mlp_gate or family.mlp_in, "output"),
            "mlp_post": (family.mlp_out, "input"),
            "mlp_out": (family.mlp, "output"),
            "mlp_out_post": (family.mlp_out_norm, "output"),
        }[name]
        behind = None
        if family.shared_norm and name in ("attn_in", "mlp_in"):
            behind, path = self.part(layer, path), family.attention if name == "attn_in" else family.mlp
        module = self.part(layer, path)
        if module is None:
            return None
        return Point(
            module=module,
            side=side,  # type: ignore[arg-type]
            split=self.n_heads if name == "z" else None,
            first_half=name == "mlp_pre" and family.fused_gate,
            scale=self.residual_scale if name in ("attn_out", "mlp_out") else 1.0,
            behind=behind,
            flattened=block if family.flat_mlp else None,
        )


@dataclass(eq=False)
class Session:
    """The reads and edits of one forward pass, and what has been read so far.

    `stops`: the pass is ended within the block in which the last of the reads is made.
    """

    wiring: Wiring
    reads: Sequence[Read]
    edits: Sequence[AnyEdit]
    stops: bool = True
    read_values: dict[Site, Tensor] = field(default_factory=dict)
    _reads: dict[Site, Read] = field(init=False, repr=False)
    _edits: dict[Site, list[AnyEdit]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._reads = {read.site: read for read in self.reads}
        self._edits = {edit.site: [e for e in self.edits if e.site == edit.site] for edit in self.edits}

    def visit(self, site: Site, x: Tensor) -> Tensor:
        """Apply the edits of a site, in their order, then read the result.

        Raises NonFinite where what is read is not finite, and `Stop`, which no caller of a model sees, after the last
        read.
        """
        read, edits = self._reads.get(site), self._edits.get(site, ())
        if read is None and not edits:
            return x
        if torch.is_grad_enabled():
            x = x.view_as(x)  # a node of its own: one tensor may enter two modules, and slopes are of one of them
        for edit in edits:
            x = edit.apply(x)
        if read is not None:
            self._keep(read, x)
        return x

    def _keep(self, read: Read, x: Tensor) -> None:
        value = gather(read.site, x, read.position)
        check_finite(read.site, value)
        stays = self.wiring.device is None or torch.is_grad_enabled()  # a copy is not on the way to the logits
        self.read_values[read.site] = value if stays else value.to(self.wiring.device)
        if self.stops and len(self.read_values) == len(self._reads):
            raise Stop

    @property
    def sites(self) -> tuple[Site, ...]:
        """Every site that a read or an edit names, once, in the order in which a forward pass comes by within a block.

        Two sites can share a place (`embed` and the first `resid_pre`, `resid_mid` and `mlp_in`); the order of
        their hooks then decides which edits a read sees.
        """
        # by name alone: two layers never have hooks at the same place, whose order would matter
        named = dict.fromkeys([r.site for r in self.reads] + [e.site for e in self.edits])
        return tuple(sorted(named, key=lambda site: list(SHAPES).index(site.name)))

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Hooks for all sites, removed at the end whatever happens; InputError for one that this model has not."""
        with ExitStack() as stack:
            stack.enter_context(attention.tapped(self._tap))
            for site in self.sites:
                if site.name == "logits":
                    continue
                if site.name in _IN_ATTENTION:
                    self.wiring.layer(site)  # an unknown layer fails here, before any work
                    continue
                for handle in _install(self.wiring.point(site), self._visitor(site)):
                    stack.callback(handle.remove)
            yield

    def _visitor(self, site: Site) -> Callable[[Tensor], Tensor]:
        return lambda x: self.visit(site, x)

    def _tap(self, name: str, layer: int, x: Tensor) -> Tensor:
        return self.visit(Site(name, layer), x)


class NonFinite(MeasurementError):
    """NaN or infinity at a site; `row` is the first row of the batch in which it stands."""

    def __init__(self, site: Site, row: int | None, where: str = "") -> None:
        self.site, self.row, self._where = site, row, where
        which = where or ("" if row is None else f" in row {row} of the batch")
        super().__init__(f"non-finite activations at {site}{which}; a wider dtype (float32 or bfloat16) usually helps")

    def __reduce__(self) -> tuple[type[NonFinite], tuple[Any, ...], dict[str, Any]]:
        """Made again from what it was made of: workers send it to their parent."""
        return type(self), (self.site, self.row, self._where), self.__dict__


def check_finite(site: Site, x: Tensor) -> None:
    """NonFinite, with the site's name, for NaN or infinity; forbidden scores are infinite on purpose."""
    if site.name == "scores" or _finite(x):
        return
    raise NonFinite(site, int((~torch.isfinite(x)).flatten(1).any(1).nonzero()[0]) if x.dim() > 1 else None)


def _finite(x: Tensor) -> bool:
    """By the extremes, which NaN and infinity pass through: one look at the memory and no copy of its size."""
    return not x.numel() or bool(torch.isfinite(torch.stack(torch.aminmax(x.detach()))).all())


def gather(site: Site, x: Tensor, position: Tensor | None) -> Tensor:
    """One position of each row, or several (None: all); of the queries, where a site is queries by keys."""
    if position is None:
        return x
    rows, at = torch.arange(x.shape[0], device=x.device), position.to(x.device)
    rows = rows if at.dim() == 1 else rows[:, None]
    # indices on both sides of a slice put what they pick in front: (row, head, key), or (row, place, head, key)
    return x[rows, :, at] if site.name in ATTENTION_SQUARES else x[rows, at]


def _install(point: Point, visit: Callable[[Tensor], Tensor]) -> list[RemovableHandle]:
    """Hooks that show a site to `visit` and go on with what that returns."""
    handles: list[RemovableHandle] = []
    stream: list[Tensor] = []  # what the norm before the module read last
    shape: list[torch.Size] = []  # rows and positions of the block's input
    if point.behind is not None:
        handles.append(_keep(point.behind, stream, lambda x: x))
    if point.flattened is not None:
        handles.append(_keep(point.flattened, shape, lambda x: x.shape[:2]))

    def through(x: Tensor) -> Tensor:
        if point.behind is not None:
            changed = visit(stream[0])
            # `forward`, not a call: that would set off the norm's hooks again, and the other module that reads it would
            # see the changed stream too
            return x if changed is stream[0] else point.behind.forward(changed)
        flat = x.dim() == 2 and bool(shape)
        # positions of reads and edits are per row, so rows come apart before anything is shown
        seen = _shown(point, x.view(*shape[0], -1) if flat else x, visit)
        return seen.flatten(0, 1) if flat else seen

    if point.side == "input":

        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if args:
                return (through(args[0]), *args[1:]), kwargs
            # Llama and its like call their attention by names only; the stream has this one in all of them
            return args, {**kwargs, "hidden_states": through(kwargs["hidden_states"])}

        handles.append(point.module.register_forward_pre_hook(before, with_kwargs=True))
        return handles

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, tuple):
            return (through(output[0]), *output[1:])
        return through(output)

    handles.append(point.module.register_forward_hook(after))
    return handles


def _keep(module: nn.Module, kept: list[Any], what: Callable[[Tensor], Any]) -> RemovableHandle:
    """A hook that keeps something of the module's latest input."""

    def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kept[:] = [what(args[0] if args else kwargs["hidden_states"])]

    return module.register_forward_pre_hook(note, with_kwargs=True)


def _shown(point: Point, x: Tensor, visit: Callable[[Tensor], Tensor]) -> Tensor:
    """`visit` of the site's part of x, put back where it was."""
    if point.split is not None:
        return visit(x.view(*x.shape[:-1], point.split, -1)).flatten(-2)
    if point.first_half:
        site, rest = x.chunk(2, dim=-1)
        changed = visit(site)
        return x if changed is site else torch.cat([changed, rest], dim=-1)
    if point.scale != 1.0:
        site = x * point.scale
        changed = visit(site)
        if changed is site:
            return x
        if torch.is_grad_enabled():  # slopes are of the product
            return changed / point.scale
        return torch.where(changed == site, x, changed / point.scale)  # what is left as it was stays so bit for bit
    return visit(x)
