"""One file per shard: rows, absent values and tables of one finished piece of work, with what produced them.

Layout of the file: the line `rote shard 2`, a line with the sha256 of all that follows, a line of JSON
(fingerprint, experiment, item, rows, absent, names and lengths of tables and arrays, what the observations are of),
then the tables as parquet, the arrays and the values of the observations as npy.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from rote.records.files import file_name, frame_table, parquet_bytes, read_frame
from rote.records.rows import Observations, Record, absent_from_dict, plain, row_dict, row_from_dict

_MAGIC = b"rote shard 2"


@dataclass(frozen=True)
class Shard:
    """The address of one piece of work: an experiment and the slice of it (`item`), both any text."""

    experiment: str
    item: str = "all"

    @property
    def relative_path(self) -> Path:
        """Where the shard lies in a run folder."""
        return Path("records") / file_name(self.experiment) / "shards" / f"{file_name(self.item)}.shard"

    def __str__(self) -> str:
        return f"{self.experiment}/{self.item}"


class StaleShard(Exception):
    """A shard's file that must not be reused, with the reason; the run folder treats it as not done."""


def encode(shard: Shard, record: Record, fingerprint: str) -> bytes:
    """A record as the bytes of its file; equal content gives equal bytes. Raises as `canonical_json` does."""
    blobs = {name: parquet_bytes(frame_table(frame)) for name, frame in record.tables.items()}
    arrays = {name: _npy(array) for name, array in record.arrays.items()}
    values = [_npy(observed.values) for observed in record.observations]
    header = {
        "fingerprint": fingerprint,
        "experiment": shard.experiment,
        "item": shard.item,
        "rows": [row_dict(row) for row in record.rows],
        "absent": [row_dict(row) for row in record.absent],
        "tables": {name: len(blob) for name, blob in blobs.items()},
        "arrays": {name: len(blob) for name, blob in arrays.items()},
        "observations": [
            {"entities": o.entities, "keys": [plain(key) for key in o.keys], "length": len(blob)}
            for o, blob in zip(record.observations, values, strict=True)
        ],
    }
    text = json.dumps(header, ensure_ascii=False, allow_nan=False).encode("utf-8")
    body = text + b"\n" + b"".join((*blobs.values(), *arrays.values(), *values))
    return b"\n".join((_MAGIC, sha256(body).hexdigest().encode("ascii"), body))


def address(content: bytes) -> Shard:
    """Whose record a file holds; raises StaleShard where it is damaged or none of ours."""
    header, _ = _opened(content)
    return Shard(str(header["experiment"]), str(header["item"]))


def _header(content: bytes, shard: Shard, fingerprint: str) -> tuple[Mapping[str, Any], bytes]:
    """The checked header and the bytes after it; raises StaleShard with what does not match."""
    header, blobs = _opened(content)
    if header["fingerprint"] != fingerprint:
        raise StaleShard(f"another study wrote it (fingerprint {header['fingerprint'][:12]}, not {fingerprint[:12]})")
    if (header["experiment"], header["item"]) != (shard.experiment, shard.item):
        raise StaleShard(f"it belongs to {header['experiment']}/{header['item']}")
    return header, blobs


def _opened(content: bytes) -> tuple[Mapping[str, Any], bytes]:
    """Header and the bytes after it, of a file that is whole; else raises StaleShard."""
    magic, _, rest = content.partition(b"\n")
    checksum, _, body = rest.partition(b"\n")
    if magic != _MAGIC:
        raise StaleShard(f"it begins with {magic[:20]!r}, expected {_MAGIC.decode()!r}")
    if sha256(body).hexdigest().encode("ascii") != checksum:
        raise StaleShard("its checksum does not match its content (cut short or changed on disk)")
    text, _, blobs = body.partition(b"\n")
    header: Mapping[str, Any] = json.loads(text)
    return header, blobs


def fingerprint_of(content: bytes) -> str | None:
    """The fingerprint of the study that wrote a shard's file; None where the file is damaged or none of ours."""
    try:
        return str(_opened(content)[0]["fingerprint"])
    except StaleShard:
        return None


def check(content: bytes, shard: Shard, fingerprint: str) -> bool:
    """True; raises StaleShard unless the bytes are this shard's, whole, and written by this study."""
    _header(content, shard, fingerprint)
    return True


def decode(content: bytes, shard: Shard, fingerprint: str) -> Record:
    """The record in a file's bytes; raises StaleShard where it must not be reused."""
    header, blobs = _header(content, shard, fingerprint)
    stream = io.BytesIO(blobs)
    tables = {name: read_frame(stream.read(length)) for name, length in header["tables"].items()}
    arrays = {name: _array(stream.read(length)) for name, length in header["arrays"].items()}
    observations = tuple(
        Observations(
            entities=tuple(told["entities"]), keys=tuple(told["keys"]), values=_array(stream.read(told["length"]))
        )
        for told in header["observations"]
    )
    return Record(
        rows=tuple(row_from_dict(values) for values in header["rows"]),
        absent=tuple(absent_from_dict(values) for values in header["absent"]),
        tables=tables,
        arrays=arrays,
        observations=observations,
    )


def _npy(array: np.ndarray) -> bytes:
    """An array as the bytes of an npy file; ValueError for one that holds Python objects."""
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def _array(content: bytes) -> np.ndarray:
    return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))
