"""What is asked of every tool: six workloads, their inputs, and how much of each a repetition does.

Plain numpy, so that every environment makes the same inputs. An amount counts units (the thing that a workload is told
per: prompts, neurons, prompts times pairs, ...); peers may do fewer, and times are compared per unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.shapes import Shape

LENGTH, SUBJECT = 18, 10  # tokens of a prompt; where the subject ends
END = LENGTH - 1
BATCH = 64  # prompts per forward pass, for every tool
N_CLASSES = 6
METRICS = ("loss_nats", "kl_nats", "accuracy", "accuracy_cls", "readout_accuracy")
CONTINUOUS = ("loss_nats", "kl_nats")

DEPTH_UNITS = {"capture": 317, "neurons": 100}  # with which growth with layers is measured
BATCHED = {"pythia-70m": 140, "pythia-160m": 70, "pythia-410m": 35}  # neurons: 252, 126, 63 rows in a pass
CLEAN_PASSES = {"neurons": 1, "patching": 2}  # that a repetition begins with

Inputs = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One row of the table: `all_units` is the whole of it, `peer_units` what a peer does in one repetition.

    `check_units` is what every tool does once, for its results to be held against raw Hugging Face.
    """

    letter: str
    name: str
    title: str
    unit: str
    all_units: int | None  # None: as many as the shape has
    peer_units: Mapping[str, int]
    rote_units: Mapping[str, int]  # by shape, where not all
    check_units: int
    turns: int = 1  # of every tool in one round: more where a repetition is over in a second


WORKLOADS = (
    Workload(
        letter="a",
        name="capture",
        title="residual stream at the last position after 7 blocks (5 of pythia-70m), 317 prompts of 18 tokens",
        unit="prompt",
        all_units=317,
        peer_units={"pythia-70m": 192, "pythia-160m": 192, "pythia-410m": 192},
        rote_units={},
        check_units=128,
        turns=2,
    ),
    Workload(
        letter="b",
        name="neurons",
        title="exact ablation of 500 neurons, one at a time, 9 prompts each",
        unit="neuron",
        all_units=500,
        peer_units={"pythia-70m": 20, "pythia-160m": 10, "pythia-410m": 5},
        rote_units={"pythia-160m": 280, "pythia-410m": 140},
        check_units=10,
    ),
    Workload(
        letter="c",
        name="paths",
        title="all 10 MLP→MLP path ablations of a 5-layer window, 317 prompts, five metrics",
        unit="prompt",
        all_units=317,
        peer_units={"pythia-70m": 32, "pythia-160m": 24, "pythia-410m": 16},
        rote_units={"pythia-160m": 128, "pythia-410m": 64},
        check_units=8,
    ),
    Workload(
        letter="d",
        name="heads",
        title="attention patterns and head outputs (z) of all layers, 64 prompts",
        unit="prompt",
        all_units=64,
        peer_units={},
        rote_units={},
        check_units=16,
        turns=3,
    ),
    Workload(
        letter="e",
        name="patching",
        title="activation patching of every head at every position, 2 pairs of prompts",
        unit="patch",
        all_units=None,
        peer_units={"pythia-70m": 48, "pythia-160m": 24, "pythia-410m": 16},
        rote_units={"pythia-160m": 864, "pythia-410m": 864},
        check_units=24,
    ),
    Workload(
        letter="f",
        name="names",
        title="neuron activations at the last token of 10,000 two-token names in 5 layers",
        unit="name",
        all_units=10_000,
        peer_units={"pythia-70m": 1_536, "pythia-160m": 1_152, "pythia-410m": 768},
        rote_units={"pythia-410m": 4_000},
        check_units=200,
    ),
)


def workload_named(name: str) -> Workload:
    return next(w for w in WORKLOADS if w.name == name)


def units(workload: Workload, shape: Shape, tool: str, share: float = 1.0) -> int:
    """How many units one repetition of a tool does; `share` shrinks it, for trying."""
    whole = all_units(workload, shape)
    some = workload.rote_units if tool == "rote" else BATCHED if tool == "hooks_batched" else workload.peer_units
    return max(1, round(min(whole, some.get(shape.name, whole)) * share))


def all_units(workload: Workload, shape: Shape) -> int:
    return workload.all_units or shape.n_layers * shape.n_heads * LENGTH


def worth(workload: Workload, shape: Shape, tool: str, n: int) -> float:
    """How many units of the whole workload the time of a repetition of n is worth.

    (n + clean passes) · whole / (whole + clean passes) where each unit takes as long as a clean pass and every
    repetition begins with some: those few that a repetition does would bear what the whole shares out. rote: n.
    """
    clean = CLEAN_PASSES.get(workload.name, 0) if tool != "rote" else 0
    whole = all_units(workload, shape)
    return (n + clean) * whole / (whole + clean) if clean else float(n)


def inputs(workload: Workload, shape: Shape, n: int) -> dict[str, Any]:
    """The arguments of the tools' method of the same name, for n units."""
    return _INPUTS[workload.name](shape, n)


def _rng(item: int) -> np.random.Generator:
    return np.random.default_rng([0, item])


def _tokens(shape: Shape, n: int, item: int, length: int = LENGTH) -> np.ndarray:
    """The first n of a fixed sequence of prompts, whatever n is."""
    return np.asarray(_rng(item).integers(1, shape.d_vocab, size=(max(n, 1), length)))


def _capture(shape: Shape, n: int) -> dict[str, Any]:
    return {"tokens": _tokens(shape, n, 1), "layer": shape.blocks_read - 1, "position": END}


def _neurons(shape: Shape, n: int) -> dict[str, Any]:
    """Neurons in turn from each layer of the window, set to values whose effects are above float32's rounding."""
    generator = _rng(2)
    layers = [shape.window[i % len(shape.window)] for i in range(n)]
    draws = [(int(generator.integers(shape.d_mlp)), 20 * float(generator.normal())) for _ in range(n)]
    return {
        "tokens": _tokens(shape, 9, 3),
        "position": SUBJECT,
        "answers": _answers(shape, 9),
        "neurons": [(layer, neuron, value) for layer, (neuron, value) in zip(layers, draws, strict=True)],
    }


def _paths(shape: Shape, n: int) -> dict[str, Any]:
    generator, w = _rng(4), shape.window
    return {
        "tokens": _tokens(shape, n, 5),
        "position": SUBJECT,
        "pairs": [(w[i], w[j]) for i in range(len(w)) for j in range(i + 1, len(w))],
        "last": w[-1],
        "cls": _rng(6).integers(N_CLASSES, size=n),
        "class_tokens": generator.choice(shape.d_vocab, size=N_CLASSES, replace=False),
        "readout": generator.normal(size=(shape.d_model, N_CLASSES)).astype(np.float32),
    }


def _heads(shape: Shape, n: int) -> dict[str, Any]:
    return {"tokens": _tokens(shape, n, 7)}


def _patching(shape: Shape, n: int) -> dict[str, Any]:
    """Places (layer, head, position): all heads of layers and positions that lie evenly over the grid."""
    grid = [(layer, position) for layer in range(shape.n_layers) for position in range(LENGTH)]
    some = min(-(-n // shape.n_heads), len(grid))
    chosen = [grid[int((i + 0.5) * len(grid) / some)] for i in range(some)]
    places = [(layer, head, position) for layer, position in chosen for head in range(shape.n_heads)]
    return {
        "clean": _tokens(shape, 2, 8),
        "corrupted": _tokens(shape, 2, 9),
        "answers": _answers(shape, 2),
        "places": places[:n],
    }


def _names(shape: Shape, n: int) -> dict[str, Any]:
    """Names of 100 first and 100 last tokens after a first token that all share."""
    firsts, lasts = (_rng(i).choice(shape.d_vocab, size=100, replace=False) for i in (10, 11))
    index = np.arange(n)
    tokens = np.stack([np.zeros(n, dtype=int), firsts[index // 100 % 100], lasts[index % 100]], axis=1)
    return {"tokens": tokens, "layers": list(shape.window), "position": 2}


def _answers(shape: Shape, n: int) -> np.ndarray:
    return np.asarray(_rng(12).integers(shape.d_vocab, size=n))


_INPUTS = {
    "capture": _capture,
    "neurons": _neurons,
    "paths": _paths,
    "heads": _heads,
    "patching": _patching,
    "names": _names,
}
