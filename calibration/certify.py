"""From observed worlds to certificates: reaches tuned on some worlds, every cell certified on the others."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import beta

from calibration.run import CERTIFIED, FIRST_CERTIFYING, N_TUNING, read
from rote.catalog.hypotheses import PARTIAL, PREDICTIONS, Prediction
from rote.judge import Position, decide
from rote.pipeline.line_up import LEAST_MATCHED
from rote.statistics import new_member

CONTROL_OF = {
    "single_step": "single_step",
    "parallel": "parallel",
    "hash": "hash_lookup",
    "additive": "additive",
    "and_gates": "and_gates",
}
REACHES = (0.0, 0.1, 0.2, 0.3, 0.4)
ERROR_ALLOWED, RIGHT_WANTED = 0.05, 0.8
CERTIFICATION = Path("src/rote/catalog/certification.json")

World = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """The verdicts on one cell in the worlds of one truth."""

    worlds: int
    verdicts: Counter[str]
    has: bool

    @property
    def decisive(self) -> int:
        return self.worlds - self.verdicts["not decisive"] - self.verdicts["not applicable"]

    @property
    def right(self) -> int:
        return self.verdicts["consistent" if self.has else "inconsistent"]

    @property
    def wrong(self) -> int:
        return self.verdicts["inconsistent" if self.has else "consistent"]

    @property
    def error(self) -> tuple[float, float] | None:
        """95 % Clopper–Pearson interval of the error rate among decisive cases."""
        return clopper_pearson(self.wrong, self.decisive) if self.decisive else None

    @property
    def power(self) -> float:
        """Right verdicts over all worlds, undecided ones included."""
        return self.right / self.worlds

    @property
    def good(self) -> bool:
        """Certified: the error's upper end is small enough, and decisive cases are mostly right."""
        error = self.error
        return error is not None and error[1] <= ERROR_ALLOWED and self.right >= RIGHT_WANTED * self.decisive


def clopper_pearson(wrong: int, n: int) -> tuple[float, float]:
    """The exact 95 % interval of a rate."""
    low = float(beta.ppf(0.025, wrong, n - wrong + 1)) if wrong else 0.0
    high = float(beta.ppf(0.975, wrong + 1, n - wrong)) if wrong < n else 1.0
    return low, high


def has(prediction: Prediction, truth: str) -> bool | None:
    """Whether a truth has the property that a cell tests; None where the cell predicts nothing of it."""
    control = CONTROL_OF.get(truth)
    if control in prediction.with_controls:
        return True
    return False if control in prediction.without_controls else None


def verdict(cell: Mapping[str, Any], prediction: Prediction, reach: float, *, own_noise: bool = False) -> str:
    """The verdict on one world. `own_noise` adds the members' own entity noise to their spread, as a variant."""
    if cell["model"] is None:
        return "not applicable"
    value, low, high = cell["model"]
    sides = []
    for names in (prediction.with_controls, prediction.without_controls):
        positions = (_control(name, cell["controls"].get(name, ()), own_noise) for name in names)
        sides.append([p for p in positions if p is not None])
    if not all(sides):
        return "not decisive"
    return decide(Position(name="effective", value=value, low=low, high=high), *sides, reach=reach).verdict


def _control(name: str, members: Sequence[Sequence[float | None]], own_noise: bool) -> Position | None:
    if len(members) < LEAST_MATCHED:
        return None
    nothing = [None] * len(members)
    lows, highs = ([m[1] for m in members], [m[2] for m in members]) if own_noise else (nothing, nothing)
    found = new_member([float(m[0] or 0.0) for m in members], lows, highs)
    return Position(name=name, value=found.value, low=found.ci_low, high=found.ci_high, members=len(members))


def tally(worlds: Iterable[World], prediction: Prediction, reach: float, **variant: bool) -> dict[str, Tally]:
    """Per truth that the cell says something of, its verdicts."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for world in worlds:
        if prediction.cell in world["cells"] and has(prediction, world["truth"]) is not None:
            counts[world["truth"]][verdict(world["cells"][prediction.cell], prediction, reach, **variant)] += 1
    return {
        truth: Tally(worlds=sum(counts[truth].values()), verdicts=counts[truth], has=bool(has(prediction, truth)))
        for truth in CERTIFIED
        if truth in counts
    }


def tuned(worlds: Sequence[World], prediction: Prediction) -> float:
    """The reach with the fewest wrong verdicts, then the most right ones in the truth where it does worst."""

    def quality(reach: float) -> tuple[float, float, float]:
        tallies = tally(worlds, prediction, reach).values()
        wrong = sum(t.wrong for t in tallies)
        decided = [t.right / t.decisive for t in tallies if t.decisive]
        return -wrong, round(min(decided, default=0.0), 2), -reach

    return max(REACHES, key=quality)


def fresh_members(worlds: Iterable[World], prediction: Prediction, reach: float) -> Counter[str]:
    """Each member of each control in the model's place, judged by the others: right, wrong, other, undecided."""
    counts: Counter[str] = Counter()
    for world in worlds:
        cell = world["cells"].get(prediction.cell)
        if cell is None:
            continue
        for side, wrong in (("consistent", "inconsistent"), ("inconsistent", "consistent")):
            names = prediction.with_controls if side == "consistent" else prediction.without_controls
            for name in names:
                members = cell["controls"].get(name, [])
                for i, member in enumerate(members):
                    others = {**cell["controls"], name: [*members[:i], *members[i + 1 :]]}
                    found = verdict({"model": member, "controls": others}, prediction, reach)
                    counts[{side: "right", wrong: "wrong", "not decisive": "undecided"}.get(found, "other")] += 1
    return counts


@dataclass(frozen=True, kw_only=True)
class Certified:
    """What the calibration found: all worlds, those that tuned and that certified, and what they say of every cell."""

    everything: list[World]
    tuning: list[World]
    certifying: list[World]
    results: list[tuple[Prediction, float, dict[str, Tally]]]
    cells: dict[str, dict[str, Any]]


def certify(path: Path) -> Certified:
    """Tune, certify, and write certification.json."""
    everything = list(read(path))
    worlds = [w for w in everything if "cells" in w]
    tuning = [w for w in worlds if w["seed"] < N_TUNING]
    certifying = [w for w in worlds if w["seed"] >= FIRST_CERTIFYING]
    results = []
    for prediction in PREDICTIONS:
        if prediction.hypothesis != PARTIAL:
            reach = tuned(tuning, prediction)
            # what is measured in the first worlds only is never decisive; that is shown, and certifies nothing
            found = tally(certifying, prediction, reach) or tally(tuning, prediction, reach)
            results.append((prediction, reach, found))
    cells = {p.cell: _certificate(reach, tallies) for p, reach, tallies in results}
    dose = {**_certificate(0.0, {}), "note": "a dose is read off as the nearest one, never judged"}
    cells |= {p.cell: dose for p in PREDICTIONS if p.hypothesis == PARTIAL}
    content = {"note": "written by `make calibration`; see docs/calibration.md", "cells": cells}
    CERTIFICATION.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return Certified(everything=everything, tuning=tuning, certifying=certifying, results=results, cells=cells)


def _certificate(reach: float, tallies: Mapping[str, Tally]) -> dict[str, Any]:
    """One entry of certification.json: figures of the worst truth, since every truth has to pass."""
    sides = {t.has for t in tallies.values() if t.decisive}
    worst = max(tallies.items(), key=lambda item: _badness(item[1]), default=None)
    certified = sides == {True, False} and all(t.good for t in tallies.values() if t.decisive)
    entry: dict[str, Any] = {"certified": certified, "wrong": 0, "n": 0, "low": None, "high": None, "power": None}
    if worst is not None:
        truth, found = worst
        low, high = found.error or (None, None)
        entry |= {"wrong": found.wrong, "n": found.decisive, "low": low, "high": high, "power": found.power}
        entry["note"] = f"the worst truth is {truth}"
    if sides != {True, False}:
        missing = [t for t, found in tallies.items() if not found.decisive]
        entry["note"] = f"never decisive where the truth is {', '.join(missing)}"
    return {**entry, "note": entry.get("note", "no planted world"), "reach": reach}


def _badness(found: Tally) -> tuple[bool, bool, float, float]:
    """Decided truths first, among them those that fail, then the least certain."""
    error = found.error
    return (error is not None, not found.good, error[1] if error else 0.0, -found.power)
