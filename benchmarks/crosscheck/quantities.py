"""What is compared: tiny models of three families, two prompts each way, and the names of all quantities.

A quantity is a name and an array. Sites are called as rote calls them, `site.layer`; interventions give the logits at
the prompts' end. `q` and `k` are what enters the dot product, after rotation; `k` and `v` are repeated to the query
heads; `mlp_in` is the residual stream as the MLP reads it, before its norm; `mlp_pre` is the gate's in a gated MLP.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

N_LAYERS, N_HEADS, VOCAB, LENGTH = 3, 4, 61, 9
LAYER, HEAD, POSITION = 1, 2, 4  # where interventions are made
END = LENGTH - 1
TOKENS = (7, 23)  # whose difference of logits the direct effects are on
SITES = (
    "resid_pre",
    "q",
    "k",
    "v",
    "pattern",
    "z",
    "attn_out",
    "resid_mid",
    "mlp_in",
    "mlp_pre",
    "mlp_post",
    "mlp_out",
    "resid_post",
)
PARALLEL = ("gpt_neox",)
SHARED: dict[str, Any] = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 0}
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt_neox": {
        **SHARED,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": N_HEADS,
        "hidden_size": 32,
        "intermediate_size": 48,
        "max_position_embeddings": 32,
    },
    "gpt2": {  # TransformerLens 2 reads `n_ctx`, and expects four times as many neurons as dimensions
        **SHARED,
        "n_layer": N_LAYERS,
        "n_head": N_HEADS,
        "n_embd": 32,
        "n_positions": 32,
        "n_ctx": 32,
    },
    "llama": {
        **SHARED,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": N_HEADS,
        "num_key_value_heads": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "max_position_embeddings": 32,
    },
}
INTERVENTIONS = {
    "head_ablation": "head 2 of layer 1 set to zero at all positions",
    "knockout": "layer 1 kept from looking from the end at position 4, all heads",
    "denoising": "head 2 of layer 1 at position 4: the clean prompts' z in the corrupted ones",
    "noising": "the same, the corrupted prompts' z in the clean ones",
    "direct_effects": "what each head writes at the end, through the final norm with its scale frozen, on the "
    "difference of two logits",
}


def build(family: str, folder: Path) -> Path:
    """The family's checkpoint, with norms and biases that matter."""
    from transformers import AutoConfig

    from benchmarks.shapes import save_random

    return save_random(AutoConfig.for_model(family, **CONFIGS[family]), folder / family, seed=1)


def prompts() -> tuple[np.ndarray, np.ndarray]:
    """Clean and corrupted [prompt, pos]."""
    generator = np.random.default_rng([0, 99])
    clean, corrupted = generator.integers(1, VOCAB, size=(2, 3, LENGTH))
    return clean, corrupted


def expected(family: str) -> list[str]:
    """All quantities of a family, in order."""
    sites = [site for site in SITES if site != "resid_mid" or family not in PARALLEL]
    names = [f"{site}.{layer}" for layer in range(N_LAYERS) for site in sites]
    return [*names, "final", "logits", *INTERVENTIONS]


def groups() -> dict[str, Callable[[str], bool]]:
    """Rows of the table: a site over all layers, or an intervention."""
    rows = {site: (lambda name, site=site: name.startswith(f"{site}.")) for site in SITES}
    return {**rows, **{n: (lambda name, n=n: name == n) for n in ("final", "logits", *INTERVENTIONS)}}


def direct_effects(z: Any, w_o: Any, scale: Any, norm_weight: Any, columns: Any, *, centred: bool) -> Any:
    """[prompt, layer, head] from z at the end [prompt, layer, head, d_head], W_O [layer, head, d_head, d_model],
    the final norm's scale [prompt], its weight, and the two columns of the unembedding [d_model, 2]."""
    written = (z[..., None, :] @ w_o[None])[..., 0, :]
    if centred:
        written = written - written.mean(-1, keepdims=True)
    return (written * norm_weight / scale[:, None, None, None]) @ (columns[:, 0] - columns[:, 1])
