"""Small random stacks of every kind, made from random numbers alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rote.model import MLPWeights, NormWeights
from rote.stack import Entities, Readout, Stack, StackLayer

N_FIRST, N_LAST, D_MODEL, D_MLP, N_LAYERS = 9, 8, 12, 16, 3


def make(
    *,
    parallel: bool = True,
    gated: bool = False,
    norm: str | None = "layer",
    out_norm: bool = False,
    biased: bool = True,
    activation: Callable[[Tensor], Tensor] = torch.nn.functional.gelu,
    n_entities: int = 40,
    seed: int = 0,
) -> Stack:
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def norm_weights(kind: str) -> NormWeights:
        bias = noise(D_MODEL) if kind == "layer" else None
        return NormWeights(kind=kind, weight=1 + 0.3 * noise(D_MODEL), bias=bias, eps=1e-5)  # type: ignore[arg-type]

    def layer(number: int) -> StackLayer:
        mlp = MLPWeights(
            w_in=noise(D_MODEL, D_MLP) / 3,
            b_in=noise(D_MLP) if biased else None,
            w_gate=noise(D_MODEL, D_MLP) / 3 if gated else None,
            b_gate=noise(D_MLP) if gated and biased else None,
            activation=activation,
            w_out=noise(D_MLP, D_MODEL) / 4,
            b_out=noise(D_MODEL) if biased else None,
        )
        return StackLayer(
            number=number,
            attention=noise(D_MODEL),
            norm=None if norm is None else norm_weights(norm),
            mlp=mlp,
            out_norm=norm_weights("rms") if out_norm else None,
            parallel=parallel,
        )

    readout = Readout(
        relation="sport", classes=("a", "b", "c"), weight=noise(D_MODEL, 3), centre=noise(D_MODEL), temperature=0.7
    )
    return Stack(
        name="effective",
        first=noise(N_FIRST, D_MODEL),
        last=noise(N_LAST, D_MODEL),
        constant=noise(D_MODEL),
        layers=tuple(layer(number) for number in range(4, 4 + N_LAYERS)),
        readouts={"sport": readout},
        entities=entities(n_entities, seed),
    )


def entities(n: int, seed: int = 0) -> Entities:
    """n different names, in random order."""
    generator = np.random.default_rng(seed)
    first, last = np.divmod(generator.permutation(N_FIRST * N_LAST)[:n], N_LAST)
    return Entities(
        names=tuple(f"F{a} L{b}" for a, b in zip(first, last, strict=True)),
        first=first,
        last=last,
        cls={"sport": generator.integers(0, 3, n)},
        selection=np.arange(n) % 2 == 0,
    )


KINDS: dict[str, dict[str, object]] = {
    "parallel LayerNorm": {},
    "sequential LayerNorm": {"parallel": False},
    "parallel gated": {"gated": True, "norm": "rms"},
    "sequential gated RMSNorm, norm behind": {"parallel": False, "gated": True, "norm": "rms", "out_norm": True},
    "sequential without norm and bias": {"parallel": False, "norm": None, "biased": False},
    "gated without bias": {"gated": True, "norm": "rms", "biased": False},
}


def of_kind(kind: str, seed: int = 0) -> Stack:
    return make(seed=seed, **KINDS[kind])  # type: ignore[arg-type]
