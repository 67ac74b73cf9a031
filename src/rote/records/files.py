"""Bytes on disk: atomic writes, and parquet and JSON whose bytes depend on their content alone."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rote.records.rows import FLOAT_FIELDS, INTEGER_FIELDS

_MARK = b"rote"  # in the metadata of every parquet file of ours
_CHECKED = {"write_page_checksum": True}  # so that a flipped bit is an error when the table is read
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,79}")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")  # no file can be called so on Windows


def file_name(name: str) -> str:
    """A file name for any string: itself where it is plain, else a slug of it and ten digits of its hash.

    Plain means lower-case letters, digits, `_`, `.`, `-`, at most 80 of them; so no name leaves its folder,
    and two names that differ only in case stay apart on every file system.
    """
    if _PLAIN_NAME.fullmatch(name) and not name.endswith(".") and not _DEVICE.fullmatch(name):
        return name
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower())[:60].strip("-")
    return f"{slug or 'x'}-{sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file as one step: a reader sees the old bytes or the new, at any moment and after any crash.

    Written to a temporary name in the same folder, synced, renamed, and the folder synced. OSError where the disk
    fails; the old file is then as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
        try:
            write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        # after the sync: a rename may reach the disk before the bytes that it names
        os.replace(temporary, path)  # noqa: PTH105 (the three steps stand side by side)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all bytes, which the system may take in pieces; OSError where it takes no more."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, each synced into the one above, so that none is lost in a power cut."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder survive a power cut (a no-op where folders cannot be opened)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A JSON list with one row on each line, floats in their shortest form that reads back exactly."""
    lines = [json.dumps(dict(row), ensure_ascii=False, allow_nan=False) for row in rows]
    return ("[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n").encode("utf-8")


def rows_table(rows: Iterable[Mapping[str, Any]], names: tuple[str, ...]) -> pa.Table:
    """Rows of the public format as an arrow table with fixed types, also where a column is wholly null."""
    listed = list(rows)
    schema = pa.schema([(name, _arrow_type(name)) for name in names])
    return pa.table({name: [row[name] for row in listed] for name in names}, schema=schema)


def _arrow_type(name: str) -> pa.DataType:
    return pa.int64() if name in INTEGER_FIELDS else pa.float64() if name in FLOAT_FIELDS else pa.string()


def frame_table(frame: pd.DataFrame) -> pa.Table:
    """A DataFrame as an arrow table: no index, categories as their values, NaN as null."""
    plain = {
        str(name): frame[name].astype(object)
        for name in frame.columns
        if isinstance(frame[name].dtype, pd.CategoricalDtype)
    }
    table = pa.Table.from_pandas(frame.assign(**plain), preserve_index=False)
    return table.replace_schema_metadata(None)


def concatenate(tables: list[pa.Table]) -> pa.Table:
    """Tables one below the other; a column that is missing or wholly null in one of them is null there."""
    return pa.concat_tables(tables, promote_options="permissive").combine_chunks()


def parquet_bytes(table: pa.Table, *, gaps: bool = False) -> bytes:
    """A table as parquet: the bytes depend on the content alone (no clock, no version of pandas).

    With `gaps`, pandas reads every integer column as Int64, also one that happens to have no gap.
    """
    buffer = io.BytesIO()
    described = table.replace_schema_metadata({_MARK: b"1", b"pandas": _pandas_metadata(table, gaps)})
    pq.write_table(described, buffer, compression="zstd", version="2.6", row_group_size=1 << 20, **_CHECKED)
    return buffer.getvalue()


def is_own_parquet(path: Path) -> bool:
    """Whether `parquet_bytes` made a file."""
    try:
        return _MARK in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def _pandas_metadata(table: pa.Table, gaps: bool) -> bytes:
    """Tells pandas to read integers and booleans with gaps as Int64 and boolean."""
    columns = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = _pandas_type(column, gaps)
        described = {"name": name, "field_name": name, "pandas_type": kind.lower(), "numpy_type": kind}
        columns.append({**described, "metadata": None})
    whole = {"index_columns": [], "column_indexes": [], "columns": columns, "pandas_version": "2.2.0"}
    return json.dumps(whole, ensure_ascii=True).encode("ascii")


def _pandas_type(column: pa.ChunkedArray, gaps: bool = False) -> str:
    gaps = gaps or column.null_count > 0
    if pa.types.is_signed_integer(column.type):
        return f"Int{column.type.bit_width}" if gaps else str(column.type)
    if pa.types.is_boolean(column.type):
        return "boolean" if gaps else "bool"
    return "object"


def read_frame(source: Path | bytes) -> pd.DataFrame:
    """A parquet file of this module as a DataFrame: text as str or None, integers with gaps as Int64.

    Raises OSError, ValueError or pyarrow's own errors where it is damaged.
    """
    opened = io.BytesIO(source) if isinstance(source, bytes) else source
    return table_frame(pq.read_table(opened, page_checksum_verification=True))


def table_frame(table: pa.Table) -> pd.DataFrame:
    """An arrow table as a DataFrame, with the same types under any version of pandas."""
    columns = {name: _series(column) for name, column in zip(table.column_names, table.columns, strict=True)}
    return pd.DataFrame(columns, columns=list(table.column_names))


def _series(column: pa.ChunkedArray) -> pd.Series[Any]:
    kind = _pandas_type(column)
    types = pa.types
    if types.is_string(column.type) or types.is_large_string(column.type) or types.is_null(column.type):
        return pd.Series(column.to_pylist(), dtype=object)
    if kind.startswith("Int") or kind == "boolean":
        return pd.Series(column.to_pylist(), dtype=kind)
    return pd.Series(column.to_pandas())
