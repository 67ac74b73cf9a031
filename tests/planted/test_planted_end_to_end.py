"""Planted checkpoints through whole studies: the window is found, and no decided verdict is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from calibration.certify import has
from checkpoints import MECHANISMS, READER, WINDOW, plant
from judged import SETTINGS, TRUTHS, study

import rote
from rote.catalog import PREDICTIONS, certificates

SEEDS = range(5)
NAMES: Mapping[str, Mapping[str, Any]] = {
    "three and four tokens": {},
    "two tokens": {"lengths": ((1, 1),), "n_parts": 14, "n_people": 90, "classes": ("cat", "dog", "parrot")},
}
SAID = {"single_step": 5, "look_up": 6, "additive": 2}  # verdicts at least, of those that the truth speaks of


@pytest.mark.slow
@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("truth", MECHANISMS)
def test_no_decided_verdict_is_wrong(truth: str, names: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    for seed in SEEDS:
        found = study(plant(truth, seed, **NAMES[names]), tmp_path / str(seed))
        assert found.window == (WINDOW[0], WINDOW[-1]), (seed, found.circuit.no_window)
        assert found.circuit.concatenating == (0,) and found.circuit.readout_heads[0] == (READER, 0), seed
        assert found.value("effective_accuracy") > 0.85, seed  # a readout centred on other names can lose close calls
        assert not found.wrong, (seed, found.wrong)
        assert len(found.right) >= SAID[truth], (seed, found.verdicts)


@pytest.mark.parametrize("truth", MECHANISMS)
def test_every_truth_is_spoken_of_by_certified_cells(truth: str) -> None:
    """Else no verdict could be wrong, and the test above could not fail."""
    known = certificates()
    spoken = [p for p in PREDICTIONS if has(p, TRUTHS[truth]) is not None and known[p.cell].certified]
    assert len(spoken) >= SAID[truth]


@pytest.mark.parametrize("wide", [True, False])
def test_the_reading_head_is_found_whatever_else_it_sees(wide: bool) -> None:
    cp = plant("single_step", 1, **NAMES["two tokens"], wide=wide)
    model = rote.load_model(cp.model, tokenizer=cp.tokenizer, name="planted")
    circuit, _ = rote.find_circuit(model, cp.table, settings=SETTINGS)
    assert circuit.readout_heads[:1] == ((READER, 0),), circuit.no_window
