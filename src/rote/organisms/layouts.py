"""The three Hugging Face layouts that an organism can have, and what its size means in each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, LlamaConfig, PretrainedConfig

from rote.errors import SettingsError

Layout = Literal["gpt_neox", "llama", "gpt2"]
Force = Literal["full", "auxiliary", "none"]
MAX_POSITIONS = 128  # the rows read in training are 64 long; prompts may be longer where positions are rotary


@dataclass(frozen=True, kw_only=True)
class Shape:
    """An organism's size.

    `d_mlp` None means 5/8 d_model, or two thirds of that where the MLP is gated. That is narrow on purpose: with the
    customary 4 d_model a single MLP layer holds every fact of the bundled world, and the look-up spans no window.
    """

    layout: Layout = "gpt_neox"
    d_model: int = 128
    n_layers: int = 6
    n_heads: int = 4
    d_mlp: int | None = None

    def problems(self) -> list[str]:
        """One sentence for each thing about the shape that cannot be built."""
        found = []
        if self.layout not in LAYOUTS:
            found.append(f"layout is {self.layout!r}; known: {', '.join(LAYOUTS)}")
        if self.n_heads < 1 or self.d_model % (2 * self.n_heads):
            found.append(f"d_model is {self.d_model}; it must be a multiple of 2 × n_heads = {2 * self.n_heads}")
        if self.n_layers < 1:
            found.append(f"n_layers is {self.n_layers}; at least 1 is needed")
        return found


def build_model(shape: Shape, *, vocab_size: int, bos: int, pad: int) -> Any:
    """A causal language model of this shape with fresh weights from torch's global generator, in float32.

    Raises SettingsError with every problem of the shape.
    """
    if problems := shape.problems():
        raise SettingsError(problems)
    common = {
        "vocab_size": vocab_size,
        "bos_token_id": bos,
        "eos_token_id": bos,
        "pad_token_id": pad,
        "initializer_range": shape.d_model**-0.5 / 2,
    }
    return AutoModelForCausalLM.from_config(LAYOUTS[shape.layout](shape, common), attn_implementation="sdpa")


def _gpt_neox(shape: Shape, common: Mapping[str, Any]) -> PretrainedConfig:
    return GPTNeoXConfig(
        **common,
        hidden_size=shape.d_model,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.n_heads,
        intermediate_size=shape.d_mlp or max(8, shape.d_model * 5 // 8),
        max_position_embeddings=MAX_POSITIONS,
        use_parallel_residual=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0},
    )


def _llama(shape: Shape, common: Mapping[str, Any]) -> PretrainedConfig:
    return LlamaConfig(
        **common,
        hidden_size=shape.d_model,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.n_heads,
        num_key_value_heads=max(1, shape.n_heads // 2),
        intermediate_size=shape.d_mlp or 8 * max(1, round(shape.d_model * 5 / 96)),
        max_position_embeddings=MAX_POSITIONS,
        attention_bias=True,  # the position-only patterns live in the biases of query and key
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )


def _gpt2(shape: Shape, common: Mapping[str, Any]) -> PretrainedConfig:
    return GPT2Config(
        **common,
        n_embd=shape.d_model,
        n_layer=shape.n_layers,
        n_head=shape.n_heads,
        n_inner=shape.d_mlp or max(8, shape.d_model * 5 // 8),
        n_positions=MAX_POSITIONS,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
    )


LAYOUTS: Mapping[str, Callable[[Shape, Mapping[str, Any]], PretrainedConfig]] = {
    "gpt_neox": _gpt_neox,
    "llama": _llama,
    "gpt2": _gpt2,
}
