"""DataFrames and parquet files, long or wide."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from rote.errors import FactsError
from rote.facts.readers.columns import rows_of_columns
from rote.facts.readers.files import file_bytes
from rote.facts.rows import RawFact


def rows_of_frame(frame: pd.DataFrame, source: str = "the DataFrame") -> tuple[RawFact, ...]:
    """Rows of a DataFrame; its index is no column."""
    return rows_of_columns(list(frame.columns), frame.itertuples(index=False, name=None), source)


def read_parquet(path: Path) -> tuple[RawFact, ...]:
    """Rows of a parquet file."""
    data = file_bytes(path)
    try:
        frame = pd.read_parquet(io.BytesIO(data))
    except Exception as error:  # pyarrow raises a dozen kinds for broken files
        what = (str(error) or type(error).__name__).splitlines()[0]
        raise FactsError(
            f"{path} is no readable parquet file ({what}); "
            "expected a table written as parquet: write it again, or give a csv"
        ) from error
    return rows_of_frame(frame, str(path))
