"""The study that is killed: the bundled organism, a few facts, a few experiments, one control; two seconds in all."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import rote
from rote.execute import OnEvent
from rote.execute.abstract import ignore
from rote.experiments import EXPERIMENTS, Experiment
from rote.experiments.parameters import with_parameters
from rote.facts import FactTable, read_facts
from rote.lineup import Additive
from rote.model import Model
from rote.organisms import BUNDLED
from rote.pipeline.run import Run

SETTINGS = rote.Settings(
    n_bootstrap=20, batch_size=32, product_side=8, product_names=12, max_entities=24, n_top_heads=2,
    n_resamples_ablation=1, min_known=12, n_members=2,
    n_trained_members=1, n_member_bootstrap=10, n_refine_steps=4,
)  # fmt: skip
CHOSEN = ("known_facts", "head_attention", "direct_effects", "linear_structure", "known_norms", "nonlinear_excess")
CONTROLS = (Additive(),)
N_PER_CLASS = 8


@cache
def model() -> Model:
    return rote.load_model(BUNDLED)


@cache
def facts() -> FactTable:
    """The first facts of each sport."""
    table = read_facts("athletes", relation="sport", prefix="")
    classes = sorted({fact.attribute for fact in table.facts})
    kept = [f for name in classes for f in [f for f in table.facts if f.attribute == name][:N_PER_CLASS]]
    return replace(table, facts=tuple(sorted(kept, key=table.facts.index)), left_out=())


def experiments() -> tuple[Experiment, ...]:
    small = {"linear_structure.n_pairs": 10, "linear_structure.n_pair_draws": 2, "known_norms.n_unknown": 40}
    return with_parameters([e for e in EXPERIMENTS if e.name in CHOSEN], small)


def study(folder: Path, on_event: OnEvent = ignore, **more: object) -> Run:
    """Run the study in this process."""
    return rote.study(
        model(),
        facts(),
        folder=folder,
        settings=SETTINGS,
        experiments=experiments(),
        controls=CONTROLS,
        on_event=on_event,
        **more,  # type: ignore[arg-type]
    )


def command(folder: Path, inputs: Path) -> list[str]:
    """The arguments of `rote` for the same study; its input files are written into `inputs`."""
    table, settings = inputs / "facts.csv", inputs / "settings.json"
    rows = ["entity,sport", *(f"{f.entity},{f.attribute}" for f in facts().facts)]
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    settings.write_text(json.dumps(SETTINGS.as_dict()), encoding="utf-8")
    return [
        "study", str(BUNDLED), "--facts", str(table), "--relation", "sport", "--prefix", "", "--out", str(folder),
        "--template", "Fact: {} plays the sport of", "--settings", str(settings), "--experiments", ",".join(CHOSEN),
        "--controls", "additive",
    ]  # fmt: skip


def tables(folder: Path) -> dict[str, bytes]:
    """What has to be the same byte for byte: summary, absent values, verdicts and long tables."""
    files = [folder / f"{name}.{kind}" for name in ("summary", "absent") for kind in ("json", "parquet")]
    files += [folder / "outcomes.json", *sorted((folder / "records").rglob("*.parquet"))]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def leftovers(folder: Path) -> list[str]:
    """Locks and temporary files, of which a finished run has none."""
    found = [*folder.rglob("*lock"), *folder.rglob("*.tmp")]
    return sorted(str(path.relative_to(folder)) for path in found)
