"""`python -m rote.catalog [FILE]`: write the rendered catalog to FILE, or print it."""

from __future__ import annotations

import sys
from pathlib import Path

from rote.catalog.document import render_markdown

if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(render_markdown(), encoding="utf-8")
    else:
        sys.stdout.write(render_markdown())
