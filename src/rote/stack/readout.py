"""The linear map from the residual stream to a relation's class scores."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize_scalar
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Readout:
    """scores(x) = (x − centre)·weight; probabilities = softmax(scores / temperature).

    Source: Fact Finding, post 2 (attribute extraction as a linear map). Scores are in logits.
    """

    relation: str
    classes: tuple[str, ...]
    weight: Float[Tensor, "d_model cls"]
    centre: Float[Tensor, " d_model"]
    temperature: float = 1.0

    def scores(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... cls"]:
        """Class scores, in logits before the temperature."""
        return (x - self.centre) @ self.weight

    def log_probs(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... cls"]:
        """Log-probabilities of the classes, in nats."""
        return torch.log_softmax(self.scores(x) / self.temperature, dim=-1)

    def predict(self, x: Float[Tensor, "... d_model"]) -> Int[np.ndarray, "..."]:
        """The index of the class with the highest score."""
        predicted: Int[np.ndarray, "..."] = self.scores(x).argmax(-1).cpu().numpy()
        return predicted

    def centred_on(self, x: Float[Tensor, "entity d_model"]) -> Readout:
        """The same map with another centre: the mean of x."""
        return replace(self, centre=x.mean(0))

    def calibrated(
        self,
        x: Float[Tensor, "entity d_model"],
        cls: Int[np.ndarray, " entity"],
        use: Bool[np.ndarray, " entity"],
    ) -> Readout:
        """The same map with the one temperature that minimises the mean loss on the entities in `use`.

        Targets are smoothed as Platt (1999) does, (n + 1)/(n + classes) for the right class: where every entity is
        read rightly, a sharper readout would always fit better, and no temperature would be the best.
        """
        scores = self.scores(x)[torch.as_tensor(use)].double()
        n, n_cls = scores.shape
        target = torch.full_like(scores, 1 / (n + n_cls))
        target[torch.arange(n), torch.as_tensor(cls[use])] = (n + 1) / (n + n_cls)

        # the loss is convex in 1/temperature, so it has one minimum; in the logarithm a step is a ratio
        def loss(log_temperature: float) -> float:
            return float(torch.nn.functional.cross_entropy(scores / np.exp(log_temperature), target))

        best = minimize_scalar(loss, bounds=(-7.0, 7.0), method="bounded", options={"xatol": 1e-6})
        return replace(self, temperature=float(np.exp(best.x)))
