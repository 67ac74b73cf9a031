"""docs/calibration.md, written from the tallies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from calibration.certify import Certified, Tally, World, clopper_pearson, fresh_members, tally, verdict
from calibration.measure import SETTINGS
from calibration.run import CERTIFIED
from rote.catalog.hypotheses import Prediction

PAGE = Path("docs/calibration.md")
TEXT = Path(__file__).with_name("page.md")
NAMES = {"single_step": "single step", "and_gates": "AND gates"}

Results = Sequence[tuple[Prediction, float, Mapping[str, Tally]]]


def write_page(found: Certified) -> None:
    """Fill the page's template with what was observed."""
    tuning, certifying, results, cells = found.tuning, found.certifying, found.results, found.cells
    failed = [w for w in found.everything if "cells" not in w]
    observed = [*tuning, *certifying]
    seconds = sum(float(w["seconds"]) for w in observed)
    text = TEXT.read_text(encoding="utf-8").format(
        worlds=_worlds(tuning, certifying),
        n_failed=len(failed),
        seconds=f"{seconds / max(len(observed), 1):.0f}",
        hours=f"{seconds / 3600:.1f}",
        unmatched=_unmatched(observed),
        settings=f"{SETTINGS.n_members} members of each control",
        certified=_certified(results, cells),
        cells=_cells(results, cells),
        overall=_overall(results, cells),
        fresh=_fresh(certifying, results, cells),
        variants=_variants(certifying, results),
        free=_free(certifying + list(tuning), results, cells),
    )
    PAGE.write_text(text, encoding="utf-8")


def _name(prediction: Prediction) -> str:
    """The statistic, with its condition where it has one."""
    condition = prediction.select.condition
    return f"`{prediction.statistic}`" + (f" ({condition})" if condition else "")


def _worlds(tuning: Sequence[World], certifying: Sequence[World]) -> str:
    rows = ["| planted | tuned on | certified on |", "|---|---|---|"]
    for truth in CERTIFIED:
        counts = [sum(w["truth"] == truth for w in half) for half in (tuning, certifying)]
        rows.append(f"| {NAMES.get(truth, truth)} | {counts[0]} | {counts[1]} |")
    return "\n".join(rows)


def _unmatched(worlds: Sequence[World]) -> str:
    total: Counter[str] = Counter()
    for world in worlds:
        total.update(world["unmatched"])
    if not total:
        return "Every member of every control was matched."
    return "Members that could not be matched, and so were left out: " + ", ".join(
        f"{name} {n:,}" for name, n in total.most_common()
    )


def _certified(results: Results, cells: Mapping[str, Mapping[str, Any]]) -> str:
    rows = ["| hypothesis | certified tests | tests that are not |", "|---|---|---|"]
    for name in dict.fromkeys(p.hypothesis for p, _, _ in results):
        mine = [p for p, _, _ in results if p.hypothesis == name]
        good = [_name(p) for p in mine if cells[p.cell]["certified"]]
        bad = [_name(p) for p in mine if not cells[p.cell]["certified"]]
        rows.append(f"| {name} | {', '.join(good) or 'none'} | {', '.join(bad) or 'none'} |")
    return "\n".join(rows)


def _cells(results: Results, cells: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        "| hypothesis | statistic | reach | planted | has it | worlds | decisive | right | wrong | error rate | power "
        "| certified |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for prediction, reach, tallies in results:
        for truth, found in tallies.items():
            error = "" if found.error is None else f"[{found.error[0]:.3f}, {found.error[1]:.3f}]"
            rows.append(
                f"| {prediction.hypothesis} | {_name(prediction)} | {reach:g} | {NAMES.get(truth, truth)} "
                f"| {'yes' if found.has else 'no'} | {found.worlds} | {found.decisive} | {found.right} | {found.wrong} "
                f"| {error} | {found.power:.2f} | {'yes' if cells[prediction.cell]['certified'] else 'no'} |"
            )
    return "\n".join(rows)


def _overall(results: Results, cells: Mapping[str, Mapping[str, Any]]) -> str:
    good = [t for p, _, tallies in results if cells[p.cell]["certified"] for t in tallies.values()]
    wrong, n = sum(t.wrong for t in good), sum(t.decisive for t in good)
    right = sum(t.right for t in good)
    if not n:
        return "No cell is certified."
    low, high = clopper_pearson(wrong, n)
    return (
        f"Over all certified cells and all certifying worlds, {wrong} of {n:,} decisive verdicts were wrong "
        f"([{low:.4f}, {high:.4f}]) and {right:,} right ({right / n:.1%}); the others said `in between` or "
        "`unlike all controls`. Cells of one world are not independent; the interval of a single cell is."
    )


def _fresh(worlds: Sequence[World], results: Results, cells: Mapping[str, Mapping[str, Any]]) -> str:
    rows = ["| hypothesis | statistic | right | wrong | neither | undecided |", "|---|---|---|---|---|---|"]
    for prediction, reach, _ in results:
        if cells[prediction.cell]["certified"]:
            found = fresh_members(worlds, prediction, reach)
            counts = " | ".join(f"{found[name]:,}" for name in ("right", "wrong", "other", "undecided"))
            rows.append(f"| {prediction.hypothesis} | {_name(prediction)} | {counts} |")
    return "\n".join(rows)


def _variants(worlds: Sequence[World], results: Results) -> str:
    rows = [
        "| hypothesis | statistic | right: as shipped | members' own noise added | no reach "
        "| wrong: as shipped | noise added | no reach |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for prediction, reach, shipped in results:
        noisy, plain = tally(worlds, prediction, reach, own_noise=True), tally(worlds, prediction, 0.0)
        right, wrong = [], []
        for variant in (shipped, noisy, plain):
            total = sum(t.worlds for t in variant.values())
            right.append(f"{sum(t.right for t in variant.values()) / max(total, 1):.0%}")
            wrong.append(str(sum(t.wrong for t in variant.values())))
        rows.append(f"| {prediction.hypothesis} | {_name(prediction)} | {' | '.join(right)} | {' | '.join(wrong)} |")
    return "\n".join(rows)


def _free(worlds: Sequence[World], results: Results, cells: Mapping[str, Mapping[str, Any]]) -> str:
    free = [w for w in worlds if w["truth"] == "free"]
    rows = ["| hypothesis | statistic | verdicts |", "|---|---|---|"]
    for prediction, reach, _ in results:
        if cells[prediction.cell]["certified"]:
            found = Counter(verdict(w["cells"][prediction.cell], prediction, reach) for w in free)
            rows.append(
                f"| {prediction.hypothesis} | {_name(prediction)} | "
                + ", ".join(f"{name} {n}" for name, n in found.most_common())
                + " |"
            )
    return "\n".join(rows)
