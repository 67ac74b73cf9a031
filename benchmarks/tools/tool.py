"""What every tool can be asked to do. Arguments are numpy; what comes back is a dictionary of arrays or tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workloads import BATCH

NAMES_BATCH = 6 * BATCH  # names are three tokens, prompts eighteen

Place = tuple[int, int, int]  # layer, head, position
Neuron = tuple[int, int, float]  # layer, index, the value that it is set to
Results = Mapping[str, Any]


class Tool(ABC):
    """One way to look into a model. `load` comes first; every method is a workload of `benchmarks.workloads`.

    `last_only`: ask Hugging Face's model for the last position's logits alone, where a tool's guide does not.
    """

    last_only = False

    @property
    def keep(self) -> dict[str, int]:
        """What is handed on to Hugging Face's model with a pass of which only the last logits are read."""
        return {"logits_to_keep": 1} if self.last_only else {}

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Load a checkpoint in float32 for use on the CPU."""

    def prepare(self, workload: str) -> None:  # noqa: B027 (most tools have nothing to prepare)
        """Settings that a user would make once before such work; not timed."""

    @abstractmethod
    def capture(self, *, tokens: np.ndarray, layer: int, position: int) -> Results:
        """`resid` [prompt, d_model]: the residual stream after block `layer`, at one position."""

    @abstractmethod
    def neurons(self, *, tokens: np.ndarray, position: int, answers: np.ndarray, neurons: Sequence[Neuron]) -> Results:
        """`effect` [neuron, prompt]: log p(answer | neuron set at `position`) − log p(answer)."""

    @abstractmethod
    def paths(
        self,
        *,
        tokens: np.ndarray,
        position: int,
        pairs: Sequence[tuple[int, int]],
        last: int,
        cls: np.ndarray,
        class_tokens: np.ndarray,
        readout: np.ndarray,
    ) -> Results:
        """Per pair (i, j) and prompt, the five metrics when MLP j reads a stream in which MLP i's output at `position`
        is its mean over the prompts; what comes after j runs again. [pair, prompt] under each metric's name."""

    @abstractmethod
    def heads(self, *, tokens: np.ndarray) -> Results:
        """`pattern` [layer, prompt, head, query, key] and `z` [layer, prompt, pos, head, d_head], all layers."""

    @abstractmethod
    def patching(
        self, *, clean: np.ndarray, corrupted: np.ndarray, answers: np.ndarray, places: Sequence[Place]
    ) -> Results:
        """`effect` [place, prompt]: change of log p(answer) of the corrupted prompts by one head's clean z."""

    @abstractmethod
    def names(self, *, tokens: np.ndarray, layers: Sequence[int], position: int) -> Results:
        """`post` [layer, name, neuron]: activations of the neurons at one position."""


def batches(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
