"""Texts and small models to read them: one whose every layer sees a known number of tokens, and its controls."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import rote
from rote.experiments.local_processing.measure import LocalProcessing
from rote.model import Model
from rote.organisms.force import position_only
from rote.organisms.layouts import Shape, build_model
from rote.organisms.tokenizer import build_tokenizer
from rote.settings import Settings
from rote.text import Text

WORDS = ("the", "of", "and", *(f"{a}{b}{c}" for a in "bdk" for b in "aeiou" for c in "lnr"))
SIGNS = (".", ",", "\n", "7")
SETTINGS = Settings(n_bootstrap=50)
SMALL = LocalProcessing(
    n_strings=10, n_tokens=4, context=40, lengths=(1, 2, 3, 5, 7, 9, 10, 20), n_common_words=3
)  # fmt: skip


def make_text(n_words: int = 3000, seed: int = 0, name: str = "made up") -> Text:
    """Random words, a third of them one of the first three, with commas, full stops, line breaks and numbers."""
    random, parts = np.random.default_rng(seed), []
    for i in range(1, n_words + 1):
        common = random.random() < 1 / 3
        parts.append(" " + str(WORDS[random.integers(3)] if common else WORDS[random.integers(3, len(WORDS))]))
        parts += [","] * (i % 7 == 0) + ["."] * (i % 10 == 0) + ["\n"] * (i % 30 == 0) + [" 7"] * (i % 23 == 0)
    return Text(name=name, documents=("".join(parts),))


def tokenizer() -> Any:
    return build_tokenizer([*(f" {word}" for word in WORDS), *SIGNS, " 7", " "])


def without_bos() -> Any:
    made = tokenizer()
    made.bos_token = None
    return made


def loaded(module: Any, tokens: Any = None) -> Model:
    return rote.load_model(module.eval(), tokenizer=tokens or tokenizer(), name="tiny")


def sliding(window: int | None, n_layers: int = 3) -> Model:
    """Attention that reaches `window` tokens, its own among them: after layer l a token depends on
    (l + 1)(window − 1) + 1 tokens; None reaches all."""
    kind = "full_attention" if window is None else "sliding_attention"
    config = AutoConfig.for_model(
        "qwen3", vocab_size=len(tokenizer()), hidden_size=32, head_dim=8, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=48, num_hidden_layers=n_layers, max_position_embeddings=128, initializer_range=0.3,
        use_sliding_window=window is not None, sliding_window=window, max_window_layers=0,
        layer_types=[kind] * n_layers,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return loaded(AutoModelForCausalLM.from_config(config, attn_implementation="eager"))


def looking_back(*, force: bool = True) -> Model:
    """GPT-2 with hand-set heads: those of layer 0 look one and two tokens back, those of layer 1 six and seven."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build_model(
            Shape(layout="gpt2", d_model=64, n_layers=2, n_heads=2), vocab_size=len(tokenizer()), bos=0, pad=2
        )
        if force:
            position_only(module, range(2), joins=0)
        else:
            for parameter in module.parameters():
                parameter.data += 0.1 * torch.randn_like(parameter)
    return loaded(module)
