"""`python -m benchmarks.crosscheck`: see `make crosscheck`. Exit code 1 where anything disagrees or is missing."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.client import Client, ToolFailed
from benchmarks.crosscheck.page import page, table
from benchmarks.crosscheck.quantities import CONFIGS, build
from benchmarks.environments import NotInstalled, install
from benchmarks.tools import TOOLS, Entry, entry_named

Answers = dict[str, dict[str, np.ndarray]]  # family → quantity → array


def main() -> int:
    """Ask every tool, compare with rote, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", help="comma-separated; default: all that are cross-checked")
    parser.add_argument("--folder", type=Path, default=Path(".bench"))
    parser.add_argument("--page", type=Path, default=Path("docs/crosscheck.md"))
    given = parser.parse_args()
    chosen = [e for e in TOOLS if e.crosscheck and e.name not in ("rote", "hooks")]
    if given.tools is not None:
        chosen = [entry_named(name) for name in given.tools.split(",")]
    folders = {family: build(family, (given.folder / "crosscheck").resolve()) for family in CONFIGS}
    found: dict[str, Answers] = {}
    notes: dict[str, list[str]] = {}
    versions: dict[str, dict[str, Any]] = {}
    failures: dict[str, str] = {}
    for entry in (entry_named("rote"), *chosen):
        print(f"asking {entry.title}", flush=True)
        try:
            install(entry)
            found[entry.name], notes[entry.name], versions[entry.name] = _ask(entry, folders, given.folder)
        except (NotInstalled, ToolFailed) as error:
            failures[entry.name] = str(error)
    if "rote" not in found:
        print(f"rote itself failed: {failures['rote']}", file=sys.stderr)
        return 1
    rows, agrees = table(found, [entry.name for entry in chosen])
    text = page(rows, [entry.name for entry in chosen], notes, versions, failures)
    given.page.parent.mkdir(parents=True, exist_ok=True)
    given.page.write_text(text, encoding="utf-8")
    print("\n".join(rows))
    print(*(f"{name} failed: {reason}" for name, reason in failures.items()), f"wrote {given.page}", sep="\n")
    return 0 if agrees and not failures else 1


def _ask(entry: Entry, folders: dict[str, Path], work: Path) -> tuple[Answers, list[str], dict[str, Any]]:
    answers, notes = {}, []
    with (
        Client(entry, work / f"crosscheck-{entry.name}.log", threads=1) as client,
        tempfile.TemporaryDirectory() as temporary,
    ):
        versions = client.ask({"do": "versions"}, 600)
        for family, folder in folders.items():
            save = Path(temporary) / f"{family}.npz"
            reply = client.ask({"do": "crosscheck", "folder": str(folder), "save": str(save)}, 600)
            with np.load(save) as arrays:
                answers[family] = dict(arrays)
            notes += [f"{family}: {note}" for note in reply["notes"]]
    return answers, notes, versions


if __name__ == "__main__":
    sys.exit(main())
