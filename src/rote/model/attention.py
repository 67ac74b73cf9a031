"""One attention function for every family, registered with transformers, that shows and edits what it does.

It computes exactly what the families' eager attention computes. The mask function is registered beside it:
without one, transformers passes no causal mask to an implementation that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from rote.model.precision import masked_score

NAME = "rote"

# (site name, layer, activation) -> activation; called for q, k, v, scores and pattern
Tap = Callable[[str, int, Tensor], Tensor]
# keys and values of one layer as they come in: (row, key–value head, position, d_head)
KeyValue = tuple[Tensor, Tensor]
# transformers calls the function with arguments of its own, so what one pass wants of it comes by context
_TAP: ContextVar[Tap | None] = ContextVar("rote_attention_tap", default=None)
_KEPT: ContextVar[dict[int, KeyValue] | None] = ContextVar("rote_attention_kept", default=None)
_PREFIX: ContextVar[Mapping[int, KeyValue] | None] = ContextVar("rote_attention_prefix", default=None)


@contextmanager
def tapped(tap: Tap) -> Iterator[None]:
    """Within this context, attention shows its parts to `tap` and goes on with what that returns."""
    token = _TAP.set(tap)
    try:
        yield
    finally:
        _TAP.reset(token)


@contextmanager
def keeping(kept: dict[int, KeyValue]) -> Iterator[None]:
    """Within this context, the keys and values that every layer gets are put into `kept`, by layer."""
    token = _KEPT.set(kept)
    try:
        yield
    finally:
        _KEPT.reset(token)


@contextmanager
def prefixed(prefix: Mapping[int, KeyValue]) -> Iterator[None]:
    """Within this context, every layer's queries also see these keys and values, before its own positions."""
    token = _PREFIX.set(prefix)
    try:
        yield
    finally:
        _PREFIX.reset(token)


def attention(
    module: nn.Module,
    query: Float[Tensor, "row head query d_head"],
    key: Float[Tensor, "row kv_head key d_head"],
    value: Float[Tensor, "row kv_head key d_head"],
    attention_mask: Float[Tensor, "row 1 query key"] | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Float[Tensor, "row query head d_head"], Float[Tensor, "row head query key"]]:
    """softmax(softcap(q·kᵀ·scaling) + mask)·v and the pattern, keys and values repeated to the query heads.

    Where a prefix of earlier positions is given, the mask's last dimension runs over it too; `k` and `v` are shown
    without it, `scores` and `pattern` with it.
    """
    kept, groups = _KEPT.get(), query.shape[1] // key.shape[1]
    if kept is not None:  # before heads are repeated: a recording is then smaller by `groups`
        kept[int(module.layer_idx)] = key, value  # type: ignore[arg-type]
    # repeated before they are shown: an edit of one head's key must not reach the heads that share it
    key, value = _to_query_heads(key, groups), _to_query_heads(value, groups)
    query, key, value = (_show(n, module, x) for n, x in (("q", query), ("k", key), ("v", value)))
    key, value = _after_prefix(module, key, value, groups)
    scores = torch.matmul(query, key.transpose(-1, -2)) * (scaling or query.shape[-1] ** -0.5)
    if softcap is not None:  # before the mask: a tanh would lift what the mask rules out to −softcap
        scores = torch.tanh(scores / softcap) * softcap
    if attention_mask is not None:
        scores = scores + attention_mask
    scores = _show("scores", module, scores)
    # float32 and back, as eager attention does in every family: otherwise nothing would be bit-identical
    pattern = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    pattern = _show("pattern", module, pattern)
    return torch.matmul(pattern, value).transpose(1, 2).contiguous(), pattern


def _to_query_heads(x: Tensor, groups: int) -> Tensor:
    return _repeated(x, groups) if groups > 1 else x


def _after_prefix(module: nn.Module, key: Tensor, value: Tensor, groups: int) -> KeyValue:
    prefix = _PREFIX.get()
    if prefix is None:
        return key, value
    keys, values = prefix[int(module.layer_idx)]  # type: ignore[arg-type]
    # recorded after the rotary embedding, so they fit whatever positions follow
    keys, values = _to_query_heads(keys, groups), _to_query_heads(values, groups)
    return torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)


def _show(name: str, module: nn.Module, x: Tensor) -> Tensor:
    tap = _TAP.get()
    if tap is None:
        return x
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    if name in ("scores", "pattern"):
        return tap(name, layer, x)
    seen = x.transpose(1, 2)
    changed = tap(name, layer, seen)
    if torch.is_grad_enabled():  # slopes are of what the tap has seen
        return changed.transpose(1, 2)
    if changed is seen or torch.equal(changed, seen):  # the product's last bits depend on how x lies in memory
        return x
    return changed.transpose(1, 2)


def _repeated(x: Float[Tensor, "row kv_head key d_head"], groups: int) -> Float[Tensor, "row head key d_head"]:
    """Each key or value head for all its query heads; a view where there is one of them, as in eager attention."""
    rows, heads, positions, width = x.shape
    return x[:, :, None].expand(rows, heads, groups, positions, width).reshape(rows, heads * groups, positions, width)


def mask(*args: Any, **kwargs: Any) -> Float[Tensor, "row 1 query key"]:
    """The mask that eager attention adds, with a number behind it that stays finite in the softmax."""
    made: Tensor = eager_mask(*args, **kwargs)
    return made.clamp_min(masked_score(made.dtype))


def register() -> None:
    """Make the function and its mask known to transformers, under NAME."""
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, mask)


register()
