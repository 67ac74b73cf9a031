"""csv and tsv files with a header row, long or wide."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from rote.errors import FactsError
from rote.facts.readers.columns import rows_of_columns
from rote.facts.readers.files import file_text
from rote.facts.rows import RawFact
from rote.facts.table import listed, shortened


def read_csv(path: Path) -> tuple[RawFact, ...]:
    """Comma-separated rows below one header row; cells are text as they stand ("NA" is no gap)."""
    return _delimited(path, ",")


def read_tsv(path: Path) -> tuple[RawFact, ...]:
    """The same, separated by tabs."""
    return _delimited(path, "\t")


def _delimited(path: Path, delimiter: str) -> tuple[RawFact, ...]:
    text = file_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records: list[list[str]] = []
    problems: list[str] = []
    columns: list[str] | None = None
    line = 1  # where the record begins; its last line says nothing about a quote that was never closed
    try:
        for record in reader:
            begun, line = line, reader.line_num + 1
            if not record:
                continue
            if columns is None:
                columns = record
            elif len(record) == len(columns):
                records.append(record)
            else:
                problems.append(
                    f"{path}, line {begun}: {len(record)} cells; expected {len(columns)}, one for "
                    f"each of the columns {listed(columns)}: put cells with separators in double quotes"
                )
    except csv.Error as error:
        problems.append(f"{path}, row from line {line} on: {error}; expected balanced double quotes or none")
    if columns is None and not problems:
        problems.append(f"{path} is empty; expected a row of column names and one row per fact below it")
    if problems or columns is None:
        raise FactsError(shortened(problems))
    return rows_of_columns(columns, records, str(path), first_row=2)
