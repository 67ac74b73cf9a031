"""What a pass has to hold beside the model: the budget that is stated with the figures of memory."""

from __future__ import annotations

from benchmarks.shapes import Shape
from benchmarks.workloads import BATCH, LENGTH, SUBJECT


def activation_bytes(shape: Shape, workload: str, neurons: int = 0) -> int:
    """The budget that is stated beside the model: what a pass over one batch has to hold, in float32.

    (a): one block's activations for one batch (stream, norms, q, k, v, z, scores, both sides of the MLP), the result.
    (b): the clean pass of 9 prompts (streams, keys and values of every block), one batch of ablated rows through one
    block from the edit on, their logits, and as much again for the softmax: of `neurons` over the window's layers, as
    many as one layer has, at most 28.
    """
    d, m, h = shape.d_model, shape.d_mlp, shape.n_heads

    def block(rows: int, positions: int) -> int:
        return 4 * rows * positions * (10 * d + 2 * m + 2 * h * LENGTH)

    if workload == "capture":
        return block(BATCH, LENGTH) + 4 * 317 * d
    rows = 9 * min(28, -(-neurons // len(shape.window)))
    recording = 4 * 9 * LENGTH * shape.n_layers * 3 * d
    prefix = 4 * rows * LENGTH * 2 * d
    return recording + prefix + block(rows, LENGTH - SUBJECT) + 3 * 4 * rows * shape.d_vocab
