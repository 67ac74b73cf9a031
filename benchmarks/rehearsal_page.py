"""The section of docs/benchmarks.md on rehearsals, from docs/rehearsal.json alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NONE = "None was measured: `make rehearsal TOKENIZER=FOLDER` does it."


def rehearsals(found: Mapping[str, Any]) -> str:
    """One part for each model and device: minutes, memory, and seconds by experiment."""
    return "\n\n".join(_one(rehearsal) for rehearsal in found.values()) or NONE


def _one(r: Mapping[str, Any]) -> str:
    named = None if r["controls"] is None else r["controls"].split(",")
    line_up = "the whole line-up" if named is None else f"{len(named)} controls ({', '.join(named)})"
    settings = ", ".join(f"{name} {value}" for name, value in r["settings"].items())
    swap = f"{r['swap_bytes'] / 2**30:.0f} GiB of swap there" if r["swap_bytes"] else "no swap there"
    inside = sum(r["experiments"].values())
    lines = [
        f"**{r['model']}, {r['dtype']}, {r['device']}** ({r['machine']['processor']}, {r['machine']['threads']} "
        f"threads): {r['facts']} facts, {line_up}, settings: {settings}. **{r['seconds'] / 60:.1f} minutes** from "
        f"command to report, at most {r['peak_bytes'] / 2**30:.1f} GiB resident ({swap}).",
        "",
        "| experiment | parts | seconds |",
        "|---|---:|---:|",
    ]
    for name, seconds in sorted(r["experiments"].items(), key=lambda item: -item[1]):
        lines.append(f"| {name} | {r['shards'][name]:,} | {seconds:,.1f} |")
    lines.append(f"| loading, self-check, hash of weights, tables, report | – | {r['seconds'] - inside:,.1f} |")
    return "\n".join(lines)
