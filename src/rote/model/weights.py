"""Weights as linear algebra: views of the user's parameters; float32 copies of narrower ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from rote.errors import ModelRefused, NotApplicable
from rote.model.families import Family
from rote.model.precision import wide


@dataclass(frozen=True, kw_only=True, eq=False)
class NormWeights:
    """norm(x) = centred(x) / scale(x) · weight + bias, with scale = sqrt(mean(centred(x)²) + eps).

    `centred` subtracts the mean over d_model for a LayerNorm and is the identity for an RMSNorm.
    """

    kind: Literal["layer", "rms"]
    weight: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"] | None
    eps: float

    def centred(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        return x - x.mean(-1, keepdim=True) if self.kind == "layer" else x

    def scale(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "..."]:
        return (self.centred(x).pow(2).mean(-1) + self.eps).sqrt()

    def linear(
        self, x: Float[Tensor, "... d_model"], scale: Float[Tensor, "..."] | float
    ) -> Float[Tensor, "... d_model"]:
        """The norm with its scale frozen and its bias left out: a linear map of x."""
        frozen = scale[..., None] if isinstance(scale, Tensor) else scale
        return self.centred(x) / frozen * self.weight

    def __call__(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        normed = self.linear(x, self.scale(x))
        return normed if self.bias is None else normed + self.bias


@dataclass(frozen=True, kw_only=True, eq=False)
class MLPWeights:
    """mlp(x) = (act(x·w_gate + b_gate) ⊙ (x·w_in + b_in))·w_out + b_out, or act(x·w_in + b_in)·w_out + b_out."""

    w_in: Float[Tensor, "d_model neuron"]
    b_in: Float[Tensor, " neuron"] | None
    w_gate: Float[Tensor, "d_model neuron"] | None
    b_gate: Float[Tensor, " neuron"] | None
    activation: Callable[[Tensor], Tensor]
    w_out: Float[Tensor, "neuron d_model"]
    b_out: Float[Tensor, " d_model"] | None

    def pre(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... neuron"]:
        """The pre-activation: of the gate where there is one."""
        if self.w_gate is not None:
            return _affine(x, self.w_gate, self.b_gate)
        return _affine(x, self.w_in, self.b_in)

    def post(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... neuron"]:
        active = self.activation(self.pre(x))
        return active if self.w_gate is None else active * _affine(x, self.w_in, self.b_in)

    def __call__(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        return _affine(self.post(x), self.w_out, self.b_out)


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadWeights:
    """A head's OV circuit: x ↦ (x·w_v + b_v)·w_o for the normed x at the key position."""

    w_v: Float[Tensor, "d_model d_head"]
    b_v: Float[Tensor, " d_head"] | None
    w_o: Float[Tensor, "d_head d_model"]


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x @ weight if bias is None else x @ weight + bias


def matrix(module: nn.Module) -> tuple[Tensor, Tensor | None]:
    """(in × out, bias) of an nn.Linear or of transformers' Conv1D, as views."""
    weight, bias = _parameters(module)
    return (weight if type(module).__name__ == "Conv1D" else weight.T), bias


def _parameters(module: nn.Module) -> tuple[Tensor, Tensor | None]:
    weight, bias = module.weight, getattr(module, "bias", None)
    assert isinstance(weight, Tensor)
    return wide(weight.detach()), None if bias is None else wide(bias.detach())


def norm_weights(module: nn.Module, offset: float) -> NormWeights:
    weight, bias = _parameters(module)
    eps = next((getattr(module, name) for name in ("eps", "variance_epsilon") if hasattr(module, name)), None)
    if eps is None:
        raise ModelRefused(f"norm {type(module).__name__} shows no epsilon; rote cannot write it as linear algebra")
    kind: Literal["layer", "rms"] = "layer" if isinstance(module, nn.LayerNorm) else "rms"
    return NormWeights(kind=kind, weight=weight + offset if offset else weight, bias=bias, eps=float(eps))


def mlp_weights(block: nn.Module, family: Family) -> MLPWeights:
    try:
        w_in, b_in = matrix(block.get_submodule(family.mlp_in))
        w_out, b_out = matrix(block.get_submodule(family.mlp_out))
        gate = matrix(block.get_submodule(family.mlp_gate)) if family.mlp_gate else (None, None)
        activation: Any = getattr(block.get_submodule(family.mlp), family.activation)
    except AttributeError as error:
        raise NotApplicable(f"this block has no dense MLP with single neurons ({error})") from error
    return MLPWeights(
        w_in=w_in, b_in=b_in, w_gate=gate[0], b_gate=gate[1], activation=activation, w_out=w_out, b_out=b_out
    )


def head_weights(block: nn.Module, family: Family, head: int, n_heads: int, n_kv: int, d_head: int) -> HeadWeights:
    """W_V and W_O of one query head; with grouped queries several heads share their W_V."""
    weight, bias = matrix(block.get_submodule(family.value))
    if family.fused == "interleaved":  # GPT-NeoX: per head its query, key and value
        start = (3 * head + 2) * d_head
    elif family.fused == "concatenated":  # GPT-2: all queries, all keys, all values
        start = (2 * n_heads + head) * d_head
    else:
        start = head // (n_heads // n_kv) * d_head
    columns = slice(start, start + d_head)
    w_o, _ = matrix(block.get_submodule(family.attention_out))
    return HeadWeights(
        w_v=weight[:, columns],
        b_v=None if bias is None else bias[columns],
        w_o=w_o[head * d_head : (head + 1) * d_head],
    )
