"""Raw Hugging Face with torch's forward hooks: what everything else is held against, and the strongest plain baseline.

As transformers documents: eager attention where weights are wanted (`output_attentions`), `logits_to_keep=1` where only
the last position's logits are. A pass is ended by an exception once the last thing has been read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from benchmarks.measures import PathMetrics, gathered, log_prob
from benchmarks.tools.tool import NAMES_BATCH, Neuron, Place, Results, Tool, batches
from benchmarks.workloads import BATCH


class Done(Exception):
    """Everything has been read."""


class Hooks(Tool):
    def load(self, folder: Path) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.layers = self.model.gpt_neox.layers

    def prepare(self, workload: str) -> None:
        self.model.set_attn_implementation("eager" if workload == "heads" else "sdpa")

    # ------------------------------------------------------------------ helpers
    @contextmanager
    def _hooked(self, *hooks: tuple[Any, Callable[[Tensor], Tensor | None]]) -> Iterator[None]:
        """Each function sees the input of its module, and replaces it where it returns something."""

        def before(function: Callable[[Tensor], Tensor | None]) -> Callable[..., Any]:
            def hook(module: Any, args: Any) -> Any:
                new = function(args[0])
                return None if new is None else (new, *args[1:])

            return hook

        handles = [module.register_forward_pre_hook(before(function)) for module, function in hooks]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def _patterns(self, seen: list[Tensor]) -> Iterator[None]:
        """Every layer's attention pattern; after the last, nothing else runs."""

        def after(module: Any, args: Any, output: Any) -> None:
            seen.append(output[1])
            if len(seen) == len(self.layers):
                raise Done

        handles = [layer.attention.register_forward_hook(after) for layer in self.layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _last_logits(self, tokens: Tensor) -> Tensor:
        return self.model(tokens, logits_to_keep=1, use_cache=False).logits[:, -1]

    # ---------------------------------------------------------------- workloads
    def capture(self, *, tokens: np.ndarray, layer: int, position: int) -> Results:
        found: list[Tensor] = []

        def keep(module: Any, args: Any, output: Any) -> None:
            found.append((output[0] if isinstance(output, tuple) else output)[:, position].clone())
            raise Done

        handle = self.layers[layer].register_forward_hook(keep)
        try:
            for rows in batches(len(tokens), BATCH):
                try:
                    self.model.gpt_neox(torch.as_tensor(tokens[rows]), use_cache=False)
                except Done:
                    continue
        finally:
            handle.remove()
        return {"resid": torch.cat(found)}

    def neurons(self, *, tokens: np.ndarray, position: int, answers: np.ndarray, neurons: Sequence[Neuron]) -> Results:
        ids = torch.as_tensor(tokens)
        clean, effects = log_prob(self._last_logits(ids), answers), []
        for layer, neuron, value in neurons:

            def set_neuron(x: Tensor, neuron: int = neuron, value: float = value) -> Tensor:
                x[:, position, neuron] = value
                return x

            with self._hooked((self.layers[layer].mlp.dense_4h_to_h, set_neuron)):
                effects.append(log_prob(self._last_logits(ids), answers) - clean)
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
        ids, parts = torch.as_tensor(tokens), list(batches(len(tokens), BATCH))
        outs: dict[int, list[Tensor]] = {i: [] for i, _ in pairs}
        handles = [
            self.layers[i].mlp.register_forward_hook(lambda m, a, out, i=i: outs[i].append(out[:, position].clone()))
            for i in outs
        ]
        clean = [PathMetrics.of(self._last_logits(ids[rows]), cls[rows], class_tokens, readout) for rows in parts]
        for handle in handles:
            handle.remove()
        shift = {i: (y := torch.cat(out)).mean(0) - y for i, out in outs.items()}
        found = []
        for i, j in pairs:
            found.append([])
            for rows, measure in zip(parts, clean, strict=True):
                resid: list[Tensor] = []

                def add(x: Tensor, change: Tensor = shift[i][rows]) -> Tensor:
                    x = x.clone()  # attention reads the same tensor
                    x[:, position] += change
                    return x

                handle = self.layers[last].register_forward_hook(
                    lambda m, a, out, resid=resid: resid.append(
                        (out[0] if isinstance(out, tuple) else out)[:, position].clone()
                    )
                )
                with self._hooked((self.layers[j].post_attention_layernorm, add)):
                    logits = self._last_logits(ids[rows])
                handle.remove()
                found[-1].append(measure(logits, resid[0]))
        return gathered(found)

    def heads(self, *, tokens: np.ndarray) -> Results:
        n_heads, z, patterns = self.model.config.num_attention_heads, [], []
        for rows in batches(len(tokens), BATCH):
            kept: list[Tensor] = []
            seen: list[Tensor] = []
            with (
                self._hooked(*((layer.attention.dense, lambda x, k=kept: k.append(x)) for layer in self.layers)),
                self._patterns(seen),
                suppress(Done),
            ):
                self.model.gpt_neox(torch.as_tensor(tokens[rows]), use_cache=False)
            patterns.append(torch.stack(seen))
            z.append(torch.stack(kept).unflatten(-1, (n_heads, -1)))
        return {"pattern": torch.cat(patterns, 1), "z": torch.cat(z, 1)}

    def patching(
        self, *, clean: np.ndarray, corrupted: np.ndarray, answers: np.ndarray, places: Sequence[Place]
    ) -> Results:
        kept: list[Tensor] = []
        with self._hooked(*((layer.attention.dense, lambda x: kept.append(x)) for layer in self.layers)):
            self.model.gpt_neox(torch.as_tensor(clean), use_cache=False)
        ids, width = torch.as_tensor(corrupted), kept[0].shape[-1] // self.model.config.num_attention_heads
        before, effects = log_prob(self._last_logits(ids), answers), []
        for layer, head, position in places:
            columns = slice(head * width, (head + 1) * width)

            def put(x: Tensor, z: Tensor = kept[layer], position: int = position, columns: slice = columns) -> Tensor:
                x[:, position, columns] = z[:, position, columns]
                return x

            with self._hooked((self.layers[layer].attention.dense, put)):
                effects.append((log_prob(self._last_logits(ids), answers) - before).mean())
        return {"effect": torch.stack(effects)}

    def names(self, *, tokens: np.ndarray, layers: Sequence[int], position: int) -> Results:
        kept: dict[int, list[Tensor]] = {layer: [] for layer in layers}

        def keep(layer: int) -> Callable[[Tensor], None]:
            def see(x: Tensor) -> None:
                kept[layer].append(x[:, position].clone())
                if layer == max(layers):
                    raise Done

            return see

        for rows in batches(len(tokens), NAMES_BATCH):
            with self._hooked(*((self.layers[layer].mlp.dense_4h_to_h, keep(layer)) for layer in layers)):
                try:
                    self.model.gpt_neox(torch.as_tensor(tokens[rows]), use_cache=False)
                except Done:
                    continue
        return {"post": torch.stack([torch.cat(kept[layer]) for layer in layers])}
