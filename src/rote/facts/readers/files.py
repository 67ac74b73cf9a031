"""Bytes of a file as text, with the row that a wrong encoding breaks."""

from __future__ import annotations

from pathlib import Path

from rote.errors import FactsError


def file_bytes(path: Path) -> bytes:
    """The file's bytes; `FactsError` when it cannot be opened."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise FactsError(
            f"{path} cannot be read ({error.strerror or error}); expected a readable file: check its rights"
        ) from error


def file_text(path: Path) -> str:
    """The file as UTF-8 text, with or without byte order mark; `FactsError` naming the first wrong byte."""
    data = file_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise FactsError(
            f"{path} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}, in line {row}; "
            "expected UTF-8 text: save the file again with that encoding"
        ) from error
