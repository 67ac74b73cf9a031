"""What a neuron's weights say of a class: cosines, the direct effect, and what it reads without three directions.

A LayerNorm takes the mean over d_model away, so that part of any direction is left out throughout; an RMSNorm and a
stack without norms see all of it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from rote.stack import Readout, StackLayer

DIRECTIONS = ("output", "readout", "readout_difference")
VANISHED = 1e-6  # what is left of the input weights below this share of them is rounding


def _seen(layer: StackLayer, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
    return x if layer.norm is None else layer.norm.centred(x)


def _folded(layer: StackLayer, weight: Float[Tensor, " d_model"]) -> Float[Tensor, " d_model"]:
    """Input weights as a direction of the residual stream: norm weight ⊙ w, centred under a LayerNorm."""
    weight = weight.double()
    return weight if layer.norm is None else _seen(layer, layer.norm.weight.double() * weight)


def input_direction(layer: StackLayer, neuron: int) -> Float[Tensor, " d_model"]:
    """What the neuron reads, up to the norm's scale; of a gated neuron what its gate reads. float64."""
    mlp = layer.mlp
    return _folded(layer, (mlp.w_in if mlp.w_gate is None else mlp.w_gate)[:, neuron])


def output_direction(layer: StackLayer, neuron: int) -> Float[Tensor, " d_model"]:
    """What the neuron writes into the residual stream, up to the scale of a norm behind the MLP. float64."""
    # a norm's bias is the same for every activation, so no part of this neuron's
    written = layer.mlp.w_out[neuron].double()
    if layer.out_norm is None:
        return written
    return layer.out_norm.centred(written) * layer.out_norm.weight.double()


def readout_directions(readout: Readout, cls: int) -> tuple[Float[Tensor, " d_model"], Float[Tensor, " d_model"]]:
    """The class's column of the readout, and that column minus the mean of the others. float64."""
    weight = readout.weight.double()
    own = weight[:, cls]
    others = (weight.sum(1) - own) / max(weight.shape[1] - 1, 1)
    return own, own - others


def directions(layer: StackLayer, neuron: int, readout: Readout, cls: int) -> Float[Tensor, "3 d_model"]:
    """The three of `DIRECTIONS`, as far as the layer's norm lets them through."""
    return _seen(layer, torch.stack([output_direction(layer, neuron), *readout_directions(readout, cls)]))


def cosines(layer: StackLayer, neuron: int, readout: Readout, cls: int) -> dict[str, float | None]:
    """Cosine (−1 to 1) of the input direction with each of the three; None where one of both has no length."""
    reads, values = input_direction(layer, neuron), {}
    for name, direction in zip(DIRECTIONS, directions(layer, neuron, readout, cls), strict=True):
        length = float(reads.norm() * direction.norm())
        values[name] = float(reads @ direction) / length if length > 0 else None
    return values


def without_directions(
    layer: StackLayer, neuron: int, remove: Float[Tensor, "direction d_model"], x: Float[Tensor, "entity d_model"]
) -> Float[Tensor, " entity"]:
    """The neuron's activation with some directions taken out of its input weights; float64.

    With v the input direction (`input_direction`), P the projector on the span of the directions and s(x) the norm's
    own scale at x, the pre-activation becomes pre(x) − centred(x)·Pv / s(x): biases stay, nothing is rescaled. In a
    gated neuron gate and up are both treated so. What is left of v is exactly 0 where it would be rounding.
    """
    mlp, basis = layer.mlp, _basis(remove.double())
    x = x.double()
    normed = _seen(layer, x) if layer.norm is None else _seen(layer, x) / layer.norm.scale(x)[:, None]

    def pre(weight: Tensor, bias: Tensor | None) -> Tensor:
        v = _folded(layer, weight[:, neuron])
        left = v - basis.T @ (basis @ v)
        # an activation that is constant has an AUC of exactly ½; one of rounding would have any
        left = torch.zeros_like(v) if float(left.norm()) <= VANISHED * float(v.norm()) else left
        shift = 0.0 if bias is None else float(bias[neuron])
        if layer.norm is not None and layer.norm.bias is not None:
            shift += float(layer.norm.bias.double() @ weight[:, neuron].double())
        return normed @ left + shift

    if mlp.w_gate is None:
        return mlp.activation(pre(mlp.w_in, mlp.b_in))
    return mlp.activation(pre(mlp.w_gate, mlp.b_gate)) * pre(mlp.w_in, mlp.b_in)


def _basis(rows: Float[Tensor, "direction d_model"]) -> Float[Tensor, "rank d_model"]:
    """An orthonormal basis of the span of the rows; rows of no length add nothing."""
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    unit = rows[lengths[:, 0] > 0] / lengths[lengths[:, 0] > 0]
    if len(unit):
        sizes, basis = torch.linalg.svd(unit, full_matrices=False)[1:]
        unit = basis[sizes > 1e-6 * sizes[0]]
    return unit


def direct_logits(
    layer: StackLayer, neuron: int, readout: Readout, cls: int, x: Float[Tensor, "entity d_model"]
) -> float:
    """What one unit of activation adds to the class's score minus the mean of the others', in logits.

    A norm behind the MLP acts with its mean scale over the entities. `x` is what the MLP reads.
    """
    written = output_direction(layer, neuron)
    if layer.out_norm is not None:
        raw = layer.mlp(x if layer.norm is None else layer.norm(x))
        written = written / float(layer.out_norm.scale(raw).double().mean())
    return float(written @ readout_directions(readout, cls)[1])
