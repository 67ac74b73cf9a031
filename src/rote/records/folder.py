"""The run folder: one study, its finished shards, and the tables made from them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd
import pyarrow as pa

from rote.errors import InputError, RunError, StorageError
from rote.records import shards as shard_files
from rote.records.contents import written_by_rote
from rote.records.files import (
    concatenate,
    file_name,
    frame_table,
    json_lines,
    make_folders,
    parquet_bytes,
    read_frame,
    rows_table,
    write_atomically,
)
from rote.records.lock import RunLock, held_here
from rote.records.opening import begin, fingerprint_of_study, refuse_foreign
from rote.records.rows import (
    ABSENT_FIELDS,
    SUMMARY_FIELDS,
    Absent,
    Record,
    Row,
    column_dtype,
    plain,
    refuse_repeated_keys,
    row_dict,
)
from rote.records.shards import Shard, StaleShard
from rote.records.study import FORMAT_VERSION, read_study

_log = logging.getLogger(__name__)
DERIVED, PAGES = ("outcomes.json", "report.html"), "pages/"
_BESIDE = ("left_out", "answers")  # tables that say more of what another one holds


class RunFolder:
    """A study's folder. Make one with `RunFolder.open` (measure) or `RunFolder.read_only` (judge, report).

    `study` is what decides every number of the run: model, facts, settings, seed, versions, batch plan. Its
    sha256 is the `fingerprint` that every shard carries; a shard with another fingerprint, or whose checksum
    does not match, counts as not done, and the log says why. An open run is locked until `close`: use `with`.
    """

    def __init__(
        self,
        path: Path,
        study: Mapping[str, Any],
        *,
        lock: RunLock | None = None,
        discarded: tuple[str, ...] = (),
        notices: tuple[str, ...] = (),
    ) -> None:
        self.path = path
        self.study = study
        self.discarded = discarded
        self.notices = notices  # what was found amiss at the opening, and set right
        self._lock = lock
        self._new_timings: list[dict[str, Any]] = []

    @classmethod
    def open(
        cls,
        folder: str | Path,
        study: Mapping[str, object],
        *,
        fresh: bool = False,
        wait: bool = False,
        on_wait: Callable[[str], None] | None = None,
    ) -> RunFolder:
        """Make a run folder, or go on with the one that is there, and lock it.

        `study` holds JSON values only (numpy scalars and tuples are converted). With `fresh`, everything that
        rote wrote there is deleted first (listed in `.discarded`) and everything else is kept. With `wait`, another
        process's lock is waited for; `on_wait` is told whose.
        Raises RunError where another writes the folder, where it holds another study (every field that differs is
        shown), or files that are not rote's, or where it cannot be written.
        """
        path = Path(folder)
        wanted = {"format_version": FORMAT_VERSION, **plain(study, "study")}
        if wanted["format_version"] != FORMAT_VERSION:
            raise ValueError(f"study.format_version is {wanted['format_version']!r}: leave it to the run folder")
        try:
            refuse_foreign(path, wanted)
            make_folders(path)
            lock = RunLock.take(path, wait=wait, on_wait=on_wait)
            try:
                discarded, notices = begin(path, wanted, fresh=fresh)
                if lock.left_by is not None:
                    notices = (f"the run was left by {lock.left_by}, which was killed", *notices)
                return cls(path, wanted, lock=lock, discarded=discarded, notices=notices)
            except BaseException:
                lock.release()
                raise
        except OSError as error:
            raise RunError(f"{path} cannot be used as a run folder: {error}. Choose another folder.") from error

    def close(self) -> None:
        """End writing and release the lock; the run can still be read, judged and reported.

        The lock is released even where StorageError says that the last write failed.
        """
        if self.writable:
            try:
                self._write_timings()
            finally:
                assert self._lock is not None
                self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except StorageError:
            if error is None:  # else the disk's first complaint is on its way already
                raise

    @property
    def writable(self) -> bool:
        """Whether this object holds the run's lock."""
        return self._lock is not None and self._lock.held

    @classmethod
    def read_only(cls, folder: str | Path) -> RunFolder:
        """A run folder to judge and report: nothing that was measured can be written. RunError where it is none."""
        path = Path(folder)
        found = read_study(path) if path.is_dir() else None
        if found is None:
            raise RunError(f"{path} is not a run folder: expected a folder with study.json, as `rote study` makes it.")
        return cls(path, found)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the study's canonical JSON."""
        return fingerprint_of_study(self.study)

    @property
    def log(self) -> Path:
        """The path of the run's log."""
        return self.path / "log.txt"

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r}, fingerprint {self.fingerprint[:12]})"

    def would_discard(self) -> tuple[str, ...]:
        """What `fresh` would delete here: the files that rote wrote."""
        return tuple(str(path.relative_to(self.path)) for path in written_by_rote(self.path))

    # shards

    def done(self, shard: Shard) -> bool:
        """Whether the shard's record is there, whole, and of this study."""
        return self._unless_stale(shard, shard_files.check) is not None

    def _unless_stale(self, shard: Shard, use: Callable[[bytes, Shard, str], Any]) -> Any:
        """What `use` makes of a shard's bytes; None, and a line in the log, where they must not be reused."""
        content = self._content(shard)
        if content is None:
            return None
        try:
            return use(content, shard, self.fingerprint)
        except StaleShard as reason:
            _log.warning("the record of %s is not reused and will be computed again: %s", shard, reason)
            return None

    def write(self, shard: Shard, record: Record) -> None:
        """Store what a shard yielded, as one step that a crash cannot halve.

        Raises StorageError where the disk does not take it, RunError where this object holds no lock.
        """
        self._must_be_writable()
        path = self.path / shard.relative_path
        content = shard_files.encode(shard, record, self.fingerprint)
        with self._stored():
            make_folders(path.parent)
            write_atomically(path, content)

    def read(self, shard: Shard) -> Record:
        """What a shard yielded. Raises RunError where it is not done (see `done`)."""
        content = self._content(shard)
        if content is None:
            raise RunError(f"{self.path} has no record of {shard}: run the study again, it goes on where it was.")
        try:
            return shard_files.decode(content, shard, self.fingerprint)
        except StaleShard as reason:
            raise RunError(
                f"the record of {shard} in {self.path} cannot be used: {reason}. Run the study again."
            ) from None

    def recorded(self, experiment: str) -> Iterator[tuple[Shard, Record]]:
        """Every record of an experiment that is there, whole and of this study, in the order of their file names."""
        place = self.path / "records" / file_name(experiment) / "shards"
        for path in sorted(place.glob("*.shard")):
            content = path.read_bytes()
            with suppress(StaleShard):
                shard = shard_files.address(content)
                yield shard, shard_files.decode(content, shard, self.fingerprint)

    def _content(self, shard: Shard) -> bytes | None:
        path = self.path / shard.relative_path
        return path.read_bytes() if path.is_file() else None

    # the compared tables

    def assemble(self, order: Iterable[Shard]) -> None:
        """Make summary, absent values and tables from the shards, one after another in the given order.

        Equal shards give equal bytes, whatever the order in which they were computed. Raises RunError where
        shards are missing, ValueError where two shards have a value for one key, StorageError where the disk fails.
        """
        self._must_be_writable()
        shards = list(order)
        records = [self._unless_stale(shard, shard_files.decode) for shard in shards]
        missing = [str(shard) for shard, record in zip(shards, records, strict=True) if record is None]
        if missing:
            raise RunError(
                f"{self.path} lacks {len(missing)} of {len(shards)} records ({', '.join(missing[:5])}"
                f"{', …' if len(missing) > 5 else ''}): run the study again, it goes on where it was."
            )
        rows: list[Row] = [row for record in records for row in record.rows]
        absent: list[Absent] = [row for record in records for row in record.absent]
        tables: dict[tuple[str, str], list[Any]] = {}
        for shard, record in zip(shards, records, strict=True):
            for name, frame in record.tables.items():
                tables.setdefault((shard.experiment, name), []).append(frame_table(frame))
        refuse_repeated_keys(rows)
        with self._stored():
            for (experiment, name), parts in tables.items():
                write_atomically(self._table_path(experiment, name), parquet_bytes(concatenate(parts)))
            self._write_rows("absent", [row_dict(row) for row in absent], ABSENT_FIELDS)
            self._write_rows("summary", [row_dict(row) for row in rows], SUMMARY_FIELDS)

    def _write_rows(self, name: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
        write_atomically(self.path / f"{name}.parquet", parquet_bytes(rows_table(rows, columns), gaps=True))
        write_atomically(self.path / f"{name}.json", json_lines(rows))

    @property
    def finished(self) -> bool:
        """Whether the run's tables have been made."""
        return (self.path / "summary.json").is_file()

    @property
    def summary(self) -> pd.DataFrame:
        """One row per value, in the public format (version 1). RunError where the run is not finished, or damaged."""
        return self._read_rows("summary")

    @property
    def absent(self) -> pd.DataFrame:
        """One row per value that cannot be computed, with its reason. RunError as for `summary`."""
        return self._read_rows("absent")

    def _read_rows(self, name: str) -> pd.DataFrame:
        path = self.path / f"{name}.parquet"
        if not path.is_file():
            raise RunError(f"{self.path} has no {path.name}: the study is not finished; run it again, it goes on.")
        frame = _read_table(path)
        return frame.astype({column: column_dtype(column) for column in frame.columns})

    def tables(self) -> tuple[tuple[str, str], ...]:
        """(experiment, table) for every long table of the run, sorted, by their file names."""
        found = (self.path / "records").glob("*/*.parquet")
        return tuple(sorted((path.parent.name, path.stem) for path in found))

    def table(self, experiment: str, name: str | None = None) -> pd.DataFrame:
        """A long table of an experiment; `name` may be left out where there is one beside `left_out` and `answers`.

        Raises InputError with the tables that there are, RunError where the file is damaged.
        """
        names = [table for folder, table in self.tables() if folder == file_name(experiment)]
        main = [table for table in names if table not in _BESIDE]
        chosen = file_name(name) if name is not None else main[0] if len(main) == 1 else None
        if chosen is None or chosen not in names:
            known = ", ".join(f"{folder}/{table}" for folder, table in self.tables()) or "none"
            asked = experiment if name is None else f"{experiment}/{name}"
            raise InputError(f"{self.path} has no table {asked!r}, or more than one; there are: {known}")
        return _read_table(self.path / "records" / file_name(experiment) / f"{chosen}.parquet")

    def _table_path(self, experiment: str, name: str) -> Path:
        return self.path / "records" / file_name(experiment) / f"{file_name(name)}.parquet"

    # outside the compared tables

    def add_timing(self, shard: Shard, seconds: float) -> None:
        """Note how many seconds a shard took. StorageError where the disk fails, RunError without the lock."""
        self._must_be_writable()
        taken = {"experiment": shard.experiment, "item": shard.item, "seconds": round(seconds, 6)}
        self._new_timings.append(taken)
        if 20 * len(self._new_timings) > len(self.timings):  # so that the file is not rewritten for every shard
            self._write_timings()

    def _write_timings(self) -> None:
        if self._new_timings:
            with self._stored():
                write_atomically(self.path / "timings.json", json_lines(self.timings))
            self._stored_timings += self._new_timings
            self._new_timings = []

    @property
    def timings(self) -> list[dict[str, Any]]:
        """(experiment, item, seconds) of every shard that was computed here, in the order of their ends."""
        return [*self._stored_timings, *self._new_timings]

    @cached_property
    def _stored_timings(self) -> list[dict[str, Any]]:
        path = self.path / "timings.json"
        if not path.is_file():
            return []
        try:
            return list(json.loads(path.read_bytes()))
        except (ValueError, TypeError):
            _log.warning("%s cannot be read and is begun anew", path)
            return []

    def write_derived(self, name: str, text: str) -> Path:
        """Write `outcomes.json`, `report.html` or `pages/ANY.html`: from the tables, so also in a read-only run.

        Raises ValueError for another name, RunError where the run is being written or holds another study than when it
        was opened, StorageError where the disk fails.
        """
        page = name.startswith(PAGES) and name.endswith(".html")
        if name not in DERIVED and not page:
            raise ValueError(
                f"{name!r} is not derived from a run: expected one of {', '.join(DERIVED)}, {PAGES}ANY.html"
            )
        path = self.path / (PAGES + file_name(name.removeprefix(PAGES)) if page else name)
        with self._stored(), self._locked():
            make_folders(path.parent)
            write_atomically(path, text.encode("utf-8"))
        return path

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """For a derived file: nobody writes the run meanwhile, and it is still the one that was read."""
        if held_here(self.path):
            yield
            return
        lock = RunLock.take(self.path)
        try:
            if read_study(self.path) != self.study:
                raise RunError(f"{self.path} holds another study than when it was opened: do this again.")
            yield
        finally:
            lock.release()

    @contextmanager
    def _stored(self) -> Iterator[None]:
        """A failed write becomes one clear line; what was stored before stays whole."""
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be written: {error.strerror or error}. What was stored before is whole. "
                "Make room, or the folder writable; then the same command goes on where it was."
            ) from error

    def _must_be_writable(self) -> None:
        if not self.writable:
            raise RunError(
                f"{self.path} was opened to be read, or closed: open it with RunFolder.open to write records."
            )


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return read_frame(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(
            f"{path} is damaged ({first}). Run the study again: it makes its tables anew from its records."
        ) from error
