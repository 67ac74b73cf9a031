"""Raw hooks as a user would write them by hand for speed: the prompts repeated, every row with its own neuron."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.measures import log_prob
from benchmarks.tools.hooks import Hooks
from benchmarks.tools.tool import Neuron, Results, batches

ROWS = 256  # pairs of neuron and prompt in one pass, as rote


class HooksBatched(Hooks):
    def neurons(self, *, tokens: np.ndarray, position: int, answers: np.ndarray, neurons: Sequence[Neuron]) -> Results:
        ids, n = torch.as_tensor(tokens), len(tokens)
        clean, effect = log_prob(self._last_logits(ids), answers), torch.empty(len(neurons), n, dtype=torch.float64)
        for layer in sorted({layer for layer, _, _ in neurons}):
            mine = [i for i, (where, _, _) in enumerate(neurons) if where == layer]
            for part in batches(len(mine), max(1, ROWS // n)):
                chosen = mine[part]
                columns = torch.tensor([neurons[i][1] for i in chosen]).repeat_interleave(n)
                values = torch.tensor([neurons[i][2] for i in chosen]).repeat_interleave(n)

                def set_neurons(x: Tensor, columns: Tensor = columns, values: Tensor = values) -> Tensor:
                    x[torch.arange(len(x)), position, columns] = values
                    return x

                with self._hooked((self.layers[layer].mlp.dense_4h_to_h, set_neurons)):
                    logits = self._last_logits(ids.repeat(len(chosen), 1))
                after = log_prob(logits, np.tile(answers, len(chosen))).unflatten(0, (len(chosen), n))
                effect[chosen] = (after - clean).double()
        return {"effect": effect}
