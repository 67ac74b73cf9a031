"""Where shards of work run. Receives functions, emits events, knows no science and nothing of records."""

from __future__ import annotations

from rote.execute.abstract import (
    Event,
    Executor,
    Failed,
    Finished,
    Interrupted,
    Lost,
    OnEvent,
    Planned,
    Started,
    Waiting,
    ignore,
)
from rote.execute.inline import Inline
from rote.execute.processes import Processes
from rote.execute.ray import Ray
