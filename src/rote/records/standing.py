"""What can be said about a run folder before the study is known: refuse early, and say what `fresh` would discard."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rote.errors import RunError
from rote.records.contents import fingerprints, foreign, written_by_rote
from rote.records.lock import holder_of
from rote.records.study import read_study


@dataclass(frozen=True, kw_only=True)
class FolderStanding:
    """What a study left in a folder: how many records, tables and other files, their bytes, when last written."""

    folder: Path
    n_records: int
    n_tables: int
    others: tuple[str, ...]
    size_bytes: int
    last_written: float | None

    @property
    def empty(self) -> bool:
        return self.last_written is None

    def __str__(self) -> str:
        """For instance `23 records, 31 tables, summary.json, report.html (12.3 MB, last written 2026-11-25 22:10)`."""
        counted = ((self.n_records, "record"), (self.n_tables, "table"))
        parts = [f"{n:,} {noun}{'s' if n > 1 else ''}" for n, noun in counted if n] + list(self.others)
        when = datetime.fromtimestamp(self.last_written or 0).strftime("%Y-%m-%d %H:%M")
        return f"{', '.join(parts)} ({self.size_bytes / 1e6:.1f} MB, last written {when})"


def look(folder: str | Path, *, waiting: bool = False) -> FolderStanding:
    """What lies in a folder that a study is to use; writes nothing.

    Raises RunError where no study could use it, whatever it is about: another process writes it (unless `waiting`),
    it holds other things, a study.json of another format, or it cannot be written.
    """
    path = Path(folder)
    _refuse_unwritable(path)
    if not path.is_dir():
        return _standing(path, [])
    holder = None if waiting else holder_of(path)
    if holder is not None:
        raise RunError(
            f"{path} is in use by {holder}. Wait for it (rote study --wait does), end it, or choose another folder."
        )
    try:
        found = read_study(path)
    except RunError:
        if not fingerprints(path):  # else study.json can be written again, once the study is known
            raise
        return _standing(path, written_by_rote(path))
    if found is None and (others := foreign(path)) and not fingerprints(path):
        raise RunError(
            f"{path} is not a run folder: it has no study.json but holds {', '.join(others[:5])}. "
            "Choose a new or an empty folder."
        )
    return _standing(path, written_by_rote(path))


def _refuse_unwritable(path: Path) -> None:
    existing = next(place for place in (path, *path.absolute().parents) if place.exists() or place.is_symlink())
    if not existing.is_dir():
        raise RunError(f"{path} cannot be used as a run folder: {existing} is not a folder. Choose another.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise RunError(f"{path} cannot be used as a run folder: {existing} cannot be written. Choose another.")


def _standing(folder: Path, files: list[Path]) -> FolderStanding:
    stats = [file.stat() for file in files]
    shards = sum(file.suffix == ".shard" for file in files)
    below = sum(file.parent != folder for file in files)
    return FolderStanding(
        folder=folder,
        n_records=shards,
        n_tables=below - shards,
        others=tuple(file.name for file in files if file.parent == folder),
        size_bytes=sum(stat.st_size for stat in stats),
        last_written=max((stat.st_mtime for stat in stats), default=None),
    )
