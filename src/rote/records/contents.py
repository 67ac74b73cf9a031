"""Which files in a run folder are rote's own. Only these are ever deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rote.records.files import is_own_parquet
from rote.records.lock import EXCLUSIVE_NAME, LOCK_NAME
from rote.records.shards import fingerprint_of

OWN_FILES = (
    "summary.parquet",
    "summary.json",
    "absent.parquet",
    "absent.json",
    "outcomes.json",
    "report.html",
    "log.txt",
    "timings.json",
)
_TEMPORARY = ".*.tmp"


def written_by_rote(folder: Path) -> list[Path]:
    """The files of a run, study.json not among them. Links to folders are never followed."""
    own = [folder / name for name in OWN_FILES if (folder / name).is_file()]
    own.extend(sorted(path for place in _pages(folder) for path in place.glob("*.html") if path.is_file()))
    for experiment in _experiments(folder):
        own.extend(path for path in sorted(experiment.glob("*.parquet")) if is_own_parquet(path))
        shards = experiment / "shards"
        if shards.is_dir() and not shards.is_symlink():
            own.extend(sorted(shards.glob("*.shard")))
    return own


def fingerprints(folder: Path) -> set[str]:
    """The fingerprints of the studies whose whole records lie in a folder."""
    shards = (path for path in written_by_rote(folder) if path.suffix == ".shard")
    return {found for path in shards if (found := fingerprint_of(path.read_bytes())) is not None}


def clear(folder: Path) -> tuple[str, ...]:
    """Delete what `written_by_rote` lists, and folders that are empty then; returns the names.

    study.json stays until the new one replaces it, so that a crash in between leaves a run folder.
    """
    own = written_by_rote(folder)
    remove_temporaries(folder)
    for path in own:
        path.unlink()
    for experiment in _experiments(folder):
        _remove_if_empty(experiment / "shards")
        _remove_if_empty(experiment)
    for place in (folder / "records", *_pages(folder)):
        _remove_if_empty(place)
    return tuple(str(path.relative_to(folder)) for path in own)


def foreign(folder: Path) -> list[str]:
    """What a folder without study.json holds, but for the lock and the temporary file of an interrupted beginning."""
    # One listing: of two, the second could show a temporary file that another process made after the first.
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.name not in (LOCK_NAME, EXCLUSIVE_NAME) and not path.match(".study.json.*.tmp")
    )


def remove_temporaries(folder: Path) -> None:
    """Delete what writes that were killed left behind."""
    places = [folder, *_pages(folder)]
    for experiment in _experiments(folder):
        places.append(experiment)
        if not (experiment / "shards").is_symlink():
            places.append(experiment / "shards")
    for place in places:
        for path in place.glob(_TEMPORARY):
            if path.is_file() and _is_ours(path):
                path.unlink()


def _is_ours(path: Path) -> bool:
    """Whether a name is `.NAME.PROCESS.tmp` with NAME among rote's."""
    name, _, process = path.name[1 : -len(".tmp")].rpartition(".")
    return process.isdecimal() and (
        name in OWN_FILES or name == "study.json" or name.endswith((".shard", ".parquet", ".html"))
    )


def _pages(folder: Path) -> list[Path]:
    """The folder of derived pages, if there is one of our own."""
    place = folder / "pages"
    return [place] if place.is_dir() and not place.is_symlink() else []


def _experiments(folder: Path) -> Iterator[Path]:
    records = folder / "records"
    if records.is_dir() and not records.is_symlink():
        yield from sorted(path for path in records.iterdir() if path.is_dir() and not path.is_symlink())


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
