"""Files as text, line by line or whole, with the place where a wrong encoding breaks."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path

from rote.errors import FactsError

MOST_JSON_BYTES = 256 * 2**20  # a JSON document takes some ten times its size in memory
_MOST_LINE = 2**24  # characters
_CHUNK_BYTES = 2**20

# how other files begin, for a better word than "not UTF-8"
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xfe\x00\x00", "UTF-32 text"),
    (b"\x00\x00\xfe\xff", "UTF-32 text"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"PAR1", "a parquet file"),
    (b"%PDF", "a PDF document"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89PNG", "a picture"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet"),
)


def file_bytes(path: Path) -> bytes:
    """The file's bytes; `FactsError` when it cannot be opened."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def file_text(path: Path) -> str:
    """The whole file as UTF-8 text, with or without byte order mark; for documents that cannot be read by lines.

    `FactsError` naming the first wrong byte, and for files of more than `MOST_JSON_BYTES`.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from error
    if size > MOST_JSON_BYTES:
        raise FactsError(
            f"{path} has {size:,} bytes; a JSON document is read whole, so at most {MOST_JSON_BYTES:,} are taken: "
            "convert it to .jsonl, .csv or .parquet, which are read row by row"
        )
    data = file_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error
    if "\0" in text:
        raise _not_utf8(path)
    return text


def text_lines(path: Path) -> Iterator[str]:
    """The file's lines with their ends, one in memory at a time; `FactsError` as for `file_text`."""
    try:
        with path.open("rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
            number = 0
            while line := file.readline(_MOST_LINE):
                number += 1
                if "\0" in line:
                    raise _not_utf8(path)
                if len(line) == _MOST_LINE:
                    raise FactsError(
                        f"{path}, line {number} has more than {_MOST_LINE:,} characters; expected one row on a line: "
                        "check how its lines end"
                    )
                yield line
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> FactsError:
    """The error for a file that cannot be opened."""
    return FactsError(f"{path} cannot be read ({error.strerror or error}); expected a readable file: check its rights")


def _not_utf8(path: Path) -> FactsError:
    """The error for a file that is no UTF-8 text, with its first wrong byte; the file is read once more for it."""
    byte, offset, line = _first_wrong_byte(path)
    with path.open("rb") as file:
        head = file.read(64)
    what = next((f" (it looks like {kind})" for magic, kind in _MAGIC if head.startswith(magic)), "")
    if not what and byte == 0:
        what = " (it looks like UTF-16 text or a binary file)"
    return FactsError(
        f"{path} is not UTF-8 text{what}: byte 0x{byte:02x} at offset {offset}, in line {line}; "
        "expected UTF-8: save the file again with that encoding"
    )


def _first_wrong_byte(path: Path) -> tuple[int, int, int]:
    """(byte, offset, line) of the first byte that is not UTF-8, or is NUL."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    start, line = 0, 1
    with path.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK_BYTES)
            begun = decoder.getstate()[0]  # of a character that the last chunk cut
            data = begun + chunk
            wrong = data.find(b"\0")
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                wrong = error.start if wrong < 0 else min(wrong, error.start)
            if wrong >= 0:
                return data[wrong], start - len(begun) + wrong, line + data.count(b"\n", 0, wrong)
            if not chunk:
                return 0, start, line
            start += len(chunk)
            line += chunk.count(b"\n")
