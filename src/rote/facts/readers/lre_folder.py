"""A folder of LRE relation files as one table of several relations."""

from __future__ import annotations

from pathlib import Path

from rote.errors import FactsError
from rote.facts.readers import lre
from rote.facts.readers.files import file_text
from rote.facts.readers.json_files import parse_json
from rote.facts.rows import RawFact
from rote.facts.table import shortened


def read_lre_folder(folder: Path) -> tuple[RawFact, ...]:
    """Every .json file below the folder, in the order of their paths; each is one relation in the LRE layout.

    Errors: `FactsError` naming every file that is not in that layout.
    """
    paths = sorted(path for path in folder.rglob("*.json") if path.is_file())
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
    return tuple(found)
