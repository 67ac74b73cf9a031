"""Beginning in a run folder: whose it is, what of it holds, and study.json as it has to be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from rote.errors import RunError
from rote.records.contents import clear, fingerprints, foreign, remove_temporaries
from rote.records.files import write_atomically
from rote.records.rows import canonical_json
from rote.records.study import differences, read_study


def fingerprint_of_study(study: Mapping[str, Any]) -> str:
    """sha256 of a study's canonical JSON."""
    return sha256(canonical_json(study).encode("utf-8")).hexdigest()


def refuse_foreign(path: Path, wanted: Mapping[str, Any]) -> None:
    """RunError for a folder that holds files and no study, unless the records in it are those of this study."""
    others = foreign(path) if path.is_dir() else ()
    # Asked after the listing: another process may begin this very study between the two.
    if (path / "study.json").exists():
        return
    if others and fingerprints(path) != {fingerprint_of_study(wanted)}:
        raise RunError(
            f"{path} is not a run folder: it has no study.json but holds {', '.join(others[:5])}"
            f"{' and more' if len(others) > 5 else ''}. Choose a new or an empty folder."
        )


def begin(path: Path, wanted: Mapping[str, Any], *, fresh: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Leave study.json as wanted, under the lock; returns what was discarded for it, and what was amiss.

    RunError where another study is there and not to be discarded.
    """
    discarded: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    try:
        found = read_study(path)
        if found is not None and not fresh:
            _refuse_other_study(path, found, wanted)
    except RunError:
        if fingerprints(path) != {fingerprint_of_study(wanted)}:
            raise
        found = None
    lost = found is None and bool(fingerprints(path))
    if fresh and (found is not None or lost):
        discarded = clear(path)
    elif lost:
        notices = ("study.json was missing or damaged and is written again: the records are this study's",)
    remove_temporaries(path)
    if found is None or fresh:
        text = json.dumps(wanted, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomically(path / "study.json", text.encode("utf-8"))
    return discarded, notices


def _refuse_other_study(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    changed = differences(found, wanted)
    if changed:
        raise RunError(
            f"{path} holds another study; these differ (there -> now):\n"
            + "\n".join(f"  {line}" for line in changed)
            + "\nGo on with the same settings, choose another folder, or start over here with --fresh "
            "(fresh=True), which deletes the records in it."
        )
