"""Write a model with random weights in the shape of a Pythia, to time things on: `python -m benchmarks.random_model`.

The tokenizer comes from a folder, since nothing is downloaded. Weights are drawn as GPT-NeoX's own initialisation
does, layer by layer in the wanted dtype, so that no second copy of the model is ever held.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

# name -> (layers, d_model, heads); the MLP is four times as wide
SHAPES: dict[str, tuple[int, int, int]] = {
    "pythia-70m": (6, 512, 8),
    "pythia-160m": (12, 768, 12),
    "pythia-410m": (24, 1024, 16),
    "pythia-1b": (16, 2048, 8),
    "pythia-1.4b": (24, 2048, 16),
    "pythia-2.8b": (32, 2560, 32),
}
VOCAB = 50_304
END = "<|endoftext|>"


def config(shape: str) -> GPTNeoXConfig:
    """Pythia's configuration in one of the shapes."""
    n_layers, d_model, n_heads = SHAPES[shape]
    return GPTNeoXConfig(
        vocab_size=VOCAB,
        num_hidden_layers=n_layers,
        hidden_size=d_model,
        num_attention_heads=n_heads,
        intermediate_size=4 * d_model,
        max_position_embeddings=2048,
        rotary_pct=0.25,
        use_parallel_residual=True,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
    )


def build(shape: str, dtype: torch.dtype = torch.float32, seed: int = 0, device: str = "cpu") -> GPTNeoXForCausalLM:
    """A model of this shape with weights of N(0, 0.02²), norms of one and biases of zero; a GPU draws others."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.random.fork_rng(), torch.device(device):
            torch.manual_seed(seed)
            return GPTNeoXForCausalLM(config(shape)).eval()
    finally:
        torch.set_default_dtype(before)


def write(shape: str, folder: Path, tokenizer: Path, dtype: torch.dtype, seed: int = 0, device: str = "cpu") -> None:
    """The model and a tokenizer as a checkpoint that `rote.load_model` reads."""
    if folder.exists() and any(folder.iterdir()):
        raise SystemExit(f"{folder} is not empty; choose a new folder, nothing is overwritten")
    found = sorted(tokenizer.glob("*tokenizer.json"))
    if not found:
        raise SystemExit(f"{tokenizer} holds no tokenizer.json; expected a folder with a fast tokenizer")
    build(shape, dtype, seed, device).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_file=str(found[0]), bos_token=END, eos_token=END).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder with a tokenizer.json")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="where the weights are drawn")
    given = parser.parse_args()
    write(given.shape, given.folder, given.tokenizer, getattr(torch, given.dtype), given.seed, given.device)


if __name__ == "__main__":
    main()
