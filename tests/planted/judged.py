"""A planted checkpoint through a whole study, small: the window that is found, and every verdict beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from calibration.certify import has
from calibration.measure import SMALL
from checkpoints import Checkpoint

import rote
from rote.catalog.hypotheses import PREDICTIONS, cell_name
from rote.circuit import Circuit
from rote.experiments import EXPERIMENTS
from rote.experiments.base import Experiment
from rote.experiments.parameters import with_parameters
from rote.records.picking import EFFECTIVE
from rote.settings import Settings

TRUTHS = {"single_step": "single_step", "look_up": "hash", "additive": "additive"}  # as the calibration names them
MEASURED = ("effective_model", "layer_probes", "linear_structure", "path_ablation")
LINED_UP = ("single_step", "parallel", "hash_lookup", "additive", "and_gates")
SETTINGS = Settings(
    n_members=5,
    n_bootstrap=200,
    n_member_bootstrap=50,
    n_refine_steps=200,
    max_entities=120,
    product_names=40,
    product_side=40,
    n_resamples_ablation=1,
)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a study of a checkpoint found."""

    circuit: Circuit
    summary: pd.DataFrame
    verdicts: tuple[tuple[str, str, bool], ...]  # cell, verdict, whether the truth has the property; decided ones

    @property
    def window(self) -> tuple[int | None, int | None]:
        return self.circuit.lookup_start, self.circuit.lookup_stop

    @property
    def wrong(self) -> list[str]:
        return [f"{c}: {v}" for c, v, true in self.verdicts if v == ("inconsistent" if true else "consistent")]

    @property
    def right(self) -> list[str]:
        return [f"{c}: {v}" for c, v, true in self.verdicts if v == ("consistent" if true else "inconsistent")]

    def value(self, statistic: str, stack: str = EFFECTIVE) -> float:
        rows = self.summary[(self.summary["statistic"] == statistic) & (self.summary["stack"] == stack)]
        return float(rows["value"].iloc[0])


def study(cp: Checkpoint, folder: Path, names: Sequence[str] = MEASURED, settings: Settings = SETTINGS) -> Judged:
    """A study with five controls, by the parameters that the calibration has for small worlds."""
    model = rote.load_model(cp.model, tokenizer=cp.tokenizer, name=f"planted {cp.truth}")
    controls = [control for control in rote.CONTROLS if control.name in LINED_UP]
    run = rote.study(
        model, cp.table, folder=folder, settings=settings, experiments=_small(names), controls=controls
    )  # fmt: skip
    circuit, _ = rote.find_circuit(model, cp.table, settings=settings)
    decided = [_decided(outcome, cp.truth) for outcome in run.outcomes.to_dict("records")]
    return Judged(circuit=circuit, summary=run.summary, verdicts=tuple(found for found in decided if found))


def _small(names: Sequence[str]) -> Sequence[Experiment]:
    chosen = [e for e in EXPERIMENTS if e.name in names]
    return with_parameters(chosen, {place: v for place, v in SMALL.items() if place.split(".")[0] in names})


def _decided(outcome: dict[str, Any], truth: str) -> tuple[str, str, bool] | None:
    """A verdict, where it is one and the truth says whether it is right."""
    condition = None if pd.isna(outcome["condition"]) else outcome["condition"]
    name = cell_name(outcome["hypothesis"], outcome["experiment"], outcome["statistic"], condition)
    cell = next(p for p in PREDICTIONS if p.cell == name)
    true = has(cell, TRUTHS[truth])
    if true is None or outcome["verdict"] not in ("consistent", "inconsistent"):
        return None
    return cell.cell, str(outcome["verdict"]), true
