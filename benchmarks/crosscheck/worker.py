"""One tool's answers to the cross-check, in its own environment."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

SIDES = {
    "rote": "rote_side",
    "hooks": "transformers_side",
    "transformer_lens_4": "lens_side",
    "transformer_lens_2": "lens_side",
    "nnsight": "nnsight_side",
}


def answers(tool: str, folder: Path, save: Path) -> dict[str, Any]:
    """Save every quantity that the tool has; what it has not is left out, with a note."""
    side = import_module(f"benchmarks.crosscheck.{SIDES[tool]}")
    found, notes = side.quantities(tool, folder)
    np.savez(save, **{name: np.asarray(x, dtype=np.float64) for name, x in found.items()})
    return {"notes": notes}
