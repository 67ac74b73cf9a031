"""A folder of LRE relation files as one table of several relations."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from rote.errors import FactsError
from rote.facts.intake import RawFact
from rote.facts.readers import lre
from rote.facts.readers.files import file_text
from rote.facts.readers.json_files import parse_json
from rote.facts.table import shortened

MOST_FILES = 10_000


def read_lre_folder(folder: Path) -> Iterator[RawFact]:
    """Every .json file below the folder, in the order of their paths; each is one relation in the LRE layout.

    Errors: `FactsError` naming every file that is not in that layout.
    """
    paths = _documents(folder)
    problems = []
    if not paths:
        problems.append(f"{folder} is a folder without .json files; expected LRE relations, {lre.LOOKS}")
    found: list[RawFact] = []
    for path in paths:
        try:
            data = parse_json(file_text(path), str(path))
            if lre.matches(data):
                found += lre.rows(data, str(path))
            else:
                problems.append(f"{path} is not in the LRE layout; expected {lre.LOOKS}: give that file alone")
        except FactsError as error:
            problems += error.problems
    if problems:
        raise FactsError(shortened(problems))
    return iter(found)


def _documents(folder: Path) -> list[Path]:
    """Every .json file below the folder, links to folders not followed; `FactsError` for a folder of other things."""
    found: list[Path] = []
    n_seen = 0
    for place, _, names in os.walk(folder):
        n_seen += len(names) + 1
        if n_seen > MOST_FILES:
            raise FactsError(
                f"{folder} holds more than {MOST_FILES:,} files and folders; expected a folder of LRE relations alone"
            )
        found += [Path(place, name) for name in names if name.endswith(".json")]
    return sorted(path for path in found if path.is_file())
