"""study.json: what decides every number of a run, and how two studies differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rote.errors import RunError

FORMAT_VERSION = 2


def read_study(folder: Path) -> dict[str, Any] | None:
    """The study of a run folder, None where there is no study.json; RunError where it cannot be rote's."""
    path = folder / "study.json"
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_bytes())
        version = found["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} cannot be read as a study of rote ({type(error).__name__}: {error}). "
            "Choose another folder, or delete this one by hand if nothing in it is needed."
        ) from error
    if version != FORMAT_VERSION:
        raise RunError(
            f"{path} has format version {version!r}, this rote reads {FORMAT_VERSION}: its records are of "
            "another version of rote. Read it with the version that wrote it (study.json says which, under versions), "
            "or run the study again in another folder."
        )
    return dict(found)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """A line `field: old -> new` for each that differs; nested fields with dots, in the order of new."""
    before, after = dict(_fields(old)), dict(_fields(new))
    names = list(after) + [name for name in before if name not in after]
    return [
        f"{name}: {_shown(before, name)} -> {_shown(after, name)}"
        for name in names
        if name not in before or name not in after or before[name] != after[name]
    ]


def _fields(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _fields(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(item, sort_keys=True, ensure_ascii=False)


def _shown(fields: Mapping[str, str], name: str) -> str:
    text = fields.get(name, "(not set)")
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"
