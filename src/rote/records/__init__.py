"""The run folder: tidy rows, tables, fingerprints, atomic writes, resume. Knows nothing of models."""

from __future__ import annotations

from rote.records.folder import RunFolder
from rote.records.log import RunLog
from rote.records.rows import (
    ABSENT_FIELDS,
    KEY_FIELDS,
    SUMMARY_FIELDS,
    Absent,
    Observations,
    Record,
    Row,
    absent_frame,
    canonical_json,
    summary_frame,
)
from rote.records.shards import Shard
from rote.records.standing import FolderStanding, look
