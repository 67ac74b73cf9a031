"""What was aimed at, beside what was measured: one line per target, judged from the measurements alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.activations import activation_bytes
from benchmarks.operations import growing, needed, whole_passes
from benchmarks.shapes import shape_named
from benchmarks.summary import Ratio, doublings, peak_of, ratio, share_of_peak
from benchmarks.tools import TOOLS
from benchmarks.workloads import LENGTH, units, workload_named, worth

Data = Mapping[str, Any]
FASTER = 5.0  # times, for many interventions
SHARE = 0.85  # of the machine's peak, for a plain capture
MEMORY = 1.15  # times the model, beside the stated budget
LINEAR = 1.05  # times as much longer as there are more operations: linear but for the clock
OUT_OF_REACH = "not everywhere: operations do not allow it"
NOR_HOOKS = "not everywhere: nor do hooks that do nothing else"
GUIDES = ("transformer_lens_4", "nnsight")  # as their guides write them


def targets(data: Data) -> str:
    """The table of targets."""
    lines = ["| target | measured | reached |", "|---|---|---|"]
    lines += [f"| {what} | {found} | {verdict} |" for what, found, verdict in _lines(data)]
    return "\n".join(lines)


def _lines(data: Data) -> Iterator[tuple[str, str, str]]:
    shapes = [s for s in data["identity"]["plan"]["shapes"] if data.get("cells", {}).get(s)]
    yield _against(data, shapes, "capture", ("hooks",), 1.0, "(a) no slower than raw hooks")
    yield _share(data, shapes)
    for letter, name in (("b", "neurons"), ("c", "paths")):
        title = f"({letter}) at least {FASTER:g} times as fast as TransformerLens 4.3 and nnsight"
        yield _against(data, shapes, name, GUIDES, FASTER, title)
    for letter, name in (("d", "heads"), ("e", "patching"), ("f", "names")):
        peers = tuple(e.name for e in TOOLS if e.name != "rote" and e.does(name))
        yield _against(data, shapes, name, peers, 1.0, f"({letter}) ahead of every peer")
    yield from _memory(data)
    yield from _growth(data)


def _against(
    data: Data, shapes: Sequence[str], name: str, tools: Sequence[str], least: float, title: str
) -> tuple[str, str, str]:
    """The slowest of the ratios in every shape, and what there is to win where a whole pass is the alternative."""
    parts, verdicts = [], []
    for shape in shapes:
        found = {tool: _ratio(data, shape, name, tool) for tool in tools}
        there = {tool: r for tool, r in found.items() if r is not None}
        if not there:
            continue
        worst = min(there, key=lambda tool: there[tool].value)
        part = f"{shape} {there[worst]}" + (f" ({worst})" if len(tools) > 1 else "")
        most = _most(name, shape) if least > 1 else float("inf")
        parts.append(part if least <= 1 else f"{part}, {most:.1f} by operations")
        verdicts.append(_verdict(there[worst], least, most))
    return title, "; ".join(parts) or "not measured", _together(verdicts)


def _ratio(data: Data, shape: str, name: str, tool: str) -> Ratio | None:
    cells = data["cells"][shape].get(name, {})
    mine, rote = cells.get(tool, {}), cells.get("rote", {})
    if not mine.get("seconds") or not rote.get("seconds") or "failed" in mine or "failed" in rote:
        return None
    amount = worth(workload_named(name), shape_named(shape), tool, mine["units"])
    return ratio(mine["seconds"], amount, rote["seconds"], rote["units"])


def _most(name: str, shape: str) -> float:
    """How many times the operations a whole pass per intervention takes, with logits at all positions."""
    work, of = workload_named(name), shape_named(shape)
    n = units(work, of, "rote")
    return whole_passes(work, of, n, LENGTH) / needed(work, of, n)


def _verdict(found: Ratio, least: float, most: float) -> str:
    if found.value >= least:
        return "yes"
    if most < least:
        return OUT_OF_REACH
    return "within the spread of the rounds" if found.high >= least else "no"


def _together(verdicts: Sequence[str]) -> str:
    """The worst of several."""
    order = ("no", OUT_OF_REACH, NOR_HOOKS, "within the spread of the rounds", "yes")
    return min(verdicts, key=order.index) if verdicts else "–"


def _share(data: Data, shapes: Sequence[str]) -> tuple[str, str, str]:
    """rote's share of the peak in a plain capture, beside that of hooks that do nothing else."""
    parts, verdicts = [], []
    for shape in shapes:
        share, hooks = (_share_of(data, shape, tool) for tool in ("rote", "hooks"))
        if share is not None:
            parts.append(f"{shape} {share:.2f}" + ("" if hooks is None else f" (raw hooks {hooks:.2f})"))
            bounded = hooks is not None and hooks < SHARE
            verdicts.append("yes" if share >= SHARE else NOR_HOOKS if bounded else "no")
    return f"(a) at least {SHARE} of the peak", "; ".join(parts) or "not measured", _together(verdicts)


def _share_of(data: Data, shape: str, tool: str) -> float | None:
    cell = data["cells"][shape].get("capture", {}).get(tool, {})
    if not cell.get("seconds") or "failed" in cell:
        return None
    operations = needed(workload_named("capture"), shape_named(shape), cell["units"])
    return share_of_peak(operations, median(cell["seconds"]), peak_of(data, shape))


def _memory(data: Data) -> Iterator[tuple[str, str, str]]:
    found = data.get("memory", {}).get("rote")
    if not found:
        return
    shape = shape_named(found["shape"])
    for letter, name in (("a", "capture"), ("b", "neurons")):
        budget = activation_bytes(shape, name, found["neurons_units"])
        used = found[f"{name}_peak_bytes"] - found["before_bytes"] - budget
        times = used / (4 * shape.n_parameters)
        title = f"({letter}) at most {MEMORY} times the model, beside the stated budget"
        yield title, f"{shape.name} {times:.2f}", "yes" if times <= MEMORY else "no"


def _growth(data: Data) -> Iterator[tuple[str, str, str]]:
    for what, entry in data.get("growth", {}).items():
        time, work = growth(what, entry)
        worst = max(t / w for t, w in zip(time, work, strict=True))
        found = f"{max(time):.2f} per doubling, operations {max(work):.2f}"
        yield f"time at most linear in {what}", found, "yes" if worst <= LINEAR else "no"


def growth(what: str, entry: Data) -> tuple[list[float], list[float]]:
    """By what factor time and operations grow per doubling."""
    counted = growing(what, entry["amounts"], shape_named(entry["shape"]))
    return (
        doublings(entry["amounts"], [median(times) for times in entry["seconds"]]),
        doublings(entry["amounts"], counted),
    )
