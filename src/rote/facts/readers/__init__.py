"""One small file per layout, behind one tuple."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rote.facts.intake import RawFact
from rote.facts.readers.csv_files import read_csv, read_tsv
from rote.facts.readers.frames import read_parquet, rows_of_frame
from rote.facts.readers.json_files import JSON_LAYOUTS, read_json, read_jsonl
from rote.facts.readers.lre_folder import read_lre_folder

__all__ = ["FILE_READERS", "JSON_LAYOUTS", "FileReader", "read_lre_folder", "rows_of_frame"]


@dataclass(frozen=True, kw_only=True)
class FileReader:
    """How files with one suffix are read."""

    suffix: str
    rows: Callable[[Path], Iterable[RawFact]]


FILE_READERS: tuple[FileReader, ...] = (
    FileReader(suffix=".csv", rows=read_csv),
    FileReader(suffix=".tsv", rows=read_tsv),
    FileReader(suffix=".json", rows=read_json),
    FileReader(suffix=".jsonl", rows=read_jsonl),
    FileReader(suffix=".parquet", rows=read_parquet),
)
