"""The models of the benchmark: shapes of the Pythia suite with random weights, written once as safetensors.

Only numpy, torch and transformers, whichever versions an environment has; nothing of rote.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VOCAB = 50_304


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One GPT-NeoX model: sizes, the layers whose neurons are asked, and after how many blocks (a) reads."""

    name: str
    n_layers: int
    d_model: int
    n_heads: int
    window: tuple[int, ...]
    blocks_read: int = 7
    d_vocab: int = VOCAB

    @property
    def d_mlp(self) -> int:
        return 4 * self.d_model

    @property
    def d_head(self) -> int:
        return self.d_model // self.n_heads

    @property
    def block_parameters(self) -> int:
        """Weights and biases of one block: attention, MLP, two norms."""
        d, m = self.d_model, self.d_mlp
        return 4 * d * d + 4 * d + 2 * d * m + m + d + 4 * d

    @property
    def n_parameters(self) -> int:
        return self.n_layers * self.block_parameters + 2 * self.d_vocab * self.d_model + 2 * self.d_model

    def config(self) -> dict[str, Any]:
        """The arguments of transformers' GPTNeoXConfig, as the Pythia models have them."""
        return {
            "vocab_size": self.d_vocab,
            "hidden_size": self.d_model,
            "num_hidden_layers": self.n_layers,
            "num_attention_heads": self.n_heads,
            "intermediate_size": self.d_mlp,
            "max_position_embeddings": 2048,
            "hidden_act": "gelu",
            "use_parallel_residual": True,
            "bos_token_id": 0,
            "eos_token_id": 0,
        }


SHAPES = (
    Shape(name="pythia-70m", n_layers=6, d_model=512, n_heads=8, window=(0, 1, 2, 3, 4), blocks_read=5),
    Shape(name="pythia-160m", n_layers=12, d_model=768, n_heads=12, window=(1, 2, 3, 4, 5)),
    Shape(name="pythia-410m", n_layers=24, d_model=1024, n_heads=16, window=(2, 3, 4, 5, 6)),
)
DEPTHS = tuple(  # what doubling the layers costs, at one width
    Shape(name=f"depth-{n}", n_layers=n, d_model=512, n_heads=8, window=(0, 1, 2, 3, 4), blocks_read=n - 1)
    for n in (6, 12, 24)
)
TINY = Shape(name="tiny", n_layers=6, d_model=64, n_heads=4, window=(0, 1, 2, 3, 4), blocks_read=5, d_vocab=500)


def shape_named(name: str) -> Shape:
    """The shape of that name; KeyError with the known ones otherwise."""
    known = {shape.name: shape for shape in (*SHAPES, *DEPTHS, TINY)}
    if name not in known:
        raise KeyError(f"no shape is called {name!r}; there are {', '.join(known)}")
    return known[name]


def build(shape: Shape, folder: Path) -> Path:
    """The shape's checkpoint, made where it is not there yet."""
    from transformers import GPTNeoXConfig

    return save_random(GPTNeoXConfig(**shape.config()), folder / shape.name)


def save_random(config: Any, folder: Path, seed: int = 0) -> Path:
    """A checkpoint of a configuration with weights from `randomise`, in `folder`."""
    import torch
    from transformers import AutoModelForCausalLM

    done = folder / "complete.json"
    if done.exists():
        return folder
    module = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomise(module, seed)
    module.save_pretrained(folder, safe_serialization=True)
    _save_tokenizer(folder)
    done.write_text(json.dumps({"seed": seed}) + "\n", encoding="utf-8")
    return folder


def _save_tokenizer(folder: Path) -> None:
    """Two words: prompts are random ids, but some tools want a tokenizer to be there."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    Tokenizer(WordLevel({"<end>": 0, "word": 1}, unk_token="<end>")).save(str(folder / "tokenizer.json"))


def tokenizer(folder: Path) -> Any:
    """The checkpoint's tokenizer, read in a way that old and new transformers agree on."""
    from transformers import PreTrainedTokenizerFast

    end = "<end>"
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        name_or_path=str(folder),
        add_bos_token=True,
        **dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), end),
    )


def randomise(module: Any, seed: int) -> None:
    """Weights under which every part matters, unlike those a configuration starts from.

    Norms 1 + 0.2·N(0,1), biases 0.1·N(0,1), embeddings N(0,1), matrices N(0,1)/√fan_in, unembedding 2·N(0,1)/√d_model,
    so that answers differ in likelihood. The neurons' output weights are scaled by exp(N(0,1) − 1) each, since trained
    models have a few neurons that matter much, and a check of single neurons needs effects above rounding.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)

    def normal(x: Any) -> Any:
        return torch.randn(x.shape, generator=generator)

    with torch.no_grad():
        for name, x in sorted(module.named_parameters()):
            if x.dim() == 1:
                norm = name.endswith("weight")
                x.copy_(1 + 0.2 * normal(x) if norm else 0.1 * normal(x))
            elif name.endswith(("embed_in.weight", "embed_tokens.weight", "wte.weight", "wpe.weight")):
                x.copy_(normal(x))
            else:
                conv1d = name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))  # GPT-2 stores [in, out]
                fan_in = x.shape[0] if conv1d else x.shape[1]
                unembeds = name.endswith(("embed_out.weight", "lm_head.weight"))
                x.copy_(normal(x) * (2 if unembeds else 1) / math.sqrt(fan_in))
                if name.endswith(("dense_4h_to_h.weight", "down_proj.weight", "mlp.c_proj.weight")):
                    scale = (torch.randn(fan_in, generator=generator) - 1).exp()  # of mean square 1
                    x.mul_(scale[:, None] if conv1d else scale)
