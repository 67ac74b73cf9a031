"""TransformerLens 4: a `TransformerBridge` over the Hugging Face model, without compatibility mode (no folding)."""

from __future__ import annotations

from pathlib import Path

import torch
from transformer_lens.model_bridge import TransformerBridge

from benchmarks.shapes import tokenizer
from benchmarks.tools.lens import Lens


class Bridge(Lens):
    def load(self, folder: Path) -> None:
        self.model = TransformerBridge.boot_transformers(
            str(folder), device="cpu", dtype=torch.float32, tokenizer=tokenizer(folder)
        )
        self.model.eval()

    def prepare(self, workload: str) -> None:
        self.model.set_use_hook_mlp_in(workload == "paths")
