"""rote itself, by its public calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.measures import PathMetrics, gathered, log_prob
from benchmarks.shapes import tokenizer
from benchmarks.tools.tool import Neuron, Place, Results, Tool, batches
from benchmarks.workloads import BATCH, END
from rote import load_model
from rote.model import Site, ablate_neurons, path_shift, replay_after

ROWS = 256  # pairs of neuron and prompt in one pass
NEIGHBOURS = 16  # patches in one pass: with more, more positions run in vain


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
        at, end = _same(position, ids), _same(END, ids)
        recording = self.model.record(ids, read=[Site("logits").at(end)])
        answer, effect = torch.as_tensor(answers), torch.empty(len(neurons), len(ids), dtype=torch.float64)
        clean = log_prob(recording.read.logits, answers)
        for layer in sorted({layer for layer, _, _ in neurons}):
            mine = [i for i, (where, _, _) in enumerate(neurons) if where == layer]
            ablated = ablate_neurons(
                self.model,
                recording,
                layer=layer,
                neurons=torch.tensor([neurons[i][1] for i in mine]),
                value=torch.tensor([[neurons[i][2]] for i in mine]),
                position=at,
                end=end,
                answer=answer,
                rows_at_once=ROWS,
            )
            effect[mine] = ablated.double() - clean
        return {"effect": effect}

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
        outs = {i: Site("mlp_out", i) for i in sorted({i for i, _ in pairs})}
        ins = {j: Site("mlp_in", j) for j in sorted({j for _, j in pairs})}
        resid, recordings, measures = Site("resid_post", last), [], []
        for rows, ids in parts:
            at, end = _same(position, ids), Site("logits").at(_same(END, ids))
            reads = [*(site.at(at) for site in (*outs.values(), *ins.values())), end]
            recordings.append(self.model.record(ids, read=reads))
            measures.append(PathMetrics.of(recordings[-1].read.logits, cls[rows], class_tokens, readout))
        seen = [recording.read for recording in recordings]
        means = {i: torch.cat([acts[site] for acts in seen]).mean(0) for i, site in outs.items()}
        found: list[list[dict[str, Tensor]]] = []
        for i, j in pairs:
            found.append([])
            for (_, ids), recording, acts, measure in zip(parts, recordings, seen, measures, strict=True):
                at, end = _same(position, ids), Site("logits").at(_same(END, ids))
                shift = path_shift(self.model, j, reads=acts[ins[j]], change=means[i] - acts[outs[i]])
                after = replay_after(self.model, recording, j, shift, position=at, read=[resid.at(at), end])
                found[-1].append(measure(after.logits, after[resid]))
        return gathered(found)

    def heads(self, *, tokens: np.ndarray) -> Results:
        model, (n, length), found = self.model, tokens.shape, {}
        reads = [Site(name, layer) for layer in range(model.n_layers) for name in ("pattern", "z")]
        found["pattern"] = torch.empty(model.n_layers, n, model.n_heads, length, length)
        found["z"] = torch.empty(model.n_layers, n, length, model.n_heads, model.d_head)
        for rows in batches(n, BATCH):
            for site, value in model.run(torch.as_tensor(tokens[rows]), read=reads).items():
                found[site.name][site.layer, rows] = value
        return found

    def patching(
        self, *, clean: np.ndarray, corrupted: np.ndarray, answers: np.ndarray, places: Sequence[Place]
    ) -> Results:
        """Heads of a layer at positions that lie close, in one pass: in parallel blocks, a head's change goes to the
        stream after its block."""
        sites = [Site("z", layer) for layer in range(self.model.n_layers)]
        ids = torch.as_tensor(corrupted)
        z, end = self.model.run(torch.as_tensor(clean), read=sites), _same(END, ids)
        recording = self.model.record(ids, read=[*sites, Site("logits").at(end)])
        acts = recording.read
        before, effect = log_prob(acts.logits, answers), torch.empty(len(places), dtype=torch.float64)
        ordered = sorted(range(len(places)), key=lambda i: (places[i][0], places[i][2]))
        for layer in range(self.model.n_layers):
            change = z[sites[layer]] - acts[sites[layer]]  # [prompt, pos, head, d_head]
            in_layer = [i for i in ordered if places[i][0] == layer]
            for part in batches(len(in_layer), NEIGHBOURS):
                mine = in_layer[part]
                chosen = [places[i] for i in mine]
                shift = [change[:, pos, head] @ self.model.head(layer, head).w_o for _, head, pos in chosen]
                rows = torch.arange(len(ids)).repeat(len(mine))
                at = torch.tensor([pos for *_, pos in chosen]).repeat_interleave(len(ids))
                read = [Site("logits").at(end[rows])]
                after = replay_after(self.model, recording, layer, torch.cat(shift), position=at, rows=rows, read=read)
                changed = log_prob(after.logits, np.tile(answers, len(mine))).unflatten(0, (len(mine), -1))
                effect[mine] = (changed - before).mean(1)
        return {"effect": effect}

    def names(self, *, tokens: np.ndarray, layers: Sequence[int], position: int) -> Results:
        """Names with one first token share all but their last position: it is run once, then only the last."""
        sites = [Site("mlp_post", layer) for layer in layers]
        starts, start = np.unique(tokens[:, :position], axis=0, return_inverse=True)
        lasts, last = np.unique(tokens[:, position], return_inverse=True)
        anything = np.full((len(starts), 1), lasts[0])
        recording = self.model.record(torch.as_tensor(np.hstack([starts, anything])))
        with_first = np.hstack([np.repeat(starts[:1], len(lasts), axis=0), lasts[:, None]])
        ids = torch.as_tensor(with_first)
        embed = self.model.run(ids, read=[Site("embed").at(_same(position, ids))])["embed"]
        kept: list[list[Tensor]] = [[] for _ in layers]
        for names in batches(len(tokens), 1024):
            rows, resid = torch.as_tensor(start.ravel()[names]), embed[torch.as_tensor(last[names])][:, None]
            reads = [site.at(_same(position, rows)) for site in sites]
            acts = self.model.replay(recording, 0, first=position, rows=rows, resid=resid, read=reads)
            for parts, site in zip(kept, sites, strict=True):
                parts.append(acts[site])
        return {"post": torch.stack([torch.cat(parts) for parts in kept])}


def _same(position: int, ids: Tensor) -> Tensor:
    """One position for every row."""
    return torch.full((len(ids),), position)
