"""DataFrames and parquet files, long or wide, read row by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from rote.errors import FactsError
from rote.facts.intake import RawFact
from rote.facts.readers.columns import rows_of_columns
from rote.facts.readers.files import unreadable

_BATCH_ROWS = 10_000


def rows_of_frame(frame: pd.DataFrame, source: str = "the DataFrame") -> Iterator[RawFact]:
    """Rows of a DataFrame; its index is no column. `FactsError` as `rows_of_columns` says."""
    return rows_of_columns(list(frame.columns), frame.itertuples(index=False, name=None), source)


def read_parquet(path: Path) -> Iterator[RawFact]:
    """Rows of a parquet file, some thousand in memory at a time; an index that pandas saved is no column.

    `FactsError` where it is none, and as `rows_of_columns` says.
    """
    try:
        with path.open("rb") as opened, pq.ParquetFile(opened) as file:
            names = list(file.schema_arrow.names)
            saved = (file.schema_arrow.pandas_metadata or {}).get("index_columns", [])
            index = {name for name in saved if isinstance(name, str)}
            kept = [i for i, name in enumerate(names) if name not in index]
            yield from rows_of_columns([names[i] for i in kept], _records(file, kept), str(path))
    except FactsError:
        raise
    except OSError as error:
        if error.strerror:
            raise unreadable(path, error) from error
        raise _no_parquet(path, error) from error
    except Exception as error:  # pyarrow raises a dozen kinds for broken files
        raise _no_parquet(path, error) from error


def _records(file: Any, kept: list[int]) -> Iterator[tuple[Any, ...]]:
    for batch in file.iter_batches(batch_size=_BATCH_ROWS):
        yield from zip(*(batch.column(i).to_pylist() for i in kept), strict=True)


def _no_parquet(path: Path, error: Exception) -> FactsError:
    what = (str(error) or type(error).__name__).splitlines()[0]
    return FactsError(
        f"{path} is no readable parquet file ({what}); "
        "expected a table written as parquet: write it again, or give a csv"
    )
