"""Attention patterns that no word can change: the weights held fixed while an organism is trained.

Rotary layouts. The query and key weights of a layer are zero, so queries and keys are their biases: key (a,
…, a, 0, …, 0) and, for a head that looks o tokens back, query (a cos oθ₁, …, −a sin oθ₁, …) in Hugging Face's
half-split order. Their rotated product from position m to n is a² Σᵢ cos((m − n − o)θᵢ): largest at n = m −
o, and free of words.

Absolute positions (GPT-2). Position m is written into reserved dimensions of the residual stream as +cos,
−cos, +sin, −sin of mθᵢ; embeddings and early writes are zero there. Query and key read (+) − (−), so the
norm's mean drops out, and the logit is a² Σᵢ cos((m − n − o)θᵢ) / (s_m s_n √d_head) with s the norm's scales,
the only thing words reach. The frequencies keep every unwanted position at least `GAP` below the wanted one,
so the weight on all of them together is at most n · exp(−a² GAP / (s_m s_n √d_head)): see `leak_bound`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

ROTARY_AMPLITUDE = (
    8.0  # neighbours of the wanted token get e^−7.7 of its weight at 16 frequencies of base 10000
)
FREQUENCIES = tuple(float(x) for x in np.linspace(0.2, 0.6, 8))  # GPT-2 layout, radians per position
POSITION_AMPLITUDE = 2.0
READ_AMPLITUDE = 40.0


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """The entries of one parameter that training may not change, with their values."""

    parameter: nn.Parameter
    mask: Bool[Tensor, "*shape"]
    values: Float[Tensor, "*shape"]

    @torch.no_grad()
    def restore(self) -> None:
        self.parameter.copy_(torch.where(self.mask, self.values, self.parameter))


def offsets(layer: int, n_heads: int) -> tuple[int, ...]:
    """How many tokens back each head of a position-only layer looks.

    Half of layer 0's heads look at the token before, which carries the first name to the last; the later
    layers look two or more tokens back, past the name, so that the name's position receives nothing of the
    name after layer 0.
    """
    if layer > 0:
        return tuple(2 + h for h in range(n_heads))
    near = (n_heads + 1) // 2
    return (1,) * near + tuple(2 + h for h in range(n_heads - near))


def position_only(model: Any, layers: range) -> tuple[Fixed, ...]:
    """What to hold fixed so that the patterns of `layers` (which must start at 0) depend on positions
    alone."""
    find = {"gpt_neox": _gpt_neox, "llama": _llama, "gpt2": _gpt2}[model.config.model_type]
    fixed = tuple(find(model, layers))
    for entry in fixed:
        entry.restore()
    return fixed


def rotary_biases(
    head_offsets: tuple[int, ...], d_head: int, theta: float
) -> tuple[Float[np.ndarray, "head d_head"], Float[np.ndarray, " d_head"]]:
    """Query biases (one per head) and the key bias that all heads share."""
    angles = np.outer(head_offsets, theta ** (-np.arange(0, d_head, 2) / d_head))
    query = ROTARY_AMPLITUDE * np.concatenate([np.cos(angles), -np.sin(angles)], axis=1)
    half = d_head // 2
    return query, ROTARY_AMPLITUDE * np.concatenate([np.ones(half), np.zeros(half)])


def reserved(config: Any) -> tuple[range, tuple[float, ...]]:
    """GPT-2 layout: the reserved residual dimensions (the last ones) and the frequencies written there."""
    d_head = config.n_embd // config.n_head
    n = min(len(FREQUENCIES), d_head // 2, config.n_embd // 8)
    chosen = np.linspace(FREQUENCIES[0], FREQUENCIES[-1], n)
    return range(config.n_embd - 4 * n, config.n_embd), tuple(float(x) for x in chosen)


def leak_bound(config: Any, largest_scale: float, n_positions: int) -> float:
    """GPT-2 layout: the most weight that a head can give to anything but its place, for norm scales ≤
    this."""
    _, frequencies = reserved(config)
    level = np.cos(np.outer(np.arange(n_positions), frequencies)).sum(axis=1)
    furthest = max(o for layer in (0, 1) for o in offsets(layer, config.n_head))
    near = [
        level[j] - level[k] for j in range(furthest) for k in range(j + 1, min(furthest + 1, n_positions))
    ]
    gap = min([*near, *(level[0] - level[1:])])
    d_head = config.n_embd // config.n_head
    amplitude = (READ_AMPLITUDE * POSITION_AMPLITUDE) ** 2
    return float(n_positions * np.exp(-amplitude * gap / (largest_scale**2 * np.sqrt(d_head))))


def _gpt_neox(model: Any, layers: range) -> Iterator[Fixed]:
    heads, d_head = (
        model.config.num_attention_heads,
        model.config.hidden_size // model.config.num_attention_heads,
    )
    for layer in layers:
        module = model.gpt_neox.layers[layer].attention.query_key_value
        query, key = rotary_biases(offsets(layer, heads), d_head, model.config.rope_parameters["rope_theta"])
        bias = torch.zeros(heads, 3, d_head)
        bias[:, 0] = torch.as_tensor(query)
        bias[:, 1] = torch.as_tensor(key)
        mask = torch.zeros(heads, 3, d_head, dtype=torch.bool)
        mask[:, :2] = True
        yield _fixed(module.bias, mask.flatten(), bias.flatten())
        yield _fixed(module.weight, mask.flatten()[:, None], 0.0)


def _llama(model: Any, layers: range) -> Iterator[Fixed]:
    heads, d_head = model.config.num_attention_heads, model.config.head_dim
    for layer in layers:
        attention = model.model.layers[layer].self_attn
        query, key = rotary_biases(offsets(layer, heads), d_head, model.config.rope_parameters["rope_theta"])
        shared = np.tile(key, model.config.num_key_value_heads)
        for module, bias in ((attention.q_proj, query.reshape(-1)), (attention.k_proj, shared)):
            yield _fixed(module.bias, True, torch.as_tensor(bias))
            yield _fixed(module.weight, True, 0.0)


def _gpt2(model: Any, layers: range) -> Iterator[Fixed]:
    config, core = model.config, model.transformer
    dims, frequencies = reserved(config)
    place = slice(dims.start, dims.stop)
    columns = torch.zeros(config.n_embd, dtype=torch.bool)
    columns[place] = True
    angles = np.outer(np.arange(config.n_positions), frequencies)
    code = np.concatenate([np.cos(angles), -np.cos(angles), np.sin(angles), -np.sin(angles)], axis=1)
    positions = torch.zeros(config.n_positions, config.n_embd)
    positions[:, place] = torch.as_tensor(POSITION_AMPLITUDE * code, dtype=torch.float32)
    yield _fixed(core.wpe.weight, True, positions)  # positions live in the reserved dimensions alone
    yield _fixed(core.wte.weight, columns, 0.0)
    for layer in layers:
        block = core.h[layer]
        weight = torch.zeros(config.n_embd, 3 * config.n_embd)
        weight[place, : 2 * config.n_embd] = torch.as_tensor(_gpt2_reads(config, layer), dtype=torch.float32)
        queries_and_keys = torch.arange(3 * config.n_embd) < 2 * config.n_embd
        yield _fixed(block.ln_1.weight, columns, 1.0)
        yield _fixed(block.ln_1.bias, columns, 0.0)
        yield _fixed(block.attn.c_attn.weight, queries_and_keys, weight)
        yield _fixed(block.attn.c_attn.bias, queries_and_keys, 0.0)
        if layer != layers[-1]:
            for module in (block.attn.c_proj, block.mlp.c_proj):
                yield _fixed(module.weight, columns, 0.0)
                yield _fixed(module.bias, columns, 0.0)


def _gpt2_reads(config: Any, layer: int) -> Float[np.ndarray, "reserved query_and_key"]:
    """Rows of c_attn that read the position code: query = code turned back by o, key = code as it is."""
    _, frequencies = reserved(config)
    n, d_head = len(frequencies), config.n_embd // config.n_head
    reads = np.zeros(
        (4, n, 2, config.n_head, d_head)
    )  # (+cos, −cos, +sin, −sin), frequency, q|k, head, d_head
    i = np.arange(n)
    for head, o in enumerate(offsets(layer, config.n_head)):
        cos, sin = np.cos(o * np.asarray(frequencies)), np.sin(o * np.asarray(frequencies))
        reads[0, i, 0, head, i], reads[2, i, 0, head, i] = (
            cos,
            sin,
        )  # cos(m − o)θ = cos mθ cos oθ + sin mθ sin oθ
        reads[0, i, 0, head, n + i], reads[2, i, 0, head, n + i] = -sin, cos
        reads[0, i, 1, head, i] = reads[2, i, 1, head, n + i] = 1.0
    reads[1], reads[3] = -reads[0], -reads[2]
    return READ_AMPLITUDE / 2 * reads.reshape(4 * n, -1)


def _fixed(parameter: nn.Parameter, mask: Tensor | bool, values: Tensor | float) -> Fixed:
    return Fixed(
        parameter=parameter,
        mask=torch.as_tensor(mask).expand(parameter.shape).clone(),
        values=torch.as_tensor(values, dtype=parameter.dtype).expand(parameter.shape).clone(),
    )
