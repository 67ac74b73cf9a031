"""Problems of many rows, counted by kind: the first in full, a few more by their place, the rest counted."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_VARIES = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\d[\d,]*")
_MOST_KINDS = 200
_ALSO = 3


@dataclass(kw_only=True)
class _Kind:
    where: str
    reason: str
    count: int = 1
    also: list[str] = field(default_factory=list)


class Tally:
    """Collects (where, reason) and says them in few lines, in bounded memory; two reasons are of one kind when
    they differ in quoted names and numbers alone."""

    def __init__(self) -> None:
        self.count = 0
        self._kinds: dict[str, _Kind] = {}
        self._beyond = 0

    def add(self, where: str, reason: str) -> None:
        self.count += 1
        key = _VARIES.sub("…", reason)
        kind = self._kinds.get(key)
        if kind is not None:
            kind.count += 1
            if len(kind.also) < _ALSO:
                kind.also.append(where)
        elif len(self._kinds) < _MOST_KINDS:
            self._kinds[key] = _Kind(where=where, reason=reason)
        else:
            self._beyond += 1

    def lines(self, limit: int = 20) -> list[str]:
        """`row 2: the entity is empty (so are row 5 and 17 more)`, one line for each kind."""
        kinds = list(self._kinds.values())
        rest = sum(kind.count for kind in kinds[limit:]) + self._beyond
        more = [f"and {rest:,} more rows with problems of other kinds"] if rest else []
        return [_line(kind) for kind in kinds[:limit]] + more


def _line(kind: _Kind) -> str:
    line = f"{kind.where}: {kind.reason}"
    if kind.count == 1:
        return line
    rest = kind.count - 1 - len(kind.also)
    more = f" and {rest:,} more" if rest else ""
    return f"{line} (and likewise {', '.join(kind.also)}{more})"
