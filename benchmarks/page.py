"""docs/benchmarks.md, from the template and a run's measurements alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.activations import activation_bytes
from benchmarks.operations import WHOLE_PASSES, asked, needed, whole_passes
from benchmarks.rehearsal_page import neuron_sweeps, rehearsals
from benchmarks.shapes import Shape, shape_named
from benchmarks.summary import TOLERANCE, peak_of, per_unit, ratio, share_of_peak
from benchmarks.targets import growth, targets
from benchmarks.tools import TOOLS, Entry
from benchmarks.workloads import BATCH, END, LENGTH, SUBJECT, WORKLOADS, Workload, units, worth

TEMPLATE = Path(__file__).with_name("page.md")
COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")

Data = Mapping[str, Any]


def write_page(data: Data, page: Path) -> None:
    """Fill the template; rehearsals and sweeps come from the files beside the page."""
    page.parent.mkdir(parents=True, exist_ok=True)
    rehearsed, swept = (_beside(page, name) for name in ("rehearsal.json", "neuron_sweep.json"))
    page.write_text(text_of(data, rehearsed, swept), encoding="utf-8")


def _beside(page: Path, name: str) -> Data:
    file = page.with_name(name)
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}  # type: ignore[no-any-return]


def text_of(data: Data, rehearsed: Data | None = None, swept: Data | None = None) -> str:
    """The page's text."""
    plan = data["identity"]["plan"]
    text = TEMPLATE.read_text(encoding="utf-8").format(
        complete=_complete(data),
        machine=machine_in_words(data["machine"]),
        threads=plan["threads"],
        batch=BATCH,
        tolerance=f"{TOLERANCE:g}",
        peaks=", ".join(f"{peak_of(data, name) / 1e9:.0f} ({name})" for name in data["peak"]),
        sizes=_sizes(data["peak"].values()),
        targets=targets(data),
        workloads="\n\n".join(_workload(w, data) for w in WORKLOADS),
        memory=_memory(data),
        growth=_growth(data),
        rehearsals=rehearsals(rehearsed or {}),
        sweeps=neuron_sweeps(swept or {}),
        versions=_versions(data),
        failures=_failures(data),
    )
    return text.rstrip() + "\n"


def _sizes(peaks: Iterable[Data]) -> str:
    """The best rate at each size, in billions of operations a second."""
    best: dict[str, float] = {}
    for entry in (entry for peak in peaks for entry in peak["sizes"]):
        size, rate = " × ".join(str(n) for n in entry["size"]), entry["operations_per_second"] / 1e9
        best[size] = max(rate, best.get(size, 0.0))
    return "; ".join(f"{size}: {rate:.0f}" for size, rate in best.items())


def machine_in_words(machine: Data) -> str:
    """Processor, cores, memory: no names of hosts."""
    cores = machine["cores"]
    count = COUNTS[cores] if cores < len(COUNTS) else str(cores)
    gib = machine["memory_bytes"] / 2**30
    plural = "core" if cores == 1 else "cores"
    return (
        f"{count.capitalize()} {plural} of an {machine['processor']} ({machine['vector_instructions']}), {gib:.0f} GiB"
    )


def _complete(data: Data) -> str:
    how = "All in one run." if data["parts"] == 1 else f"The run was stopped and gone on with: {data['parts']} parts."
    return how if data.get("complete") else f"**Not finished: some measurements are missing.** {how}"


def _workload(workload: Workload, data: Data) -> str:
    lines = [f"## ({workload.letter}) {workload.title[0].upper()}{workload.title[1:]}", ""]
    if workload.name in ("neurons", "paths"):
        lines += [f"Edits at position {SUBJECT} of {LENGTH}, answers read at position {END}.", ""]
    if workload.name in WHOLE_PASSES:
        lines += [_whole_passes(workload, data["identity"]["plan"]["shapes"]), ""]
    lines += [
        "| model | tool | units | repetitions | ms per "
        + workload.unit
        + " | time over rote's | share of peak | agrees |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in data["identity"]["plan"]["shapes"]:
        lines += [_cell(workload, shape_named(name), entry, data) for entry in TOOLS if entry.does(workload.name)]
    return "\n".join(lines)


def _whole_passes(workload: Workload, shapes: Sequence[str]) -> str:
    """How much there is to win over a whole pass per intervention, in operations."""
    found: dict[str, list[str]] = {"the last position": [], "all positions": []}
    for name in shapes:
        shape = shape_named(name)
        n = units(workload, shape, "rote")
        for what, each in ((k, 1 if k == "the last position" else LENGTH) for k in found):
            over = whole_passes(workload, shape, n, each) / needed(workload, shape, n)
            found[what].append(f"{over:.1f} ({name})")
    listed = "; ".join(f"with logits at {what} {', '.join(figures)}" for what, figures in found.items())
    return (
        f"Operations of a whole pass per intervention over those needed: {listed}. At one rate of operations, no "
        "exact method can win more."
    )


def _cell(workload: Workload, shape: Shape, entry: Entry, data: Data) -> str:
    cells = data.get("cells", {}).get(shape.name, {}).get(workload.name, {})
    mine, rote = cells.get(entry.name, {}), cells.get("rote", {})
    start = f"| {shape.name} | {entry.title} |"
    agrees = f"{mine['agreement']:.1e}" if "agreement" in mine else "–"
    if "failed" in mine:
        return f"{start} – | – | failed: {_plain(mine['failed'])} | – | – | {agrees} |"
    if not mine.get("seconds"):
        reason = data.get("failures", {}).get(entry.of or entry.name)
        why = _plain(next(iter(reason.values()))) if reason else "not measured: the time was up"
        return f"{start} – | – | {why} | – | – | {agrees} |"
    seconds, n = mine["seconds"], mine["units"]
    amount, over = worth(workload, shape, entry.name, n), "–"
    if entry.name == "rote":
        over = "1"
    elif rote.get("seconds") and "failed" not in rote:
        over = str(ratio(seconds, amount, rote["seconds"], rote["units"]))
    operations, peak = asked(workload, shape, entry.name, n), peak_of(data, shape.name)
    share = f"{share_of_peak(operations, median(seconds), peak):.2f}"
    return f"{start} {n:,} | {len(seconds)} | {1e3 * per_unit(seconds, amount):.3g} | {over} | {share} | {agrees} |"


def _plain(text: str) -> str:
    """One line that breaks no table and shows no path."""
    words = [word if "/" not in word or word.startswith("http") else Path(word).name for word in text.split()]
    return " ".join(words).replace("|", "/")[:160]


def _memory(data: Data) -> str:
    found = data.get("memory", {})
    if not found:
        return "Not measured."
    shape = shape_named(next(iter(found.values()))["shape"])
    model = 4 * shape.n_parameters
    neurons = found.get("rote", {}).get("neurons_units", 0)
    budget = {name: activation_bytes(shape, name, neurons) for name in ("capture", "neurons")}
    lines = [
        f"Most bytes resident while the tool works, less those resident before loading, over the model's own "
        f"{model / 2**20:.0f} MiB ({shape.name}); *loading* is the most while the model is read. The stated activation "
        f"budget of rote is {budget['capture'] / 2**20:.0f} MiB in (a), {budget['neurons'] / 2**20:.0f} MiB in (b) "
        "(`benchmarks/activations.py` says of what); columns *less budget* take it off rote's.",
        "",
        "| tool | loading | (a) | (a) less budget | (b) | (b) less budget |",
        "|---|---|---|---|---|---|",
    ]
    for entry in (e for e in TOOLS if e.only is None):
        if entry.name not in found:
            reason = data.get("failures", {}).get(entry.name)
            why = _plain(next(iter(reason.values()))) if reason else "not measured"
            lines.append(f"| {entry.title} | {why} | – | – | – | – |")
            continue
        mine = found[entry.name]
        used = {k: mine[f"{k}_peak_bytes"] - mine["before_bytes"] for k in ("loading", "capture", "neurons")}
        figures: list[str] = [f"{used['loading'] / model:.2f}"]
        for name, most in budget.items():
            less = f"{(used[name] - most) / model:.2f}" if entry.name == "rote" else "–"
            figures += [f"{used[name] / model:.2f}", less]
        lines.append(f"| {entry.title} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _growth(data: Data) -> str:
    found = data.get("growth", {})
    if not found:
        return "Not measured."
    lines = ["| what doubles | amounts | seconds | factor per doubling | of operations |", "|---|---|---|---|---|"]
    for what, entry in found.items():
        seconds = [median(times) for times in entry["seconds"]]
        factors, work = (", ".join(f"{x:.2f}" for x in found) for found in growth(what, entry))
        amounts, times = ", ".join(f"{n:,}" for n in entry["amounts"]), ", ".join(f"{s:.2f}" for s in seconds)
        lines.append(f"| {what} | {amounts} | {times} | {factors} | {work} |")
    return "\n".join(lines)


def _versions(data: Data) -> str:
    lines = ["| tool | packages |", "|---|---|"]
    for entry in (e for e in TOOLS if e.of is None):
        found = data.get("versions", {}).get(entry.name)
        packages = ", ".join(f"{k} {v}" for k, v in found.items()) if found else "not installed"
        lines.append(f"| {entry.title} | {packages} |")
    return "\n".join(lines)


def _failures(data: Data) -> str:
    rows: Sequence[str] = [
        f"- {name}, {what}: {_plain(reason)}"
        for name, found in data.get("failures", {}).items()
        for what, reason in found.items()
    ]
    return "\n".join(["## What failed", "", *rows]) if rows else ""
