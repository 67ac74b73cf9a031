"""In which precision linear algebra is done: float32 at least, float64 for a float64 model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_PRODUCTS = (functional.linear, torch.addmm, torch.matmul, torch.Tensor.matmul, torch.bmm, torch.baddbmm)


def wide(x: Tensor) -> Tensor:
    """The same values in float32, or in float64 where they are float64 already; no copy where nothing changes."""
    return x if x.dtype == torch.float64 else x.float()


def masked_score(dtype: torch.dtype) -> float:
    """What is added to a score (a logit) that the mask rules out: half the least of a type, float32 at the widest.

    The softmax is taken in float32. There the least float64 is minus infinity, and a query that may attend to nothing
    (on the left of a padded prompt) would come out as NaN; in float16 the least number itself overflows.
    """
    return max(torch.finfo(dtype).min, torch.finfo(torch.float32).min) / 2


def slow_bfloat16(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a device multiplies bfloat16 matrices without instructions for it: a CPU several times slower for it."""
    return device.type == "cpu" and dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported()


class Float32Products(TorchFunctionMode):
    """Within this context, products of bfloat16 matrices on the CPU are taken in float32 and rounded once.

    What enters and leaves is bfloat16 as before, one weight at a time is widened, and no module changes. The results
    are those of a bfloat16 product with float32 sums, but for the order of the sums.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in _PRODUCTS or not any(_narrow(x) for x in (*args, *kwargs.values())):
            return func(*args, **kwargs)
        widened = func(*map(_widened, args), **{name: _widened(x) for name, x in kwargs.items()})
        return widened.to(torch.bfloat16)


def _narrow(x: Any) -> bool:
    return isinstance(x, Tensor) and x.dtype == torch.bfloat16 and x.device.type == "cpu"


def _widened(x: Any) -> Any:
    return x.float() if _narrow(x) else x
