"""The table of the cross-check, and docs/crosscheck.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.crosscheck.quantities import CONFIGS, INTERVENTIONS, expected, groups
from benchmarks.summary import TOLERANCE, relative
from benchmarks.tools import entry_named

Answers = Mapping[str, Mapping[str, np.ndarray]]

HEAD = """# The same numbers from other tools

Written by `make crosscheck`: rote's captures and interventions beside those of other tools, on tiny models of three
families with random weights, norms and biases that matter, in float32. Each figure is max|a − b| / max|b| with the
other tool's values as b, the worst over layers; {tolerance} is allowed. The peers run unfolded and uncentred. `–`:
there is no such place in this family (blocks of gpt_neox are parallel).
"""


def gap(mine: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], names: Sequence[str]) -> float:
    """The worst relative difference over quantities; infinite where one is missing, misshapen or not finite."""
    worst = 0.0
    for name in names:
        if name not in mine or name not in theirs or mine[name].shape != theirs[name].shape:
            return float("inf")
        if not (np.isfinite(mine[name]).all() and np.isfinite(theirs[name]).all()):
            return float("inf")
        worst = max(worst, relative(mine[name], theirs[name]))
    return worst


def table(found: Mapping[str, Answers], tools: Sequence[str]) -> tuple[list[str], bool]:
    """Rows of quantities, columns of tool and family; and whether every figure is within the tolerance."""
    columns = [(tool, family) for tool in tools for family in CONFIGS]
    lines = ["| quantity | " + " | ".join(f"{entry_named(t).title}: {f}" for t, f in columns) + " |"]
    lines.append("|---|" + "---|" * len(columns))
    agrees = True
    for row, belongs in groups().items():
        cells = []
        for tool, family in columns:
            names = [name for name in expected(family) if belongs(name)]
            if not names:
                cells.append("–")
                continue
            if tool not in found:
                cells.append("failed")
                agrees = False
                continue
            figure = gap(found["rote"][family], found[tool][family], names)
            agrees = agrees and figure <= TOLERANCE
            cells.append(_figure(figure))
        lines.append(f"| `{row}` | {' | '.join(cells)} |")
    return lines, agrees


def _figure(figure: float) -> str:
    if not np.isfinite(figure):
        return "**missing**"
    text = "0" if figure == 0 else f"{figure:.1e}"
    return text if figure <= TOLERANCE else f"**{text}**"


def page(
    rows: Sequence[str],
    tools: Sequence[str],
    notes: Mapping[str, Sequence[str]],
    versions: Mapping[str, Mapping[str, Any]],
    failures: Mapping[str, str],
) -> str:
    """The whole page."""
    lines = [HEAD.format(tolerance=f"{TOLERANCE:g}"), *rows, "", "## Interventions", ""]
    lines += [f"- `{name}`: {what}" for name, what in INTERVENTIONS.items()]
    lines += ["", "## Where a tool means something else", ""]
    lines += [f"- {entry_named(tool).title}, {note}." for tool in tools for note in notes.get(tool, [])]
    lines += [
        "- mlp_pre of a gated MLP is the gate's pre-activation, in every tool.",
        "- k and v of fewer key–value heads were repeated to the query heads, as they enter the products.",
        "",
        "## Versions",
        "",
    ]
    for tool, packages in versions.items():
        lines.append(f"- {entry_named(tool).title}: {', '.join(f'{k} {v}' for k, v in packages.items())}")
    if failures:
        lines += ["", "## What failed", ""]
        lines += [f"- {entry_named(tool).title}: {reason[:300]}" for tool, reason in failures.items()]
    return "\n".join(lines) + "\n"
