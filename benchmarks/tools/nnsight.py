"""nnsight 0.8: traces over the Hugging Face model, one per pass, ended by `tracer.stop()` where that saves work.

After its README, its documentation of `access-and-modify` and its notes on performance (one trace per pass, not one per
value). Inputs are edited by assigning to `module.input`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nnsight
import numpy as np
import torch
from nnsight import TransformersModel
from torch import Tensor
from transformers import AutoModelForCausalLM

from benchmarks.measures import PathMetrics, gathered, log_prob
from benchmarks.shapes import tokenizer
from benchmarks.tools.tool import NAMES_BATCH, Neuron, Place, Results, Tool, batches
from benchmarks.workloads import BATCH


class Nnsight(Tool):
    def load(self, folder: Path) -> None:
        module = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.model = TransformersModel(module, tokenizer=tokenizer(folder))
        self.layers = self.model.gpt_neox.layers

    def prepare(self, workload: str) -> None:
        self.model._module.set_attn_implementation("eager" if workload == "heads" else "sdpa")

    def capture(self, *, tokens: np.ndarray, layer: int, position: int) -> Results:
        found = []
        for rows in batches(len(tokens), BATCH):
            ids = torch.as_tensor(tokens[rows])
            with self.model.trace(ids) as tracer:
                resid = self.layers[layer].output[:, position].clone().save()
                tracer.stop()
            found.append(resid)
        return {"resid": torch.cat(found)}

    def _last_logits(self, ids: Tensor) -> Tensor:
        with self.model.trace(ids, **self.keep):
            logits = self.model.output.logits[:, -1].save()
        return logits  # noqa: RET504 (a trace's body runs elsewhere: only a saved name comes out)

    def neurons(self, *, tokens: np.ndarray, position: int, answers: np.ndarray, neurons: Sequence[Neuron]) -> Results:
        ids = torch.as_tensor(tokens)
        clean, effects = log_prob(self._last_logits(ids), answers), []
        for layer, neuron, value in neurons:
            with self.model.trace(ids, **self.keep):
                self.layers[layer].mlp.dense_4h_to_h.input[:, position, neuron] = value
                logits = self.model.output.logits[:, -1].save()
            effects.append(log_prob(logits, answers) - clean)
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
        sources = sorted({i for i, _ in pairs})
        outs: dict[int, list[Tensor]] = {i: [] for i in sources}
        clean = []
        for rows in parts:
            with self.model.trace(ids[rows], **self.keep):
                seen = nnsight.save([self.layers[i].mlp.output[:, position].clone() for i in sources])
                logits = self.model.output.logits[:, -1].save()
            clean.append(PathMetrics.of(logits, cls[rows], class_tokens, readout))
            for i, out in zip(sources, seen, strict=True):
                outs[i].append(out)
        shift = {i: (y := torch.cat(out)).mean(0) - y for i, out in outs.items()}
        found: list[list[dict[str, Tensor]]] = []
        for i, j in pairs:
            found.append([])
            for rows, measure in zip(parts, clean, strict=True):
                change = shift[i][rows]
                with self.model.trace(ids[rows], **self.keep):
                    x = self.layers[j].post_attention_layernorm.input.clone()
                    x[:, position] += change
                    self.layers[j].post_attention_layernorm.input = x
                    resid = self.layers[last].output[:, position].clone().save()
                    logits = self.model.output.logits[:, -1].save()
                found[-1].append(measure(logits, resid))
        return gathered(found)

    def heads(self, *, tokens: np.ndarray) -> Results:
        n_heads, patterns, zs = self.model.config.num_attention_heads, [], []
        for rows in batches(len(tokens), BATCH):
            ids = torch.as_tensor(tokens[rows])
            pattern, z = [], []
            with self.model.trace(ids) as tracer:
                pattern, z = nnsight.save([]), nnsight.save([])
                for layer in self.layers:
                    z.append(layer.attention.dense.input)
                    pattern.append(layer.attention.output[1])
                tracer.stop()
            patterns.append(torch.stack(pattern))
            zs.append(torch.stack(z).unflatten(-1, (n_heads, -1)))
        return {"pattern": torch.cat(patterns, 1), "z": torch.cat(zs, 1)}

    def patching(
        self, *, clean: np.ndarray, corrupted: np.ndarray, answers: np.ndarray, places: Sequence[Place]
    ) -> Results:
        with self.model.trace(torch.as_tensor(clean)) as tracer:
            kept = nnsight.save([layer.attention.dense.input.clone() for layer in self.layers])
            tracer.stop()
        ids, width = torch.as_tensor(corrupted), kept[0].shape[-1] // self.model.config.num_attention_heads
        before, effects = log_prob(self._last_logits(ids), answers), []
        for layer, head, position in places:
            columns = slice(head * width, (head + 1) * width)
            z = kept[layer][:, position, columns]
            with self.model.trace(ids, **self.keep):
                self.layers[layer].attention.dense.input[:, position, columns] = z
                logits = self.model.output.logits[:, -1].save()
            effects.append((log_prob(logits, answers) - before).mean())
        return {"effect": torch.stack(effects)}

    def names(self, *, tokens: np.ndarray, layers: Sequence[int], position: int) -> Results:
        kept: list[list[Tensor]] = [[] for _ in layers]
        for rows in batches(len(tokens), NAMES_BATCH):
            ids = torch.as_tensor(tokens[rows])
            with self.model.trace(ids) as tracer:
                posts = nnsight.save(
                    [self.layers[layer].mlp.dense_4h_to_h.input[:, position].clone() for layer in layers]
                )
                tracer.stop()
            for parts, post in zip(kept, posts, strict=True):
                parts.append(post)
        return {"post": torch.stack([torch.cat(parts) for parts in kept])}
