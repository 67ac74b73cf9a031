"""What all tools do alike with the logits that they get: in float64, so that effects are above rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.workloads import METRICS


def log_prob(logits: Tensor, answers: Any) -> Tensor:
    """log p(answer) per row of the last position's logits, in float64."""
    x = logits.double()
    index = torch.as_tensor(answers)
    return x.gather(1, index[:, None])[:, 0] - x.logsumexp(-1)


@dataclass(frozen=True, kw_only=True, eq=False)
class PathMetrics:
    """The five metrics of a path ablation, against the clean log-probabilities of the same prompts."""

    cls: Tensor
    class_tokens: Tensor
    readout: Tensor
    clean: Tensor  # p over the vocabulary, in float64
    clean_entropy: Tensor

    @classmethod
    def of(cls, logits: Tensor, classes: np.ndarray, class_tokens: np.ndarray, readout: np.ndarray) -> PathMetrics:
        clean = torch.log_softmax(logits.double(), -1)
        p = clean.exp()
        return cls(
            cls=torch.as_tensor(classes),
            class_tokens=torch.as_tensor(class_tokens),
            readout=torch.as_tensor(readout),
            clean=p,
            clean_entropy=-(p * clean).sum(-1),
        )

    def __call__(self, logits: Tensor, resid: Tensor) -> dict[str, Tensor]:
        """From logits at the end and the residual stream at the subject after the window's last layer.

        KL(clean ‖ x) = log Σ exp x − Σ p·x − entropy of p, without a table of log-probabilities for each path.
        """
        x, answers = logits.double(), self.class_tokens[self.cls]
        normaliser = x.logsumexp(-1)
        return {
            "loss_nats": normaliser - x.gather(1, answers[:, None])[:, 0],
            "kl_nats": normaliser - torch.linalg.vecdot(self.clean, x) - self.clean_entropy,
            "accuracy": (logits.argmax(-1) == answers).double(),
            "accuracy_cls": (logits[:, self.class_tokens].argmax(-1) == self.cls).double(),
            "readout_accuracy": ((resid @ self.readout).argmax(-1) == self.cls).double(),
        }


def gathered(parts: Sequence[Sequence[dict[str, Tensor]]]) -> dict[str, Tensor]:
    """[pair][batch] of metrics as one [pair, prompt] tensor per metric."""
    return {name: torch.stack([torch.cat([b[name] for b in pair]) for pair in parts]) for name in METRICS}
