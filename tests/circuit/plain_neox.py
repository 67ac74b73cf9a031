"""The organism run literally: transformers' own modules, one fact at a time, and a torch hook for every change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

Change = Callable[[Tensor], Tensor]
Place = tuple[str, int]  # (what, layer); what: attn_in qkv z attn_out mlp_in mlp_out resid_pre, or pattern
Trace = dict[Any, Tensor]


def put(position: int, value: Tensor) -> Change:
    """Replace one position."""

    def change(x: Tensor) -> Tensor:
        x = x.clone()
        x[position] = value
        return x

    return change


def add(position: int, value: Tensor) -> Change:
    def change(x: Tensor) -> Tensor:
        x = x.clone()
        x[position] += value
        return x

    return change


def chain(*changes: Change) -> Change:
    def change(x: Tensor) -> Tensor:
        for one in changes:
            x = one(x)
        return x

    return change


class PlainNeoX:
    """A GPT-NeoX checkpoint in eager attention; every trace is of one prompt, tensors are [pos, ...]."""

    def __init__(self, folder: Path) -> None:
        self.hf: Any = AutoModelForCausalLM.from_pretrained(
            folder, attn_implementation="eager", dtype=torch.float64
        ).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        config = self.hf.config
        self.n_layers, self.n_heads = config.num_hidden_layers, config.num_attention_heads
        self.d_head = config.hidden_size // config.num_attention_heads
        self.eps = config.layer_norm_eps

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        return {name: x.double() for name, x in self.hf.state_dict().items()}

    def block(self, layer: int, name: str) -> Tensor:
        return self.weights[f"gpt_neox.layers.{layer}.{name}"]

    # ----------------------------------------------------------------- weights
    def w_v(self, layer: int, head: int) -> Tensor:
        rows = slice((3 * head + 2) * self.d_head, (3 * head + 3) * self.d_head)
        return self.block(layer, "attention.query_key_value.weight")[rows].T

    def b_v(self, layer: int, head: int) -> Tensor:
        rows = slice((3 * head + 2) * self.d_head, (3 * head + 3) * self.d_head)
        return self.block(layer, "attention.query_key_value.bias")[rows]

    def w_o(self, layer: int, head: int) -> Tensor:
        return self.block(layer, "attention.dense.weight")[:, self.of_head(head)].T

    def of_head(self, head: int) -> slice:
        """A head's part of z."""
        return slice(head * self.d_head, (head + 1) * self.d_head)

    def part(self, kind: str, head: int) -> slice:
        """A head's query, key or value in the fused projection's output."""
        start = (3 * head + "qkv".index(kind)) * self.d_head
        return slice(start, start + self.d_head)

    def unembed(self, tokens: Sequence[int]) -> Tensor:
        return self.hf.get_output_embeddings().weight.detach().double()[list(tokens)].T

    def scale(self, x: Tensor) -> Tensor:
        """What a LayerNorm divides by."""
        return (x.double().var(-1, unbiased=False) + self.eps).sqrt()

    def final_logits(self, x: Tensor, scale: Tensor, tokens: Sequence[int]) -> Tensor:
        """Logits of some tokens for a final residual stream, with the final norm's scale given."""
        x = x.double()
        weight, bias = (self.weights[f"gpt_neox.final_layer_norm.{n}"] for n in ("weight", "bias"))
        return ((x - x.mean()) / scale * weight + bias) @ self.unembed(tokens)

    def layer_norm(self, layer: int, name: str, x: Tensor) -> Tensor:
        weight, bias = self.block(layer, f"{name}.weight"), self.block(layer, f"{name}.bias")
        return (x - x.mean(-1, keepdim=True)) / self.scale(x)[..., None] * weight + bias

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        """An MLP with its norm, in float64, for a residual stream."""
        x = self.layer_norm(layer, "post_attention_layernorm", x.double())
        hidden = x @ self.block(layer, "mlp.dense_h_to_4h.weight").T + self.block(layer, "mlp.dense_h_to_4h.bias")
        hidden = torch.nn.functional.gelu(hidden)
        return hidden @ self.block(layer, "mlp.dense_4h_to_h.weight").T + self.block(layer, "mlp.dense_4h_to_h.bias")

    # ----------------------------------------------------------------- forward
    def run(self, ids: Sequence[int], changes: Mapping[Place, Any] | None = None) -> Trace:
        """One forward pass; `changes[what, layer]` maps [pos, width] to the same shape, ("pattern", layer) is a
        tensor [head, query, key] that takes the place of the softmax. The trace holds everything after changes."""
        changes, trace, handles = dict(changes or {}), {}, []

        def shown(place: Place, x: Tensor) -> Tensor:
            if place in changes:
                x = changes[place](x[0])[None]
            trace[place] = x[0].detach()
            return x

        def before(place: Place) -> Any:
            def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
                if args:
                    return (shown(place, args[0]), *args[1:]), kwargs
                return args, {**kwargs, "hidden_states": shown(place, kwargs["hidden_states"])}

            return hook

        def after(place: Place) -> Any:
            def hook(module: Any, args: Any, output: Any) -> Any:
                if isinstance(output, tuple):
                    return (shown(place, output[0]), *output[1:])
                return shown(place, output)

            return hook

        for layer, block in enumerate(self.hf.gpt_neox.layers):
            pattern = changes.get(("pattern", layer))
            if pattern is not None:
                changes["z", layer] = lambda z, p=pattern, n=layer: self._mixed(p, trace["qkv", n])
            inputs = {
                "resid_pre": block,
                "attn_in": block.input_layernorm,
                "mlp_in": block.post_attention_layernorm,
                "z": block.attention.dense,
            }
            outputs = {
                "qkv": block.attention.query_key_value,
                "attn_out": block.attention.dense,
                "mlp_out": block.mlp,
                "resid_post": block,
            }
            for name, module in inputs.items():
                handles.append(module.register_forward_pre_hook(before((name, layer)), with_kwargs=True))
            for name, module in outputs.items():
                handles.append(module.register_forward_hook(after((name, layer))))
        try:
            with torch.no_grad():
                output = self.hf(torch.tensor([list(ids)]), output_attentions=True, use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
        for layer, pattern in enumerate(output.attentions):
            trace["pattern", layer] = pattern[0]
        trace["logits"] = output.logits[0].double()
        return trace

    def _mixed(self, pattern: Tensor, qkv: Tensor) -> Tensor:
        """Values mixed by a given pattern."""
        heads = [pattern[h].double() @ qkv[:, self.part("v", h)] for h in range(self.n_heads)]
        return torch.cat(heads, dim=-1)
