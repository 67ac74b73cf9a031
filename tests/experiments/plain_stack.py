"""The effective model's layers by hand in float64, one name at a time."""

from __future__ import annotations

import numpy as np
from circuit_world import World
from scipy.special import erf

from rote.stack import Stack


class PlainStack:
    """The stack's layers by hand in float64; indices count its layers from 0."""

    def __init__(self, world: World, stack: Stack) -> None:
        self.world, self.stack, self.layers = world, stack, world.circuit.window.layers
        self.tables = [x.double().numpy() for x in (stack.first, stack.last, stack.constant)]
        readout = stack.readouts["sport"]
        self.weight, self.centre = readout.weight.double().numpy(), readout.centre.double().numpy()
        self.temperature = readout.temperature
        self.attention = [layer.attention.double().numpy() for layer in stack.layers]

    def input(self, first: int, last: int) -> np.ndarray:
        return self.tables[0][first] + self.tables[1][last] + self.tables[2]

    def mlp(self, index: int, x: np.ndarray) -> np.ndarray:
        plain, n = self.world.plain, self.layers[index]
        scale, shift, w_in, b_in, w_out, b_out = (
            plain.block(n, name).numpy()
            for name in (
                "post_attention_layernorm.weight", "post_attention_layernorm.bias",
                "mlp.dense_h_to_4h.weight", "mlp.dense_h_to_4h.bias",
                "mlp.dense_4h_to_h.weight", "mlp.dense_4h_to_h.bias",
            )
        )  # fmt: skip
        x = (x - x.mean()) / np.sqrt(x.var() + plain.eps) * scale + shift
        hidden = w_in @ x + b_in
        return w_out @ (hidden * (1 + erf(hidden / np.sqrt(2))) / 2) + b_out

    def run(self, x: np.ndarray, shift: dict[int, np.ndarray] | None = None, out: dict[int, np.ndarray] | None = None):  # type: ignore[no-untyped-def]
        """(streams, outputs): `shift[j]` is added to what MLP j reads, `out[i]` replaces MLP i's output."""
        streams, outputs = [x], []
        for index in range(len(self.layers)):
            read = x + (shift or {}).get(index, 0)
            y = (out or {}).get(index)
            y = self.mlp(index, read) if y is None else y
            x = x + self.attention[index] + y
            streams.append(x)
            outputs.append(y)
        return streams, outputs

    def log_probs(self, x: np.ndarray) -> np.ndarray:
        scores = (x - self.centre) @ self.weight / self.temperature
        scores = scores - scores.max()
        return scores - np.log(np.exp(scores).sum())
