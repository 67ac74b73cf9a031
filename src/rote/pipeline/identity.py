"""What a run's records depend on: model, facts, settings, code, libraries and the plan of its batches."""

from __future__ import annotations

import hashlib
import inspect
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from rote import errors
from rote.experiments.base import Experiment
from rote.facts import FactTable, Relation
from rote.lineup import Control
from rote.model import Model
from rote.model.load import weights_hash
from rote.records.rows import plain
from rote.settings import Settings
from rote.text import Text

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow")


def describe(
    model: Model,
    table: FactTable | None,
    relations: Sequence[Relation],
    settings: Settings,
    experiments: Sequence[Experiment],
    controls: Sequence[Control],
    *,
    not_asked: Mapping[str, str] | None = None,
    text: Text | None = None,
    rehearse: bool = False,
) -> dict[str, Any]:
    """The content of study.json: a record is reused only if all of this is the same.

    TypeError, naming the field, where an experiment or control was made with something that JSON does not know.
    """
    return {
        **({"rehearsal": True} if rehearse else {}),
        "model": model.name,
        "revision": model.revision,
        "family": model.family.model_type,
        "dtype": str(model.dtype).removeprefix("torch."),
        **({"products": "float32"} if model.float32_products else {}),
        "weights_sha256": weights_hash(model),
        "bos": getattr(model.tokenizer, "bos_token", None),
        "facts": table.name if table is not None else None,
        "facts_sha256": table.hash if table is not None else None,
        "relations": {relation.name: _asked(relation) for relation in relations},
        **({"relations_not_asked": dict(not_asked)} if not_asked else {}),
        "text": text.name if text else None,
        "text_sha256": text.hash if text else None,
        "experiments": {experiment.name: parameters(experiment) for experiment in experiments},
        "controls": {control.name: parameters(control) for control in controls},
        **_brought(experiments, controls),
        "settings": settings.as_dict(),
        "batch_plan": {
            "batch_size": settings.batch_size,
            "threads": torch.get_num_threads(),
            "device": model.device.type,
        },
        "versions": {
            "rote": version("rote-lm"),
            "rote_source_sha256": source_hash(),
            "python": platform.python_version(),
            **{name: version(name) for name in LIBRARIES},
        },
    }


def parameters(thing: Experiment | Control) -> dict[str, Any]:
    """What an experiment or a control was made with: the fields of a data class, else its public attributes.

    Raises TypeError, naming the field, for a value that JSON does not know.
    """
    names = [field.name for field in fields(thing)] if is_dataclass(thing) else sorted(vars(thing))
    return {
        n: plain(getattr(thing, n), f"{thing.name}.{n}")
        for n in names
        if n not in ("name", "card") and not n.startswith("_")
    }


def _brought(experiments: Sequence[Experiment], controls: Sequence[Control]) -> dict[str, Any]:
    """Experiments and controls that are not rote's own: their cards, for a report without their code, and that code."""
    own = [e for e in experiments if not type(e).__module__.startswith("rote.")]
    others = [c for c in controls if not type(c).__module__.startswith("rote.")]
    told: dict[str, Any] = {}
    if own:
        told["own_experiments"] = {
            e.name: {"card": plain(asdict(replace(e.card, published=()))), "source_sha256": _code(e)} for e in own
        }
    if others:
        told["own_controls"] = {c.name: {"source_sha256": _code(c)} for c in others}
    return told


def _code(thing: object) -> str | None:
    """sha256 of the file that a class stands in; None where it stands in none, such as a notebook's cell."""
    try:
        return hashlib.sha256(Path(inspect.getfile(type(thing))).read_bytes()).hexdigest()
    except (OSError, TypeError):
        return None


def _asked(relation: Relation) -> dict[str, str]:
    return {"template": relation.template, "prefix": relation.prefix}


def source_hash(*patterns: str, without: Sequence[str] = ()) -> str:
    """sha256 over rote's own Python files, by default all, so that changed code never mixes with old records.

    `without`: endings of the names of files that no number depends on.
    """
    root, digest = Path(errors.__file__).parent, hashlib.sha256()
    for path in sorted({path for pattern in patterns or ("**/*.py",) for path in root.glob(pattern)}):
        if not path.name.endswith(tuple(without)):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
