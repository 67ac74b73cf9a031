"""Loading: a hub id, a folder, or a module that is already in memory becomes a checked `Model`."""

from __future__ import annotations

import copy
import hashlib
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig
from transformers.utils import logging as transformers_logging

from rote.errors import ModelRefused
from rote.facts.spans import is_panic
from rote.facts.table import cut
from rote.model.checkpoint import code_problems, folder_problems, has_safetensors
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


_HUB_ID = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")
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
    allow_pickle: bool = False,
    bos: str | None = None,
) -> Model:
    """Load a causal language model and prove that rote serves it exactly.

    Args:
        source: a hub id, a local folder, or a loaded transformers module (then `dtype`, `device` and
            `revision` are the module's own and `tokenizer` has to be given).
        device_map: how accelerate spreads the layers over devices; `auto` lets it choose.
        name: what to call the model in tables and reports; by default `source`.
        check: run the self-check and refuse a model that fails it.

        allow_pickle: read weights from pytorch_model.bin where there is no safetensors file, tensors and nothing
            else (torch.load with weights_only=True).
        bos: the token put first in every prompt instead of the tokenizer's own, also of one that is given; "none" for
            none. A study refuses a tokenizer that has none, unless this says so.

    Code in a checkpoint is never imported; there is no flag for it.

    Raises:
        ModelRefused: unknown family, missing files, pickled weights, code in the checkpoint, or a failed check with
            its figure.
    """
    options = {option: value for option, value in locals().items() if option != "source"}
    spec = None if isinstance(source, nn.Module) else ModelSpec(source=str(source), options=options)
    if isinstance(source, nn.Module):
        module = source
        name = name or str(getattr(source.config, "_name_or_path", "") or type(source).__name__)
        family = family_of(module.config)
        if tokenizer is None:
            raise ModelRefused("a loaded module came without a tokenizer; pass tokenizer=...")
        tokenizer = with_bos(tokenizer, name, bos)
    else:
        name = name or str(source)
        module, tokenizer = _read(str(source), revision, dtype, device, device_map, tokenizer, allow_pickle, bos)
        family = family_of(module.config)
    model = Model(
        module=module,
        tokenizer=tokenizer,
        family=family,
        name=name,
        revision=revision,
        without_bos=bos == "none",
        spec=spec,
    )
    if check:
        failed = [c for c in self_check(model) if not c.passed]
        if failed:
            raise ModelRefused(
                f"{name} failed the self-check: {c.name} is {c.figure:.3g}; {c.expected}" for c in failed
            )
    return model


def _read(
    name: str,
    revision: str | None,
    dtype: str,
    device: str | None,
    device_map: Any,
    tokenizer: Any,
    allow_pickle: bool,
    bos: str | None,
) -> tuple[nn.Module, Any]:
    problems = [*place_problems(dtype, device), *_files(name, allow_pickle=allow_pickle, tokenizer=tokenizer is None)]
    if problems:
        raise ModelRefused(problems)
    if dtype == "float16":
        warnings.warn("float16 overflows in some models (Pythia-70m from layer 3); bfloat16 does not", stacklevel=3)
    config = load_config(name, revision)
    pickled = allow_pickle and Path(name).is_dir() and not has_safetensors(Path(name))
    with _refusing(name):
        module, found = AutoModelForCausalLM.from_pretrained(
            name,
            config=config,
            revision=revision,
            dtype=DTYPES[dtype],
            device_map=device_map,
            use_safetensors=not pickled,
            weights_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are all named below; none is ignored
        )
    tokenizer = load_tokenizer(name, revision, bos=bos) if tokenizer is None else with_bos(tokenizer, name, bos)
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


def load_config(name: str, revision: str | None = None) -> Any:
    """A checkpoint's configuration, of a family that rote serves; ModelRefused before any code of its own could run."""
    with _refusing(name):
        described, _ = PreTrainedConfig.get_config_dict(name, revision=revision)
        problems = code_problems(name, described)
        if problems:
            raise ModelRefused(problems)
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    family_of(config)
    return config


def load_tokenizer(name: str, revision: str | None = None, *, bos: str | None = None) -> Any:
    """A checkpoint's fast tokenizer; `bos` names the token that stands first instead of its own, "none" takes it away.

    ModelRefused where there is none, or no such token.
    """
    with _refusing(name):
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, use_fast=True, trust_remote_code=False)
    return with_bos(tokenizer, name, bos)


def with_bos(tokenizer: Any, name: str, bos: str | None) -> Any:
    """The tokenizer with another token first, or with none; None leaves it as it is, and so is what was given.

    ModelRefused for a token that its vocabulary has not.
    """
    if bos is None:
        return tokenizer
    if bos != "none" and bos not in tokenizer.get_vocab():
        raise ModelRefused(
            f"the tokenizer of {name} has no token {bos!r} to put first (--bos); expected one of its "
            'vocabulary, such as its end of text, or "none" to ask without one'
        )
    changed = copy.deepcopy(tokenizer)  # the caller may go on using his own
    changed.bos_token = None if bos == "none" else bos
    return changed


def place_problems(dtype: str, device: str | None) -> list[str]:
    """Sentences about a data type that is not served, and about a device that is not here."""
    problems = []
    if dtype not in DTYPES:
        problems.append(f"dtype {dtype!r} is not known; choose one of {', '.join(DTYPES)}")
    if device is not None:
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
            what = (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
            problems.append(
                f"device {device!r} cannot be used here ({what}); expected cpu, cuda or cuda:1, and its driver"
            )
    return problems


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Whatever breaks while files are read is a refusal of these files."""
    try:
        yield
    except ModelRefused:
        raise
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # the tokenizers library panics with what is no Exception
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelRefused(
            f"cannot load {name!r}: {first} Expected a hub id or a folder with config.json, safetensors weights "
            "and a fast tokenizer"
        ) from error


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


def checkpoint_problems(name: str, *, allow_pickle: bool = False) -> list[str]:
    """Everything that is wrong with a local checkpoint before its weights are read; [] for a hub id."""
    return _files(name, allow_pickle=allow_pickle, tokenizer=True)


def _files(name: str, *, allow_pickle: bool, tokenizer: bool) -> list[str]:
    """A path that is plainly meant as one fails here, by name, before the hub is asked."""
    try:
        path = Path(name)
        there, folder = path.exists(), path.is_dir()
    except (OSError, ValueError):
        there = folder = False
    if folder:
        return folder_problems(path, allow_pickle=allow_pickle, tokenizer=tokenizer)
    if there:
        return [f"{name} is a file; expected a folder with config.json, safetensors weights and a fast tokenizer"]
    looks_like_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith("/")
    if looks_like_path or not _HUB_ID.fullmatch(name):
        return [f"no folder {cut(name)}; expected an existing folder or a hub id such as EleutherAI/pythia-2.8b"]
    return []


def weights_hash(model: Model) -> str:
    """sha256 (hex) over the names, shapes and bytes of all parameters, so that a run knows whose records it holds."""
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
