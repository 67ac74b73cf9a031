"""What TransformerLens 2 and 4 have in common: `run_with_cache`, `run_with_hooks` and the patching utilities.

Written after the library's main demo, its activation-patching demo and `transformer_lens.patching`: only what is needed
is cached (`names_filter`), passes stop early (`stop_at_layer`), interventions are hooks by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmarks.measures import PathMetrics, gathered, log_prob
from benchmarks.tools.tool import NAMES_BATCH, Neuron, Place, Results, Tool, batches
from benchmarks.workloads import BATCH


class Lens(Tool):
    """`self.model` answers to both versions' common methods."""

    model: Any

    def _cached(self, tokens: np.ndarray, names: Sequence[str], stop: int | None = None) -> dict[str, Tensor]:
        wanted = set(names)
        _, cache = self.model.run_with_cache(
            torch.as_tensor(tokens),
            names_filter=lambda name: name in wanted,
            stop_at_layer=stop,
            return_type=None,
            **self.keep,
        )
        return {name: cache[name] for name in names}

    def _z(self, z: Tensor) -> Tensor:
        return z if z.dim() == 4 else z.unflatten(-1, (self.model.cfg.n_heads, -1))

    def capture(self, *, tokens: np.ndarray, layer: int, position: int) -> Results:
        name = f"blocks.{layer}.hook_resid_post"
        found = [
            self._cached(tokens[rows], [name], stop=layer + 1)[name][:, position].clone()
            for rows in batches(len(tokens), BATCH)
        ]
        return {"resid": torch.cat(found)}

    def neurons(self, *, tokens: np.ndarray, position: int, answers: np.ndarray, neurons: Sequence[Neuron]) -> Results:
        ids = torch.as_tensor(tokens)
        clean, effects = log_prob(self.model(ids, **self.keep)[:, -1], answers), []
        for layer, neuron, value in neurons:

            def set_neuron(post: Tensor, hook: Any, neuron: int = neuron, value: float = value) -> Tensor:
                post[:, position, neuron] = value
                return post

            hooks = [(f"blocks.{layer}.mlp.hook_post", set_neuron)]
            logits = self.model.run_with_hooks(ids, fwd_hooks=hooks, **self.keep)
            effects.append(log_prob(logits[:, -1], answers) - clean)
        return {"effect": torch.stack(effects)}

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
        """`hook_mlp_in` is what the MLP alone reads, once `use_hook_mlp_in` is set."""
        ids, parts = torch.as_tensor(tokens), list(batches(len(tokens), BATCH))
        names = {i: f"blocks.{i}.hook_mlp_out" for i, _ in pairs}
        outs: dict[int, list[Tensor]] = {i: [] for i in names}
        clean = []
        for rows in parts:
            logits, cache = self.model.run_with_cache(ids[rows], names_filter=list(names.values()), **self.keep)
            clean.append(PathMetrics.of(logits[:, -1], cls[rows], class_tokens, readout))
            for i, name in names.items():
                outs[i].append(cache[name][:, position].clone())
        shift = {i: (y := torch.cat(out)).mean(0) - y for i, out in outs.items()}
        found: list[list[dict[str, Tensor]]] = []
        for i, j in pairs:
            found.append([])
            for rows, measure in zip(parts, clean, strict=True):
                resid: list[Tensor] = []

                def add(x: Tensor, hook: Any, change: Tensor = shift[i][rows]) -> Tensor:
                    x = x.clone()
                    x[:, position] += change
                    return x

                def keep(x: Tensor, hook: Any, resid: list[Tensor] = resid) -> None:
                    resid.append(x[:, position].clone())

                hooks = [(f"blocks.{j}.hook_mlp_in", add), (f"blocks.{last}.hook_resid_post", keep)]
                logits = self.model.run_with_hooks(ids[rows], fwd_hooks=hooks, **self.keep)
                found[-1].append(measure(logits[:, -1], resid[0]))
        return gathered(found)

    def heads(self, *, tokens: np.ndarray) -> Results:
        layers = range(self.model.cfg.n_layers)
        patterns, zs = ([f"blocks.{layer}.attn.hook_{name}" for layer in layers] for name in ("pattern", "z"))
        found = [self._cached(tokens[rows], [*patterns, *zs]) for rows in batches(len(tokens), BATCH)]
        return {
            "pattern": torch.stack([torch.cat([cache[name] for cache in found]) for name in patterns]),
            "z": torch.stack([self._z(torch.cat([cache[name] for cache in found])) for name in zs]),
        }

    def patching(
        self, *, clean: np.ndarray, corrupted: np.ndarray, answers: np.ndarray, places: Sequence[Place]
    ) -> Results:
        """`get_act_patch_attn_head_out_by_pos` is this generic function over the whole grid."""
        from transformer_lens.patching import generic_activation_patch, layer_pos_head_vector_patch_setter

        names = [f"blocks.{layer}.attn.hook_z" for layer in range(self.model.cfg.n_layers)]
        cache, ids = self._cached(clean, names), torch.as_tensor(corrupted)
        before = log_prob(self.model(ids)[:, -1], answers)
        grid = pd.DataFrame([(layer, position, head) for layer, head, position in places])
        grid.columns = ["layer", "pos", "head_index"]
        effects = generic_activation_patch(
            self.model,
            ids,
            cache,
            lambda logits: (log_prob(logits[:, -1], answers) - before).mean(),
            layer_pos_head_vector_patch_setter,
            "z",
            index_df=grid,
        )
        return {"effect": effects}

    def names(self, *, tokens: np.ndarray, layers: Sequence[int], position: int) -> Results:
        names = [f"blocks.{layer}.mlp.hook_post" for layer in layers]
        kept: list[list[Tensor]] = [[] for _ in layers]
        for rows in batches(len(tokens), NAMES_BATCH):
            cache = self._cached(tokens[rows], names, stop=max(layers) + 1)
            for parts, name in zip(kept, names, strict=True):
                parts.append(cache[name][:, position].clone())
        return {"post": torch.stack([torch.cat(parts) for parts in kept])}
