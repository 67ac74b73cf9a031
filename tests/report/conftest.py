"""Reports of synthetic runs, each made once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "circuit"))  # the worlds that are measured are the circuit's
sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))  # and the experiments'

from synthetic_lineup import lineup_run
from synthetic_run import (
    HOSTILE_WORLD,
    PYTHIA,
    full_run,
    run_of_only,
    run_that_knows,
    run_without_readout,
    run_without_window,
    text_run,
)

from rote.report import render_text, write_report


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Run folders by name, each with its report.html."""
    root = tmp_path_factory.mktemp("runs")
    found = {
        "full": full_run(root / "full"),
        "pythia": full_run(root / "pythia", PYTHIA),
        "hostile": full_run(root / "hostile", HOSTILE_WORLD),
        "knows_none": run_that_knows(root / "knows_none", 0.0),
        "knows_few": run_that_knows(root / "knows_few", 0.05),
        "no_window": run_without_window(root / "no_window"),
        "no_readout": run_without_readout(root / "no_readout"),
        "text": text_run(root / "text"),
        "hostile_text": text_run(root / "hostile_text", HOSTILE_WORLD),
        "lineup": lineup_run(root / "lineup"),
        "hostile_lineup": lineup_run(root / "hostile_lineup", HOSTILE_WORLD),
        "only_facts": run_of_only(root / "only_facts", "known_facts"),
    }
    for folder in found.values():
        write_report(folder)
    return found


@pytest.fixture(scope="session")
def texts(runs: dict[str, Path]) -> dict[str, str]:
    """The same reports as text, on one line per block of words."""
    return {name: " ".join(render_text(folder).split()) for name, folder in runs.items()}


@pytest.fixture(scope="session")
def pages(runs: dict[str, Path]) -> dict[str, str]:
    return {name: (folder / "report.html").read_text(encoding="utf-8") for name, folder in runs.items()}
