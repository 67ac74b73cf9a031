"""pyvene: an `IntervenableModel` per intervention, after the tutorial "pyvene 101".

Reading is a `CollectIntervention`, setting a neuron or a head a `VanillaIntervention` on a subspace with the source's
representation given. pyvene has no way to
end a pass early, and reads attention patterns as the model's own `output_attentions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyvene
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from benchmarks.measures import PathMetrics, gathered, log_prob
from benchmarks.tools.tool import NAMES_BATCH, Neuron, Place, Results, Tool, batches
from benchmarks.workloads import BATCH


class Pyvene(Tool):
    def load(self, folder: Path) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.n_layers, self.n_heads = self.model.config.num_hidden_layers, self.model.config.num_attention_heads

    def prepare(self, workload: str) -> None:
        self.model.set_attn_implementation("eager" if workload == "heads" else "sdpa")
        for module in (self.model, self.model.base_model):  # pyvene takes off all hooks, transformers' own among them
            module._output_capturing_hooks_installed = False

    # ------------------------------------------------------------------ helpers
    def _reader(self, sites: Sequence[tuple[str, int]]) -> Any:
        return pyvene.IntervenableModel([_read(*site) for site in sites], model=self.model)

    def _setter(self, component: str, layer: int, kind: Any) -> Any:
        site = {"component": component, "layer": layer, "unit": "pos", "intervention_type": kind}
        return pyvene.IntervenableModel(site, model=self.model)

    def _collect(
        self, reader: Any, tokens: np.ndarray, position: int | None, **options: Any
    ) -> tuple[list[Tensor], Any]:
        """Per site of the reader [prompt, pos, width] (without `position`: all of them), and the model's output."""
        base = {"input_ids": torch.as_tensor(tokens), "logits_to_keep": 1, **options}
        where = None if position is None else {"base": position}
        (_, found), output = reader(base=base, unit_locations=where, use_cache=False)
        return list(found), output

    def _last_logits(self, tokens: np.ndarray) -> Tensor:
        return self.model(torch.as_tensor(tokens), use_cache=False, logits_to_keep=1).logits[:, -1]

    # ---------------------------------------------------------------- workloads
    def capture(self, *, tokens: np.ndarray, layer: int, position: int) -> Results:
        reader = self._reader([("block_output", layer)])
        found = [self._collect(reader, tokens[rows], position)[0][0] for rows in batches(len(tokens), BATCH)]
        return {"resid": torch.cat(found)[:, 0]}

    def neurons(self, *, tokens: np.ndarray, position: int, answers: np.ndarray, neurons: Sequence[Neuron]) -> Results:
        base = {"input_ids": torch.as_tensor(tokens), "logits_to_keep": 1}
        clean, effects = log_prob(self._last_logits(tokens), answers), []
        setters = {
            layer: self._setter("mlp_activation", layer, pyvene.VanillaIntervention)
            for layer in {layer for layer, _, _ in neurons}
        }
        for layer, neuron, value in neurons:
            source = torch.full((len(tokens), 1, self.model.config.intermediate_size), value)
            _, output = setters[layer](
                base=base,
                unit_locations={"base": position},
                source_representations=source,
                subspaces=[neuron],
                use_cache=False,
            )
            effects.append(log_prob(output.logits[:, -1], answers) - clean)
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
        """pyvene edits in place, and attention reads the stream that the MLP's norm reads: so the norm's output is set,
        computed from the clean stream, which a path into MLP j leaves as it was up to there."""
        parts, layers = list(batches(len(tokens), BATCH)), sorted({layer for pair in pairs for layer in pair})
        reader, seen, clean = self._reader([(c, i) for c in ("mlp_output", "block_input") for i in layers]), [], []
        for rows in parts:
            values, output = self._collect(reader, tokens[rows], position)
            seen.append(torch.stack(values)[:, :, 0].unflatten(0, (2, -1)))
            clean.append(PathMetrics.of(output.logits[:, -1], cls[rows], class_tokens, readout))
        outs, streams = (dict(zip(layers, x, strict=True)) for x in torch.cat(seen, 2))
        found: list[list[dict[str, Tensor]]] = []
        for i, j in pairs:
            norm = self.model.gpt_neox.layers[j].post_attention_layernorm
            mlp_input = norm(streams[j] + outs[i].mean(0) - outs[i])
            found.append([])
            for rows, measure in zip(parts, clean, strict=True):
                put = pyvene.VanillaIntervention(keep_last_dim=True, source_representation=mlp_input[rows][:, None])
                changed = pyvene.IntervenableModel(
                    [
                        {"component": "mlp_input", "layer": j, "unit": "pos", "intervention": put},
                        _read("block_output", last),
                    ],
                    model=self.model,
                )
                resid, output = self._collect(changed, tokens[rows], position)
                found[-1].append(measure(output.logits[:, -1], resid[0][:, 0]))
        return gathered(found)

    def heads(self, *, tokens: np.ndarray) -> Results:
        reader = self._reader([("attention_value_output", layer) for layer in range(self.n_layers)])
        patterns, zs = [], []
        for rows in batches(len(tokens), BATCH):
            z, output = self._collect(reader, tokens[rows], None, output_attentions=True)
            patterns.append(torch.stack(output.attentions))
            zs.append(torch.stack(z).unflatten(-1, (self.n_heads, -1)))
        return {"pattern": torch.cat(patterns, 1), "z": torch.cat(zs, 1)}

    def patching(
        self, *, clean: np.ndarray, corrupted: np.ndarray, answers: np.ndarray, places: Sequence[Place]
    ) -> Results:
        sites = [("attention_value_output", layer) for layer in range(self.n_layers)]
        kept, _ = self._collect(self._reader(sites), clean, None)
        width = kept[0].shape[-1] // self.n_heads
        base = {"input_ids": torch.as_tensor(corrupted), "logits_to_keep": 1}
        before, effects = log_prob(self._last_logits(corrupted), answers), []
        setters = {
            layer: self._setter("attention_value_output", layer, pyvene.VanillaIntervention)
            for layer in {layer for layer, _, _ in places}
        }
        for layer, head, position in places:
            _, output = setters[layer](
                base=base,
                unit_locations={"base": position},
                source_representations=kept[layer][:, position : position + 1],
                subspaces=list(range(head * width, (head + 1) * width)),
                use_cache=False,
            )
            effects.append((log_prob(output.logits[:, -1], answers) - before).mean())
        return {"effect": torch.stack(effects)}

    def names(self, *, tokens: np.ndarray, layers: Sequence[int], position: int) -> Results:
        reader, kept = self._reader([("mlp_activation", layer) for layer in layers]), []
        for rows in batches(len(tokens), NAMES_BATCH):
            kept.append(torch.stack(self._collect(reader, tokens[rows], position)[0])[:, :, 0])
        return {"post": torch.cat(kept, 1)}


def _read(component: str, layer: int) -> dict[str, Any]:
    collect = pyvene.CollectIntervention(keep_last_dim=True)
    return {"component": component, "layer": layer, "unit": "pos", "intervention": collect}
