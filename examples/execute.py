"""`python examples/execute.py NOTEBOOK …`: execute notebooks in place, and keep nothing in them of when or where.

Needs the extra `notebook`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def execute(path: Path) -> None:
    """Run every cell in a fresh kernel and store its outputs; raises at the first cell that fails."""
    notebook = nbformat.read(path, as_version=4)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    NotebookClient(notebook, timeout=600, record_timing=False, resources={"metadata": {"path": path.parent}}).execute()
    notebook.metadata.language_info = {"name": "python"}  # else the interpreter's own version
    for cell in notebook.cells:
        cell.metadata = {}
    nbformat.write(notebook, path)


if __name__ == "__main__":
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # tqdm misses its widgets, which nobody would see
    for name in sys.argv[1:]:
        execute(Path(name).resolve())
