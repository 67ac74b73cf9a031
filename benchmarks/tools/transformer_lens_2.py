"""TransformerLens 2: a `HookedTransformer` without processing, so that activations mean what they do elsewhere.

`from_pretrained_no_processing` knows models of the hub by name only; for a local folder, its own steps are taken one by
one: the configuration and the weights are converted by the library, and loaded without folding or centring.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens import loading_from_pretrained as loading
from transformers import AutoModelForCausalLM

from benchmarks.shapes import tokenizer
from benchmarks.tools.lens import Lens

CONVERT = {
    "gpt_neox": loading.convert_neox_weights,
    "gpt2": loading.convert_gpt2_weights,
    "llama": loading.convert_llama_weights,
}


class Hooked(Lens):
    def load(self, folder: Path) -> None:
        module = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        config = _configuration(folder)
        weights = CONVERT[module.config.model_type](module, config)
        del module
        self.model = HookedTransformer(config, tokenizer(folder))
        self.model.load_and_process_state_dict(
            weights, fold_ln=False, center_writing_weights=False, center_unembed=False, fold_value_biases=False
        )
        self.model.eval()

    def prepare(self, workload: str) -> None:
        self.model.set_use_hook_mlp_in(workload == "paths")


def _configuration(folder: Path) -> HookedTransformerConfig:
    """Converted by the library, which guesses the family from the path where it holds a word such as `llama`."""
    with tempfile.TemporaryDirectory() as elsewhere:
        link = Path(elsewhere) / "model"
        link.symlink_to(folder.resolve())
        return loading.get_pretrained_model_config(
            str(link), device="cpu", dtype=torch.float32, default_prepend_bos=False
        )
