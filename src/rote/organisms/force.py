"""Attention patterns that no word can change: the weights held fixed while an organism is trained.

Rotary layouts. The query and key weights of a layer are zero, so queries and keys are their biases: key (a,
…, a, 0, …, 0) and, for a head that looks o tokens back, query (a cos oθ₁, …, −a sin oθ₁, …) in Hugging Face's
half-split order. Their rotated product from position m to n is a² Σᵢ cos((m − n − o)θᵢ): largest at n = m −
o, and free of words.

Absolute positions (GPT-2). Position m > 0 is written into reserved dimensions of the residual stream as +cos,
−cos, +sin, −sin of mθᵢ and a constant +1, −1; position 0, embeddings and early writes are zero there. Query
and key read (+) − (−), so the norm's mean drops out, and the logit is a² (Σᵢ cos((m − n − o)θᵢ) − c) / (s_m
s_n √d_head) with s the norm's scales, the only thing words reach. The frequencies keep Σᵢ cos at least `gap`
below its peak off the wanted place, and c lies half-way: the wanted place is positive, every other negative,
position 0 (for whoever has no token o back) exactly zero, whatever the scales. All other places together get
at most n · exp(−a² gap / (2 s² √d_head)), s the largest scale: see `leak_bound`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rote.errors import SettingsError

ROTARY_AMPLITUDE = 8.0  # neighbours of the wanted token get e^−7.7 of its weight at 16 frequencies of base 10000
FREQUENCIES = {  # GPT-2 layout, radians per position; found by random search for a wide gap up to 127 positions
    3: (2.99, 0.48, 0.44),
    4: (0.77, 2.78, 2.69, 2.97),
    6: (0.23, 3.05, 1.96, 2.23, 2.27, 1.35),
}
POSITION_AMPLITUDE = 0.25  # small beside what words come to write, so that the norm passes those on
READ_AMPLITUDE = 512.0


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """The entries of one parameter that training may not change, with their values."""

    parameter: nn.Parameter
    mask: Bool[Tensor, "*shape"]
    values: Float[Tensor, "*shape"]

    @torch.no_grad()
    def restore(self) -> None:
        self.parameter.copy_(torch.where(self.mask, self.values, self.parameter))


def offsets(layer: int, n_heads: int, joins: int = 0) -> tuple[int, ...]:
    """How many tokens back each head of a position-only layer looks; `joins` is the layer that joins the
    name.

    Half of that layer's heads look at the token before, which carries the first name to the last. The others
    look six or more tokens back: past the name, so that the name's position receives nothing of the name in
    any other layer, and past the question, so that no fixed pattern carries an answer from the name to the
    prompt's end.
    """
    if layer != joins:
        return tuple(6 + h for h in range(n_heads))
    near = (n_heads + 1) // 2
    return (1,) * near + tuple(2 + h for h in range(n_heads - near))


def position_only(model: Any, layers: range, joins: int = 0) -> tuple[Fixed, ...]:
    """What to hold fixed so that the patterns of `layers` (from 0 on) depend on positions alone.

    KeyError for another family than GPT-NeoX, Llama and GPT-2, SettingsError as `reserved` says.
    """
    find = {"gpt_neox": _gpt_neox, "llama": _llama, "gpt2": _gpt2}[model.config.model_type]
    fixed = tuple(find(model, layers, joins))
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
    """GPT-2 layout: the reserved residual dimensions (the last ones) and the frequencies, in radians per position.

    Raises SettingsError where a head is too small for three frequencies and the constant.
    """
    d_head = config.n_embd // config.n_head
    fitting = [n for n in FREQUENCIES if 2 * n + 1 <= d_head and 4 * n + 2 <= config.n_embd // 2]
    if not fitting:
        raise SettingsError(
            f"d_model {config.n_embd} with {config.n_head} heads leaves no room for position-only patterns in the "
            "GPT-2 layout: heads of at least 7 dimensions are needed"
        )
    n = max(fitting)
    return range(config.n_embd - 4 * n - 2, config.n_embd), FREQUENCIES[n]


def leak_bound(config: Any, largest_scale: float, n_positions: int) -> float:
    """GPT-2 layout: the most weight (a fraction) that a head gives to all but its place and position 0, scales ≤ this.

    SettingsError as `reserved` says.
    """
    _, frequencies = reserved(config)
    margin = _gap(frequencies, config.n_positions) / 2
    amplitude = (READ_AMPLITUDE * POSITION_AMPLITUDE) ** 2
    d_head = config.n_embd // config.n_head
    return float(n_positions * np.exp(-amplitude * margin / (largest_scale**2 * np.sqrt(d_head))))


def _gap(frequencies: tuple[float, ...], n_positions: int) -> float:
    lags = np.arange(1, n_positions)
    return float((1 - np.cos(np.outer(lags, frequencies))).sum(axis=1).min())


def _gpt_neox(model: Any, layers: range, joins: int) -> Iterator[Fixed]:
    heads, d_head = (
        model.config.num_attention_heads,
        model.config.hidden_size // model.config.num_attention_heads,
    )
    for layer in layers:
        module = model.gpt_neox.layers[layer].attention.query_key_value
        query, key = rotary_biases(offsets(layer, heads, joins), d_head, model.config.rope_parameters["rope_theta"])
        bias = torch.zeros(heads, 3, d_head)
        bias[:, 0] = torch.as_tensor(query)
        bias[:, 1] = torch.as_tensor(key)
        mask = torch.zeros(heads, 3, d_head, dtype=torch.bool)
        mask[:, :2] = True
        yield _fixed(module.bias, mask.flatten(), bias.flatten())
        yield _fixed(module.weight, mask.flatten()[:, None], 0.0)


def _llama(model: Any, layers: range, joins: int) -> Iterator[Fixed]:
    heads, d_head = model.config.num_attention_heads, model.config.head_dim
    for layer in layers:
        attention = model.model.layers[layer].self_attn
        query, key = rotary_biases(offsets(layer, heads, joins), d_head, model.config.rope_parameters["rope_theta"])
        shared = np.tile(key, model.config.num_key_value_heads)
        for module, bias in ((attention.q_proj, query.reshape(-1)), (attention.k_proj, shared)):
            yield _fixed(module.bias, True, torch.as_tensor(bias))
            yield _fixed(module.weight, True, 0.0)


def _gpt2(model: Any, layers: range, joins: int) -> Iterator[Fixed]:
    config, core = model.config, model.transformer
    dims, frequencies = reserved(config)
    place = slice(dims.start, dims.stop)
    columns = torch.zeros(config.n_embd, dtype=torch.bool)
    columns[place] = True
    angles = np.outer(np.arange(config.n_positions), frequencies)
    one = np.ones((config.n_positions, 1))
    code = np.concatenate([np.cos(angles), -np.cos(angles), np.sin(angles), -np.sin(angles), one, -one], axis=1)
    code[0] = 0.0
    positions = torch.zeros(config.n_positions, config.n_embd)
    positions[:, place] = torch.as_tensor(POSITION_AMPLITUDE * code, dtype=torch.float32)
    yield _fixed(core.wpe.weight, True, positions)  # positions live in the reserved dimensions alone
    yield _fixed(core.wte.weight, columns, 0.0)
    for layer in layers:
        block = core.h[layer]
        weight = torch.zeros(config.n_embd, 3 * config.n_embd)
        weight[place, : 2 * config.n_embd] = torch.as_tensor(
            _gpt2_reads(config, offsets(layer, config.n_head, joins)), dtype=torch.float32
        )
        queries_and_keys = torch.arange(3 * config.n_embd) < 2 * config.n_embd
        yield _fixed(block.ln_1.weight, columns, 1.0)
        yield _fixed(block.ln_1.bias, columns, 0.0)
        yield _fixed(block.attn.c_attn.weight, queries_and_keys, weight)
        yield _fixed(block.attn.c_attn.bias, queries_and_keys, 0.0)
        if layer != layers[-1]:
            for module in (block.attn.c_proj, block.mlp.c_proj):
                yield _fixed(module.weight, columns, 0.0)
                yield _fixed(module.bias, columns, 0.0)


def _gpt2_reads(config: Any, head_offsets: tuple[int, ...]) -> Float[np.ndarray, "reserved query_and_key"]:
    """Rows of c_attn that read the position code: query = code turned back by o, key = code as it is."""
    _, frequencies = reserved(config)
    n, heads, d_head = len(frequencies), config.n_head, config.n_embd // config.n_head
    plus = np.zeros((2, n, 2, heads, d_head))  # cos|sin, frequency, query|key, head, d_head
    constant = np.zeros((2, heads, d_head))
    i = np.arange(n)
    for head, o in enumerate(head_offsets):
        cos, sin = np.cos(o * np.asarray(frequencies)), np.sin(o * np.asarray(frequencies))
        plus[0, i, 0, head, i], plus[1, i, 0, head, i] = cos, sin  # cos(m − o)θ = cos mθ cos oθ + sin mθ sin oθ
        plus[0, i, 0, head, n + i], plus[1, i, 0, head, n + i] = -sin, cos
        plus[0, i, 1, head, i] = plus[1, i, 1, head, n + i] = 1.0
    level = n - _gap(frequencies, config.n_positions) / 2
    constant[0, :, 2 * n], constant[1, :, 2 * n] = np.sqrt(level), -np.sqrt(level)
    rows = [plus[0], -plus[0], plus[1], -plus[1], constant[None], -constant[None]]
    return READ_AMPLITUDE / 2 * np.concatenate([row.reshape(len(row), -1) for row in rows])


def _fixed(parameter: nn.Parameter, mask: Tensor | bool, values: Tensor | float) -> Fixed:
    return Fixed(
        parameter=parameter,
        mask=torch.as_tensor(mask).expand(parameter.shape).clone(),
        values=torch.as_tensor(values, dtype=parameter.dtype).expand(parameter.shape).clone(),
    )
