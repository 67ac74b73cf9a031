"""Whether words that were certified on the usual worlds stay right where people share parts otherwise.

Nothing is tuned and nothing is certified here: verdicts are given with the reaches that stand in the certification.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from calibration.certify import has, verdict
from calibration.run import read
from rote.catalog import certificates
from rote.catalog.hypotheses import PREDICTIONS

VERDICTS = ("consistent", "inconsistent")


def judged(path: Path) -> dict[tuple[str, str], Counter[str]]:
    """Per kind of parts and truth: worlds, those that failed, and the verdicts of certified cells, right and wrong."""
    known, counts = certificates(), defaultdict(Counter)
    for world in read(path):
        found = counts[str(world.get("parts", "square")), str(world["truth"])]
        found["worlds"] += 1
        if "failed" in world:
            found["failed"] += 1
        else:
            found.update(_words(world, known))
    return dict(sorted(counts.items()))


def _words(world: Any, known: Any) -> Counter[str]:
    words: Counter[str] = Counter()
    for prediction in PREDICTIONS:
        cell, true = prediction.cell, has(prediction, world["truth"])
        if cell not in world["cells"] or true is None or cell not in known or not known[cell].certified:
            continue
        word = verdict(world["cells"][cell], prediction, known[cell].reach)
        if word in VERDICTS:
            words["right" if (word == "consistent") == true else "wrong"] += 1
            if (word == "consistent") != true:
                words[f"wrong: {cell}"] += 1
        else:
            words["undecided"] += 1
    return words


def table(path: Path) -> str:
    """The same as a Markdown table, with the cells that were wrong below it."""
    found = judged(path)
    lines = ["| parts | truth | worlds | right | wrong | undecided |", "|---|---|---|---|---|---|"]
    for (parts, truth), n in found.items():
        worlds = str(n["worlds"]) + (f" ({n['failed']} failed)" if n["failed"] else "")
        lines.append(f"| {parts} | {truth} | {worlds} | {n['right']} | {n['wrong']} | {n['undecided']} |")
    wrong = [
        f"- {parts}, {truth}: {cell.removeprefix('wrong: ')}, {n[cell]} times"
        for (parts, truth), n in found.items()
        for cell in n
        if cell.startswith("wrong: ")
    ]
    return "\n".join([*lines, "", *wrong])
