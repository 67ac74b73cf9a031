"""The sections of docs/benchmarks.md on a model of Pythia-2.8B's size: whole studies, and exact sweeps over neurons."""

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
    card = f"{r['card']} and " if "card" in r else ""
    on_card = f" and {r['card_bytes'] / 2**30:.1f} GiB of the card" if "card" in r else ""
    lines = [
        f"**{r['model']}, {r['dtype']}, {r['device']}** ({card}{r['machine']['processor']}, {r['machine']['threads']} "
        f"threads): {r['facts']:,} facts, {line_up}, settings: {settings}. **{r['seconds'] / 60:.1f} minutes** from "
        f"command to report, at most {r['peak_bytes'] / 2**30:.1f} GiB resident{on_card} ({swap}).",
        "",
        "| experiment | parts | seconds |",
        "|---|---:|---:|",
    ]
    for name, seconds in sorted(r["experiments"].items(), key=lambda item: -item[1]):
        lines.append(f"| {name} | {r['shards'][name]:,} | {seconds:,.1f} |")
    lines.append(f"| loading, self-check, hash of weights, tables, report | – | {r['seconds'] - inside:,.1f} |")
    return "\n".join(lines)


NO_SWEEP = "None was measured: `python -m benchmarks.neuron_sweep MODEL` does it."


def neuron_sweeps(found: Mapping[str, Any]) -> str:
    """A row for each model, data type and device, from docs/neuron_sweep.json alone."""
    if not found:
        return NO_SWEEP
    head = (
        "| model | on | ablations | seconds | a second | share of peak | memory over the model | largest difference | "
        "largest effect |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    )
    return "\n".join([*head, *map(_sweep, found.values())])


def _sweep(s: Mapping[str, Any]) -> str:
    share = s["operations"] / s["seconds"] / s["peak_operations_per_second"]
    memory = "–" if s["peak_bytes"] is None else f"{s['peak_bytes'] / s['model_bytes']:.2f}"
    cells = [f"{s['model']}, {s['dtype']}", s["processor"], f"{s['interventions']:,}", f"{s['seconds']:,.1f}"]
    cells += [f"{s['interventions'] / s['seconds']:,.0f}", f"{share:.2f}", memory]
    cells += [f"{s[name]:.1e}" for name in ("furthest_from_whole_passes_nats", "largest_checked_effect_nats")]
    return f"| {' | '.join(cells)} |"
