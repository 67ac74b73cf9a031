from __future__ import annotations

import sys
from pathlib import Path

for neighbour in ("stack", "circuit"):  # stacks from random numbers, and the bundled organism's
    sys.path.insert(0, str(Path(__file__).parents[1] / neighbour))
