"""Floating-point operations that a workload needs, counted by hand: two per multiplication with addition.

Matrix products only: projections, attention scores and mixing (over the whole square of positions, as all tools compute
it), MLPs, the unembedding. Norms, softmax and activations are left out. What is counted is the least that a method
without approximation needs here: blocks up to the last one read; after an intervention at one position only later
blocks, and of these only positions from there on.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.shapes import DEPTHS, Shape
from benchmarks.workloads import DEPTH_UNITS, LENGTH, SUBJECT, Workload, all_units, inputs, workload_named, worth


def block(shape: Shape, tokens: int, keys: int) -> int:
    """One block for `tokens` query positions that each look at `keys` positions."""
    d, m = shape.d_model, shape.d_mlp
    return 2 * tokens * (4 * d * d + 2 * d * m) + 2 * 2 * tokens * keys * d


def unembedding(shape: Shape, tokens: int) -> int:
    return 2 * tokens * shape.d_model * shape.d_vocab


def needed(workload: Workload, shape: Shape, n: int) -> int:
    """Operations of n units of a workload."""
    return {
        "capture": _capture,
        "neurons": _neurons,
        "paths": _paths,
        "heads": _heads,
        "patching": _patching,
        "names": _names,
    }[workload.name](shape, n)


def asked(workload: Workload, shape: Shape, tool: str, n: int) -> float:
    """Operations that a repetition of n units of a tool is worth (`workloads.worth`)."""
    units = worth(workload, shape, tool, n)
    if units == n:
        return needed(workload, shape, n)
    whole = all_units(workload, shape)
    return needed(workload, shape, whole) * units / whole


WHOLE_PASSES = ("neurons", "paths", "patching")  # workloads of one intervention after the other


def whole_passes(workload: Workload, shape: Shape, n: int, positions: int) -> int:
    """Operations of n units where every intervention is a pass over all blocks, with logits at so many positions."""
    x = inputs(workload, shape, n)
    prompts = {"neurons": 9, "paths": n, "patching": 2}[workload.name]
    passes = {"neurons": len(x.get("neurons", ())), "paths": len(x.get("pairs", ())), "patching": n}[workload.name]
    once = _full(shape, prompts, LENGTH, shape.n_layers) + unembedding(shape, prompts * positions)
    return (1 + passes) * once + (once if workload.name == "patching" else 0)


def growing(what: str, amounts: Sequence[int], shape: Shape) -> list[int]:
    """Operations of the runs that measure growth: with facts, with neurons, or with layers in one of both."""
    if what in ("facts", "neurons"):
        workload = workload_named("capture" if what == "facts" else "neurons")
        return [needed(workload, shape, n) for n in amounts]
    workload = workload_named(what.removeprefix("layers (").removesuffix(")"))
    depths = {depth.n_layers: depth for depth in DEPTHS}
    return [needed(workload, depths[n], DEPTH_UNITS[workload.name]) for n in amounts]


def _full(shape: Shape, prompts: int, length: int, blocks: int) -> int:
    return blocks * block(shape, prompts * length, length)


def _after(shape: Shape, prompts: int, layer: int, position: int) -> int:
    """Blocks after `layer`, positions from `position` on, and the answer's logits."""
    later = shape.n_layers - 1 - layer
    return later * block(shape, prompts * (LENGTH - position), LENGTH) + unembedding(shape, prompts)


def _capture(shape: Shape, n: int) -> int:
    return _full(shape, n, LENGTH, shape.blocks_read)


def _neurons(shape: Shape, n: int) -> int:
    clean = _full(shape, 9, LENGTH, shape.n_layers) + unembedding(shape, 9)
    chosen = inputs(workload_named("neurons"), shape, n)["neurons"]
    return clean + sum(_after(shape, 9, layer, SUBJECT) for layer, _, _ in chosen)


def _paths(shape: Shape, n: int) -> int:
    """The clean pass; per pair the MLP of j at the subject, then all that comes after it."""
    w, mlp = shape.window, 2 * n * 2 * shape.d_model * shape.d_mlp
    clean = _full(shape, n, LENGTH, shape.n_layers) + unembedding(shape, n)
    pairs = [(i, j) for i in range(len(w)) for j in range(i + 1, len(w))]
    return clean + sum(mlp + _after(shape, n, w[j], SUBJECT) for _, j in pairs)


def _heads(shape: Shape, n: int) -> int:
    """All blocks but the last, of which z is the last thing read: its query, key, value and attention."""
    d, tokens = shape.d_model, n * LENGTH
    return _full(shape, n, LENGTH, shape.n_layers - 1) + 2 * tokens * 3 * d * d + 4 * tokens * LENGTH * d


def _patching(shape: Shape, n: int) -> int:
    """Both clean passes (of one only z), then per place the output projection of one head, and all after it."""
    clean = 2 * _full(shape, 2, LENGTH, shape.n_layers) + unembedding(shape, 2)
    project = 2 * 2 * shape.d_head * shape.d_model
    places = inputs(workload_named("patching"), shape, n)["places"]
    return clean + sum(project + _after(shape, 2, layer, position) for layer, _, position in places)


def _names(shape: Shape, n: int) -> int:
    """Blocks before the window's last layer at three positions; of that layer, where the name ends, w_in.

    The first token is the same for all names and the second for each hundred, so only one position per name is needed.
    """
    last = shape.window[-1]
    return last * block(shape, n, 3) + 2 * n * shape.d_model * shape.d_mlp
