"""What cannot be served exactly is refused: by family, by file, or with the figure of the self-check that failed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from model_zoo import build, shared
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoConfig, PreTrainedTokenizerFast

from rote.errors import InputError, ModelRefused
from rote.model import Model, load_model, self_check
from rote.model import load as load_module
from rote.model.families import FAMILIES, GEMMA2, GPT2, GPT_NEOX, LLAMA, REFUSED, Family, family_of
from rote.model.load import weights_hash
from rote.model.recording import Recording

REASONS = {
    **dict.fromkeys(("falcon", "bloom", "gptj", "gpt_neo", "codegen", "mpt"), "AttentionInterface"),
    "gpt_oss": "sinks",
    "deepseek_v3": "latent",
    "mamba": "recurrent",
    "gemma3n_text": "for every layer",
    "diffllama": "two attention patterns",
    "ctrl": "no description",
}


@pytest.mark.parametrize("family", REASONS)
def test_a_family_is_refused_by_name_and_reason_before_its_weights_are_read(family: str, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=f"'{family}'.*{REASONS[family]}.*served are .*gpt_neox, .*llama"):
        family_of(AutoConfig.for_model(family))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    with pytest.raises(ModelRefused, match=f"'{family}'.*{REASONS[family]}"):
        load_model(tmp_path)


def test_refused_and_served_families_are_different_ones() -> None:
    assert not set(REFUSED) & {family.model_type for family in FAMILIES}
    with pytest.raises(ModelRefused, match="'unknown'"):
        family_of(SimpleNamespace())


def test_a_family_that_transformers_does_not_know_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "nonesuch"}))
    with pytest.raises(ModelRefused, match="nonesuch"):
        load_model(tmp_path)


SWAPPED = {"attention_norm": LLAMA.mlp_norm, "mlp_norm": LLAMA.attention_norm}
BROKEN: dict[str, tuple[str, Family, str]] = {
    "swapped norms": ("llama", dataclasses.replace(LLAMA, **SWAPPED), "weights as linear algebra"),
    "wrong layout": ("gpt_neox", dataclasses.replace(GPT_NEOX, fused="concatenated"), "weights as linear algebra"),
    "no norm offset": ("gemma2", dataclasses.replace(GEMMA2, norm_offset=0.0), "weights as linear algebra"),
    "no norm behind the MLP": ("gemma2", dataclasses.replace(GEMMA2, mlp_out_norm=None), "parts sum to residual"),
    "wrong block order": (
        "gpt_neox",
        dataclasses.replace(GPT_NEOX, parallel=lambda config: False),
        "parts sum to residual",
    ),
    "parallel by mistake": ("gpt2", dataclasses.replace(GPT2, parallel=lambda config: True), "parts sum to residual"),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_wrong_description_fails_the_check_with_its_figure(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, family, expected = BROKEN[mistake]
    model = Model(module=shared(name), tokenizer=object(), family=family, name=name)
    failed = {check.name: check for check in self_check(model) if not check.passed}
    assert expected in failed and failed[expected].figure > 1e-3
    served = Model(module=shared(name), tokenizer=object(), family=family_of(model.config), name=name)
    assert all(check.passed for check in self_check(served))
    expected = f"{name} failed the self-check: .*{expected} is [0-9.e+-]+; expected at most 1e-05"
    monkeypatch.setattr(load_module, "family_of", lambda config: family)
    with pytest.raises(ModelRefused, match=f"(?s){expected}"):
        load_model(shared(name), tokenizer=object(), name=name)


def test_attention_that_is_not_the_usual_one_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a family whose softmax has a term that rote's attention function has not."""
    from transformers.models.gpt2 import modeling_gpt2

    eager = modeling_gpt2.eager_attention_forward

    def sinking(*args: Any, **kwargs: Any) -> Any:
        out, pattern = eager(*args, **kwargs)
        return out * 0.9, pattern

    monkeypatch.setattr(modeling_gpt2, "eager_attention_forward", sinking)
    with pytest.raises(ModelRefused, match=r"identity edit is .*expected exactly 0"):
        load_model(build("gpt2"), tokenizer=object())


def test_modules_that_do_not_fit_the_description_are_refused_by_the_check_itself() -> None:
    """So `rote check`, which loads without it, says so too."""
    model = Model(module=shared("llama"), tokenizer=object(), family=GPT2, name="llama")
    with pytest.raises(ModelRefused, match=r"llama failed the self-check: its modules do not fit .* no attribute"):
        self_check(model)


def test_a_suffix_without_its_prefix_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the positions that do not run again had other keys and values than recorded."""
    prefix = Recording.prefix

    def another(*args: Any) -> Any:
        key, value = prefix(*args)
        return key, value.flip(2)

    monkeypatch.setattr(Recording, "prefix", another)
    with pytest.raises(ModelRefused, match=r"suffix replay is .*expected at most 1e-05"):
        load_model(build("gpt2"), tokenizer=object())


# ------------------------------------------------------------------ files
def tokenizer() -> PreTrainedTokenizerFast:
    words = {f"w{i}": i for i in range(61)}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(words, unk_token="w0")), unk_token="w0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build("llama").save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    return tmp_path


def test_a_folder_loads_as_the_module_that_was_saved(folder: Path) -> None:
    model = load_model(folder)
    assert (model.name, model.dtype, model.module.training) == (str(folder), torch.float32, False)
    assert weights_hash(model) == weights_hash(load_model(build("llama"), tokenizer=object(), check=False))
    assert weights_hash(model) != weights_hash(load_model(build("llama", seed=1), tokenizer=object(), check=False))
    assert model.tokenizer("w3 w5")["input_ids"] is not None
    assert load_model(folder, dtype="bfloat16", name="short").dtype == torch.bfloat16


def test_float16_warns(folder: Path) -> None:
    with pytest.warns(UserWarning, match="float16 overflows"):
        load_model(folder, dtype="float16", check=False)


def test_what_is_missing_is_said(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(ModelRefused, match=r"no config.json"):
        load_model(empty)
    for nowhere in (empty / "nowhere", "./nowhere", "a/b/c"):
        with pytest.raises(ModelRefused, match=r"no folder .*nowhere|no folder a/b/c"):
            load_model(nowhere)
    with pytest.raises(ModelRefused, match=r"dtype 'float8'.*float32, bfloat16, float16"):
        load_model(folder, dtype="float8")
    with pytest.raises(ModelRefused, match="tokenizer="):
        load_model(build("llama"))
    assert issubclass(ModelRefused, InputError)


def test_pickled_weights_are_refused(folder: Path) -> None:
    state = build("llama").state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(ModelRefused, match="safetensors"):
        load_model(folder)


def test_broken_files_are_refused(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ModelRefused, match="cannot load"):
        load_model(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelRefused, match="cannot load"):
        load_model(folder)


def test_a_checkpoint_without_some_of_its_weights_is_refused(folder: Path) -> None:
    """Else transformers would make the missing ones up at random and only print a warning."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelRefused, match=r"model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(folder)


def test_a_checkpoint_of_other_shapes_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 12}))
    with pytest.raises(
        ModelRefused, match=r"another shape: .*mlp\.down_proj\.weight has shape \(24, 20\), .*\(24, 12\)"
    ):
        load_model(folder)


def test_every_odd_weight_of_a_checkpoint_is_named_at_once(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["model.layers.9.mlp.up_proj.weight"] = torch.zeros(3, 4)
    weights["model.layers.1.mlp.up_proj.weight"] = torch.zeros(3, 4)
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelRefused) as caught:
        load_model(folder)
    lacking, extra, shape = caught.value.problems
    assert "lacks 1" in lacking and "model.layers.0.mlp.up_proj.weight" in lacking
    assert "has 1 weights that the model has not: model.layers.9.mlp.up_proj.weight" in extra
    assert "model.layers.1.mlp.up_proj.weight has shape (3, 4)" in shape


def test_rotary_tables_that_old_checkpoints_hold_are_no_odd_weights(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    build("gpt_neox").save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["gpt_neox.layers.0.attention.masked_bias"] = torch.zeros(1)
    weights["gpt_neox.layers.0.attention.rotary_emb.inv_freq"] = torch.zeros(4)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert load_model(tmp_path, tokenizer=object(), check=False).n_layers == 3


def test_a_folder_without_a_tokenizer_is_refused_unless_one_is_given(folder: Path) -> None:
    for file in folder.glob("token*"):
        file.unlink()
    with pytest.raises(ModelRefused, match="tokenizer"):
        load_model(folder)
    assert load_model(folder, tokenizer=tokenizer()).n_layers == 3
