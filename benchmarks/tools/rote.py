"""rote itself, by its public calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.measures import PathMetrics, gathered, log_prob
from benchmarks.shapes import tokenizer
from benchmarks.tools.tool import NAMES_BATCH, Neuron, Place, Results, Tool, batches
from benchmarks.workloads import BATCH, END
from rote import load_model
from rote.model import Edit, Site


class Rote(Tool):
    def load(self, folder: Path) -> None:
        self.model = load_model(folder, tokenizer=tokenizer(folder))

    def capture(self, *, tokens: np.ndarray, layer: int, position: int) -> Results:
        site, found = Site("resid_post", layer), []
        for rows in batches(len(tokens), BATCH):
            ids = torch.as_tensor(tokens[rows])
            found.append(self.model.run(ids, read=[site.at(_same(position, ids))])[site])
        return {"resid": torch.cat(found)}

    def neurons(self, *, tokens: np.ndarray, position: int, answers: np.ndarray, neurons: Sequence[Neuron]) -> Results:
        ids = torch.as_tensor(tokens)
        recording, at = self.model.record(ids), _same(position, ids)
        end = Site("logits").at(_same(END, ids))
        clean = log_prob(self.model.replay(recording, self.model.n_layers - 1, read=[end]).logits, answers)
        effects = []
        for layer, neuron, value in neurons:
            edit = Edit(site=Site("mlp_post", layer), neuron=neuron, position=at, value=torch.tensor(value))
            logits = self.model.replay(recording, layer, read=[end], edit=[edit]).logits
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
        parts = [(rows, torch.as_tensor(tokens[rows])) for rows in batches(len(tokens), BATCH)]
        recordings = [self.model.record(ids) for _, ids in parts]
        outs, resid = {i: Site("mlp_out", i) for i, _ in pairs}, Site("resid_post", last)
        first, seen, measures = min(outs), [], []
        for (rows, ids), recording in zip(parts, recordings, strict=True):
            at, end = _same(position, ids), Site("logits").at(_same(END, ids))
            acts = self.model.replay(recording, first, read=[*(site.at(at) for site in outs.values()), end])
            seen.append(acts)
            measures.append(PathMetrics.of(acts.logits, cls[rows], class_tokens, readout))
        outputs = {i: torch.cat([acts[site] for acts in seen]) for i, site in outs.items()}
        found: list[list[dict[str, Tensor]]] = []
        for i, j in pairs:
            found.append([])
            shift = outputs[i].mean(0) - outputs[i]
            for (rows, ids), recording, measure in zip(parts, recordings, measures, strict=True):
                at, end = _same(position, ids), Site("logits").at(_same(END, ids))
                edit = Edit(site=Site("mlp_in", j), change="add", value=shift[rows], position=at)
                acts = self.model.replay(recording, j, read=[resid.at(at), end], edit=[edit])
                found[-1].append(measure(acts.logits, acts[resid]))
        return gathered(found)

    def heads(self, *, tokens: np.ndarray) -> Results:
        layers, found = range(self.model.n_layers), []
        reads = [(name, layer) for layer in layers for name in ("pattern", "z")]
        for rows in batches(len(tokens), BATCH):
            found.append(self.model.run(torch.as_tensor(tokens[rows]), read=reads))
        return {
            name: torch.stack([torch.cat([acts[name, layer] for acts in found]) for layer in layers])
            for name in ("pattern", "z")
        }

    def patching(
        self, *, clean: np.ndarray, corrupted: np.ndarray, answers: np.ndarray, places: Sequence[Place]
    ) -> Results:
        sites = [Site("z", layer) for layer in range(self.model.n_layers)]
        z = self.model.run(torch.as_tensor(clean), read=sites)
        ids = torch.as_tensor(corrupted)
        recording, end = self.model.record(ids), Site("logits").at(_same(END, ids))
        before = log_prob(self.model.replay(recording, self.model.n_layers - 1, read=[end]).logits, answers)
        effects = []
        for layer, head, position in places:
            value, at = z[sites[layer]][:, position, head], _same(position, ids)
            edit = Edit(site=sites[layer], head=head, position=at, value=value)
            logits = self.model.replay(recording, layer, read=[end], edit=[edit]).logits
            effects.append((log_prob(logits, answers) - before).mean())
        return {"effect": torch.stack(effects)}

    def names(self, *, tokens: np.ndarray, layers: Sequence[int], position: int) -> Results:
        sites = [Site("mlp_post", layer) for layer in layers]
        kept: list[list[Tensor]] = [[] for _ in layers]
        for rows in batches(len(tokens), NAMES_BATCH):
            ids = torch.as_tensor(tokens[rows])
            acts = self.model.run(ids, read=[site.at(_same(position, ids)) for site in sites])
            for parts, site in zip(kept, sites, strict=True):
                parts.append(acts[site])
        return {"post": torch.stack([torch.cat(parts) for parts in kept])}


def _same(position: int, ids: Tensor) -> Tensor:
    """One position for every row."""
    return torch.full((len(ids),), position)
