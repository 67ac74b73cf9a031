"""csv and tsv files with a header row, long or wide, read row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rote.errors import FactsError
from rote.facts.intake import RawFact, broken
from rote.facts.readers.columns import rows_of_columns
from rote.facts.readers.files import text_lines
from rote.facts.table import listed


def read_csv(path: Path) -> Iterator[RawFact]:
    """Comma-separated rows below one header row; cells are text as they stand ("NA" is no gap).

    `FactsError` where the file is no UTF-8, or its columns make no table of facts.
    """
    return _delimited(path, ",")


def read_tsv(path: Path) -> Iterator[RawFact]:
    """The same, separated by tabs; `FactsError` likewise."""
    return _delimited(path, "\t")


def _delimited(path: Path, delimiter: str) -> Iterator[RawFact]:
    reader = csv.reader(text_lines(path), delimiter=delimiter, strict=True)
    try:
        columns = next((record for record in reader if record), None)
    except csv.Error as error:
        raise FactsError(_unbalanced(path, 1, error)) from error
    if columns is None:
        raise FactsError(f"{path} is empty; expected a row of column names and one row per fact below it")
    yield from rows_of_columns(columns, _records(path, reader, columns), str(path), first_row=2)


def _records(path: Path, reader: Any, columns: list[str]) -> Iterator[list[str] | RawFact]:
    """Rows as long as the header; others, and what follows a broken quote, as broken lines."""
    while True:
        line = reader.line_num + 1  # where the row begins; its last line says nothing about a quote left open
        try:
            record = next(reader, None)
        except csv.Error as error:
            yield broken(_unbalanced(path, line, error))
            return
        if record is None:
            return
        if not record:
            continue
        if len(record) == len(columns):
            yield record
        else:
            yield broken(
                f"{path}, line {line}: {len(record)} cells; expected {len(columns)}, one for "
                f"each of the columns {listed(columns)}: put cells with separators in double quotes"
            )


def _unbalanced(path: Path, line: int, error: csv.Error) -> str:
    return f"{path}, row from line {line} on: {error}; expected balanced double quotes or none"
