"""In which precision linear algebra is done: float32 at least, float64 for a float64 model."""

from __future__ import annotations

import torch
from torch import Tensor


def wide(x: Tensor) -> Tensor:
    """The same values in float32, or in float64 where they are float64 already; no copy where nothing changes."""
    return x if x.dtype == torch.float64 else x.float()
