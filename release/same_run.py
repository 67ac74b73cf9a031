"""`python -m release.same_run RUN RUN`: do two runs hold the same values, absences and verdicts? What differs?

Files that are equal byte for byte are said to be so. Of others, every row that is in one run alone, and every column in
which rows of one key differ, is counted and some are shown. Needs nothing of rote, so that a run of another version can
be compared. Exit code 1 where anything differs.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

FILES = ("summary.json", "absent.json", "outcomes.json")
VALUES = frozenset({"value", "ci_low", "ci_high", "n", "p_adjusted", "unit", "reason", "t", "verdict"})
VALUES |= {"value_low", "value_high", "with_controls", "without_controls"}
SHOWN = 5


def differences(one: Path, other: Path) -> list[str]:
    """A line for each file, and below one that differs a line for each kind of difference."""
    lines = []
    for name in FILES:
        texts = [(run / name).read_bytes() for run in (one, other)]
        if texts[0] == texts[1]:
            lines.append(f"{name}: equal byte for byte ({len(texts[0]):,} bytes)")
        else:
            lines.append(f"{name}: differs")
            lines += [f"    {line}" for line in _rows_apart(*(json.loads(text) for text in texts))]
    return lines


def _rows_apart(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> list[str]:
    keyed = [{_key(row): row for row in rows} for rows in (one, other)]
    lines = []
    for here, there, words in ((*keyed, "first"), (*keyed[::-1], "second")):
        alone = [key for key in here if key not in there]
        lines += [f"in the {words} run alone: {len(alone)} rows"] * bool(alone)
        lines += [f"    {key}" for key in alone[:SHOWN]]
    both = [(keyed[0][key], keyed[1][key]) for key in keyed[0] if key in keyed[1]]
    changed = Counter(name for a, b in both for name in a.keys() | b.keys() if a.get(name) != b.get(name))
    for name, n in changed.most_common():
        examples = [(a, b) for a, b in both if a.get(name) != b.get(name)][:SHOWN]
        lines.append(f"{name} differs in {n} of {len(both)} rows")
        lines += [f"    {_key(a)}: {a.get(name)} -> {b.get(name)}" for a, b in examples]
    if not lines:
        lines.append("the same rows in another order or another spelling")
    return lines


def _key(row: dict[str, Any]) -> str:
    """What a row is the value of."""
    return ", ".join(f"{name} {row[name]}" for name in row if name not in VALUES and row[name] is not None)


def main(one: Path, other: Path) -> int:
    lines = differences(one, other)
    print("\n".join(lines))
    return int(any(line.endswith("differs") for line in lines))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
