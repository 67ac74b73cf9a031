"""In which precision linear algebra is done: float32 at least, float64 for a float64 model."""

from __future__ import annotations

import torch
from torch import Tensor


def wide(x: Tensor) -> Tensor:
    """The same values in float32, or in float64 where they are float64 already; no copy where nothing changes."""
    return x if x.dtype == torch.float64 else x.float()


def masked_score(dtype: torch.dtype) -> float:
    """What is added to an attention score that the mask rules out: half the least of a type, float32 at the widest.

    The softmax is taken in float32. There the least float64 is minus infinity, and a query that may attend to nothing
    (on the left of a padded prompt) would come out as NaN; in float16 the least number itself overflows.
    """
    return max(torch.finfo(dtype).min, torch.finfo(torch.float32).min) / 2
