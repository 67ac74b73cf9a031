"""Loading: a hub id, a folder, or a module that is already in memory becomes a checked `Model`."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from rote.errors import InputError, MeasurementError, ModelRefused, NotApplicable
from rote.model.families import family_of
from rote.model.model import Model
from rote.model.selfcheck import self_check
from rote.model.weights import raw

_log = logging.getLogger(__name__)

# Masks and rotary tables that older versions of transformers stored; today's models compute them.
_BUFFERS = (".attention.bias", ".attention.masked_bias", ".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelSpec:
    """A model by name, not loaded: a hub id or a folder, and what `load_model` takes beside it.

    Workers elsewhere load it themselves, so that no weight travels; a folder has to be there on every node.
    """

    source: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Model:
        """The model; ModelRefused as `load_model` raises it."""
        return load_model(self.source, **self.options)


DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_model(
    source: str | Path | nn.Module,
    *,
    tokenizer: Any = None,
    revision: str | None = None,
    dtype: str = "float32",
    device: str | None = None,
    device_map: Any = None,
    name: str | None = None,
    check: bool = True,
) -> Model:
    """Load a causal language model and prove that rote serves it exactly.

    Args:
        source: a hub id, a local folder, or a loaded transformers module (then `dtype`, `device` and
            `revision` are the module's own and `tokenizer` has to be given).
        device_map: how accelerate spreads the layers over devices; `auto` lets it choose.
        name: what to call the model in tables and reports; by default `source`.
        check: run the self-check and refuse a model that fails it.

    Raises:
        ModelRefused: unknown family, missing files, pickled weights, or a failed check with its figure.
    """
    options = {option: value for option, value in locals().items() if option != "source"}
    spec = None if isinstance(source, nn.Module) else ModelSpec(source=str(source), options=options)
    if isinstance(source, nn.Module):
        module = source
        name = name or str(getattr(source.config, "_name_or_path", "") or type(source).__name__)
        family = family_of(module.config)
        if tokenizer is None:
            raise ModelRefused("a loaded module came without a tokenizer; pass tokenizer=...")
    else:
        name = name or str(source)
        module, tokenizer = _read(str(source), revision, dtype, device, device_map, tokenizer)
        family = family_of(module.config)
    model = Model(module=module, tokenizer=tokenizer, family=family, name=name, revision=revision, spec=spec)
    if check:
        try:
            failed = [c for c in self_check(model) if not c.passed]
        except (RuntimeError, AttributeError, LookupError, NotApplicable, InputError, MeasurementError) as error:
            reason = f"its modules do not fit rote's description of family {family.model_type} ({error})"
            raise ModelRefused(f"{name} failed the self-check: {reason}") from error
        if failed:
            raise ModelRefused(
                f"{name} failed the self-check: {c.name} is {c.figure:.3g}; {c.expected}" for c in failed
            )
    return model


def _read(
    name: str, revision: str | None, dtype: str, device: str | None, device_map: Any, tokenizer: Any
) -> tuple[nn.Module, Any]:
    if dtype not in DTYPES:
        raise ModelRefused(f"dtype {dtype!r} is not known; choose one of {', '.join(DTYPES)}")
    if dtype == "float16":
        warnings.warn("float16 overflows in some models (Pythia-70m from layer 3); bfloat16 does not", stacklevel=3)
    _check_folder(name)
    try:
        config = AutoConfig.from_pretrained(name, revision=revision)
        family_of(config)
        module, found = AutoModelForCausalLM.from_pretrained(
            name,
            revision=revision,
            dtype=DTYPES[dtype],
            device_map=device_map,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are all named below; none is ignored
        )
        tokenizer = tokenizer or AutoTokenizer.from_pretrained(name, revision=revision, use_fast=True)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelRefused(
            f"cannot load {name!r}: {first} Expected a hub id or a folder with config.json, safetensors weights "
            "and a fast tokenizer"
        ) from error
    _refuse_other_weights(name, found)
    outside = sum(parameter.is_meta for parameter in module.parameters())
    if outside:
        _log.warning(
            "%s does not fit the devices in device_map %r: %d of its weights are copied to them in every pass, which "
            "is exact and slow; give it more or larger GPUs (with Ray: more of them per worker)",
            name,
            device_map,
            outside,
        )
    if device is not None and device_map is None:
        module = module.to(device)
    return module.eval(), tokenizer


def _refuse_other_weights(name: str, found: Mapping[str, Any]) -> None:
    """Every tensor that is missing, left over or of another shape; transformers would only print a warning."""
    extra = [key for key in found["unexpected_keys"] if not key.endswith(_BUFFERS)]
    shapes = [
        f"{key} has shape {tuple(there)}, the configuration asks for {tuple(asked)}"
        for key, there, asked in sorted(found.get("mismatched_keys", ()))
    ]
    problems = []
    if missing := sorted(found["missing_keys"]):  # transformers has made these up at random
        problems.append(f"the checkpoint {name!r} lacks {len(missing)} of the model's weights: {_some(missing)}")
    if extra:
        problems.append(f"the checkpoint {name!r} has {len(extra)} weights that the model has not: {_some(extra)}")
    if shapes:
        problems.append(f"the checkpoint {name!r} has {len(shapes)} weights of another shape: {_some(shapes)}")
    if problems:
        raise ModelRefused([f"{problem}; expected the weights that config.json describes" for problem in problems])


def _some(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")


def hush() -> None:
    """Keep transformers from writing progress bars and notices between rote's own lines."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def _check_folder(name: str) -> None:
    """A path that is plainly meant as one fails here, by name, before the hub is asked."""
    path = Path(name)
    if path.is_dir() and not (path / "config.json").exists():
        raise ModelRefused(f"folder {name} has no config.json; expected a checkpoint in Hugging Face layout")
    looks_like_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith("/")
    if looks_like_path and not path.exists():
        raise ModelRefused(f"no folder {name}; expected an existing folder or a hub id such as EleutherAI/pythia-2.8b")


def weights_hash(model: Model) -> str:
    """sha256 over the names, shapes and bytes of all parameters, so that a run knows whose records it holds."""
    digest = hashlib.sha256()
    modules = dict(model.module.named_modules())
    tied = getattr(model.module, "all_tied_weights_keys", None) or {}
    for name, parameter in sorted(model.module.named_parameters()):
        if name in tied:  # an offloaded module has its tied weights twice
            continue
        digest.update(f"{name}:{tuple(parameter.shape)}:{parameter.dtype}".encode())
        owner, _, own = name.rpartition(".")
        value = raw(modules[owner], own)  # also where the parameter is offloaded
        assert value is not None
        digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)  # no copy
    return digest.hexdigest()
