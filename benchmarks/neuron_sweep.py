"""Every neuron of five layers set to zero exactly, one at a time, timed: `python -m benchmarks.neuron_sweep MODEL`.

The model is one that `benchmarks.random_model` writes. What is measured goes into docs/neuron_sweep.json, from which
docs/benchmarks.md takes it: seconds, operations (`benchmarks/operations.py`) beside those of a bare matrix product, and
how far the effects are from those of whole forward passes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.operations import block, unembedding
from benchmarks.peak import machine
from benchmarks.shapes import Shape
from benchmarks.state import write as write_json
from rote.asking import PromptSet
from rote.facts import build_prompts, read_facts
from rote.model import Edit, Model, Site, ablate_neurons, load_model
from rote.model.ablate import answer_log_prob

RESULTS = Path("docs/neuron_sweep.json")
N_CHECKED = 24  # neurons whose effects are taken once more by whole forward passes


def main() -> int:
    """Load the model, ablate, check some effects, keep what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--facts", type=Path, default=Path(__file__).parent / "rehearsal_facts.csv")
    parser.add_argument("--layers", type=int, nargs="+", default=[2, 3, 4, 5, 6])
    parser.add_argument("--n-facts", type=int, default=9)
    parser.add_argument("--n-neurons", type=int, help="of each layer; default: all")
    parser.add_argument("--rows", type=int, default=1024, help="pairs of neuron and fact in one pass, at most")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    model = load_model(given.model, dtype=given.dtype, device=given.device, name=given.model.name)
    table = read_facts(given.facts)
    prompts = build_prompts(table, table.relations[0].name, model.tokenizer)
    asked = PromptSet.of(model, prompts.take(range(given.n_facts)), given.n_facts)
    found = sweep(model, asked, given.layers, given.n_neurons or model.d_mlp, given.rows)
    found |= {
        "model": given.model.name.removesuffix("-bfloat16").removesuffix("-float32"),
        "dtype": given.dtype,
        "device": given.device,
        "layers": given.layers,
    }
    found |= {"peak_operations_per_second": peak(model.device, model.dtype), "processor": processor(model.device)}
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    write_json(RESULTS, {**kept, f"{found['model']} {given.dtype} {given.device}": found})
    print(json.dumps(found, indent=1))
    return 0


def sweep(model: Model, asked: PromptSet, layers: list[int], n_neurons: int, rows_at_once: int) -> dict[str, Any]:
    """Seconds and operations of the sweep, and its effects beside those of whole passes."""
    _ablated(model, asked, layers[-1:], 8, rows_at_once)  # loads libraries
    _synchronize(model)
    begin = time.perf_counter()
    effects = _ablated(model, asked, layers, n_neurons, rows_at_once)
    _synchronize(model)
    seconds = time.perf_counter() - begin
    drawn = torch.randperm(len(layers) * n_neurons, generator=torch.Generator().manual_seed(0))[:N_CHECKED]
    chosen = [(int(i) // n_neurons, int(i) % n_neurons) for i in drawn]
    whole = torch.stack(
        [_whole_pass(model, asked, [_without(asked, layers[place], neuron)]) for place, neuron in chosen]
    )
    fast = torch.stack([effects[place][neuron] for place, neuron in chosen])
    clean = _whole_pass(model, asked, [])
    return {
        "seconds": round(seconds, 4),
        "interventions": len(layers) * n_neurons * len(asked),
        "operations": operations(model, asked, layers, n_neurons),
        "rows_at_once": rows_at_once,
        "checked": len(chosen) * len(asked),
        "furthest_from_whole_passes_nats": float((fast - whole).abs().max()),
        "largest_checked_effect_nats": float((whole - clean).abs().max()),
        "peak_bytes": torch.cuda.max_memory_allocated() if model.device.type == "cuda" else None,
        "model_bytes": sum(p.numel() * p.element_size() for p in model.module.parameters()),
    }


def _ablated(model: Model, asked: PromptSet, layers: list[int], n_neurons: int, rows_at_once: int) -> list[Tensor]:
    recording = model.record(asked.tokens, asked.mask)
    where = {"position": asked.subject_last, "end": asked.end, "answer": asked.answers.cpu()}
    neurons, size = torch.arange(n_neurons), {"value": 0.0, "rows_at_once": rows_at_once}
    return [ablate_neurons(model, recording, layer=layer, neurons=neurons, **where, **size) for layer in layers]


def _without(asked: PromptSet, layer: int, neuron: int) -> Edit:
    return Edit(site=Site("mlp_post", layer), neuron=neuron, value=torch.tensor(0.0), position=asked.subject_last)


def _whole_pass(model: Model, asked: PromptSet, edits: list[Edit]) -> Tensor:
    acts = model.run(asked.tokens, asked.mask, read=[Site("logits").at(asked.end)], edit=edits)
    return answer_log_prob(acts.logits, asked.answers)


def operations(model: Model, asked: PromptSet, layers: list[int], n_neurons: int) -> int:
    """What the sweep needs: later blocks at the positions from the edit to the answer, and the answer's logits."""
    length = asked.tokens.shape[1]
    shape = Shape(
        name=model.name,
        n_layers=model.n_layers,
        d_model=model.d_model,
        n_heads=model.n_heads,
        window=tuple(layers),
        d_vocab=int(model.config.vocab_size),
    )
    per_neuron = 0
    for at, end in zip(asked.subject_last.tolist(), asked.end.tolist(), strict=True):
        later = sum(model.n_layers - 1 - layer for layer in layers)
        per_neuron += later * block(shape, end + 1 - at, length) + len(layers) * unembedding(shape, 1)
    return n_neurons * per_neuron


def peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a bare product of large matrices, the best of ten."""
    n = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    times = []
    for _ in range(10):
        begin = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return 2 * n**3 / min(times)


def processor(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return str(machine(torch.get_num_threads())["processor"])


def _synchronize(model: Model) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.exit(main())
