"""Where tokens stand: the mask and the positions that a forward pass is given."""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from rote.errors import NotApplicable


def placed(
    base: nn.Module,
    tokens: Int[Tensor, "row pos"],
    mask: Bool[Tensor, "row pos"] | None,
    positions: Int[Tensor, "row pos"] | None,
) -> dict[str, Tensor | None]:
    """Keyword arguments of a forward pass; in rows padded on the left, positions count real tokens.

    With positions there is always a mask: without one, transformers takes a jump in the positions for the beginning of
    another text, to which nothing before the jump belongs. NotApplicable where the family takes no positions.
    """
    attend = None if mask is None else mask.to(tokens.device).long()
    if positions is not None:
        require_positions(base)
        attend = torch.ones_like(tokens) if attend is None else attend
        return {"attention_mask": attend, "position_ids": positions.to(tokens.device)}
    if attend is not None and not bool(attend[:, 0].all()):
        # the padding itself would come out at −1, where a table of positions has no row
        return {"attention_mask": attend, "position_ids": (attend.cumsum(-1) - 1).clamp_min(0)}
    return {"attention_mask": attend}


def require_positions(base: nn.Module) -> None:
    """NotApplicable where a family's tokens cannot be told where they stand."""
    forward: Any = base.forward
    if "position_ids" not in signature(forward).parameters:
        family = getattr(base.config, "model_type", type(base).__name__)
        raise NotApplicable(f"tokens cannot be given positions in models of family {family!r}")
