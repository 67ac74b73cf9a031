"""The pages from measurements alone: what failed shows its reason, and nothing names this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from benchmarks.crosscheck.page import gap, table
from benchmarks.crosscheck.quantities import CONFIGS, expected
from benchmarks.operations import needed
from benchmarks.page import machine_in_words, text_of
from benchmarks.run import QUICK
from benchmarks.shapes import shape_named
from benchmarks.targets import NOR_HOOKS
from benchmarks.tools import TOOLS
from benchmarks.workloads import WORKLOADS, Workload, workload_named, worth

MACHINE = {"processor": "AMD EPYC", "cores": 2, "threads": 2, "memory_bytes": 24 * 2**30, "vector_instructions": "AVX2"}


@pytest.fixture
def data() -> dict[str, Any]:
    """Every tool at 10 ms per unit, rote at 2; pyvene not installed; nnsight wrong in one workload."""
    cells: dict[str, Any] = {}
    for workload in WORKLOADS:
        there = [entry.name for entry in TOOLS if entry.name != "pyvene"]
        cells[workload.name] = {name: _cell(workload, name, 0.002 if name == "rote" else 0.01) for name in there}
    cells["names"]["nnsight"] = {"agreement": 0.5, "failed": "its results differ from raw Hugging Face's by 0.5"}
    return {
        "identity": {"plan": asdict(QUICK), "source": "abc"},
        "parts": 1,
        "complete": True,
        "machine": MACHINE,
        "peak": {
            "pythia-70m": {
                "operations_per_second": 2e11,
                "sizes": [{"size": [64, 768, 3072], "operations_per_second": 2e11}],
            }
        },
        "versions": {"rote": {"rote-lm": "0.1.0", "torch": "2.13.0"}},
        "failures": {"pyvene": {"environment": "no wheel for /some/secret/path/torch"}},
        "memory": {"rote": dict(shape="pythia-70m", before_bytes=0, neurons_units=140, **_peaks(2**29))},
        "growth": {"facts": {"amounts": [10, 20], "seconds": [[1.0, 1.0], [1.9, 1.9]], "shape": "pythia-70m"}},
        "cells": {"pythia-70m": cells},
    }


def _cell(workload: Workload, tool: str, per_unit: float) -> dict[str, Any]:
    seconds = per_unit * worth(workload, shape_named("pythia-70m"), tool, 10)
    return {"agreement": 1e-7, "units": 10, "seconds": [seconds] * 3}


def _peaks(size: int) -> dict[str, int]:
    return {f"{name}_peak_bytes": size for name in ("loading", "capture", "neurons")}


def row(text: str, section: str, tool: str) -> str:
    part = text.split(f"## ({section})")[1].split("\n## ")[0]
    return next(line for line in part.splitlines() if f"| {tool} |" in line)


def test_ratios_stand_beside_every_peer(data: dict[str, Any]) -> None:
    text = text_of(data)
    assert "| 5.00 (5.00–5.00) |" in row(text, "b", "nnsight 0.8")
    assert "| 10 | 3 | 2 | 1 |" in row(text, "b", "rote")
    assert "1.90" in text.split("## Growth")[1].split("##")[0]


def test_what_failed_says_why_and_has_no_time(data: dict[str, Any]) -> None:
    text = text_of(data)
    wrong = row(text, "f", "nnsight 0.8")
    assert "failed: its results differ" in wrong
    assert " ms" not in wrong
    assert "5.00" not in wrong
    assert "no wheel for torch" in row(text, "a", "pyvene")
    assert "/some/secret" not in text


def target(text: str, start: str) -> tuple[str, str]:
    """What was measured for a target, and whether it was reached."""
    part = text.split("## What was aimed at")[1].split("\n## ")[0]
    _, _, measured, reached, _ = next(line for line in part.splitlines() if start in line).split("|")
    return measured.strip(), reached.strip()


def test_targets_are_judged_by_the_slowest_peer_that_counts(data: dict[str, Any]) -> None:
    """Five times as fast as every peer, exactly; a peer whose results are wrong is no peer."""
    assert target(text_of(data), "(a) no slower")[1] == "yes"
    measured, reached = target(text_of(data), "(b) at least 5 times")
    assert measured.startswith("pythia-70m 5.00") and "by operations" in measured and reached == "yes"
    cells = data["cells"]["pythia-70m"]
    nnsight, second = cells["neurons"]["nnsight"], cells["neurons"]["nnsight"]["seconds"][0]
    nnsight["seconds"] = [0.9 * second, 0.9 * second, 1.1 * second]
    assert target(text_of(data), "(b) at least 5 times")[1] == "within the spread of the rounds"
    nnsight["seconds"] = [0.9 * second] * 3
    slower = measured.replace("5.00 (5.00–5.00)", "4.50 (4.50–4.50)").replace("transformer_lens_4", "nnsight")
    assert target(text_of(data), "(b) at least 5 times") == (slower, "no")
    cells["heads"]["hooks"]["seconds"] = [0.01] * 3
    assert target(text_of(data), "(d) ahead")[1] == "no" and target(text_of(data), "(f) ahead")[1] == "yes"


def test_a_share_that_raw_hooks_do_not_reach_either_says_so(data: dict[str, Any]) -> None:
    cells = data["cells"]["pythia-70m"]["capture"]
    full = needed(workload_named("capture"), shape_named("pythia-70m"), 10) / 2e11
    for rote, hooks, verdict in ((0.9, 0.9, "yes"), (0.8, 0.84, NOR_HOOKS), (0.8, 0.9, "no")):
        cells["rote"]["seconds"], cells["hooks"]["seconds"] = [full / rote], [full / hooks]
        assert target(text_of(data), "(a) at least 0.85") == (f"pythia-70m {rote:.2f} (raw hooks {hooks:.2f})", verdict)


def test_targets_of_memory_and_growth(data: dict[str, Any]) -> None:
    assert target(text_of(data), "(a) at most 1.15")[1] == "no"  # 512 MiB for a model of 269
    data["memory"]["rote"] |= _peaks(300 * 2**20)
    assert target(text_of(data), "(a) at most 1.15")[1] == "yes"
    assert target(text_of(data), "at most linear in facts") == ("1.90 per doubling, operations 2.00", "yes")
    data["growth"]["facts"]["seconds"][1] = [2.4, 2.4]
    assert target(text_of(data), "at most linear in facts")[1] == "no"


def test_an_unfinished_run_says_so(data: dict[str, Any]) -> None:
    assert "Not finished" not in text_of(data)
    assert "Not finished" in text_of({**data, "complete": False})
    del data["cells"]["pythia-70m"]["capture"]["rote"]
    assert "the time was up" in row(text_of(data), "a", "rote")


def test_a_rehearsal_is_told_by_experiment(data: dict[str, Any]) -> None:
    assert "None was measured" in text_of(data)
    rehearsal = {
        "model": "pythia-2.8b", "dtype": "bfloat16", "device": "cpu", "machine": MACHINE, "facts": 24, "controls": None,
        "settings": {"sweeps": "first_order"}, "seconds": 600.0, "peak_bytes": 2**33, "swap_bytes": 0,
        "experiments": {"layer_probes": 100.0, "asking": 50.0}, "shards": {"layer_probes": 3, "asking": 1},
    }  # fmt: skip
    text = text_of(data, {"pythia-2.8b bfloat16 cpu": rehearsal}).split("## A whole study")[1].split("## Every")[0]
    assert "**10.0 minutes**" in text and "at most 8.0 GiB resident (no swap there)" in text
    assert "24 facts, the whole line-up" in text and "| layer_probes | 3 | 100.0 |" in text
    assert text.splitlines()[-2].endswith("| – | 450.0 |")  # what no experiment took


def test_a_study_on_a_card_and_a_sweep_are_told(data: dict[str, Any]) -> None:
    assert "neuron_sweep MODEL` does it" in text_of(data)
    swept = {
        "model": "pythia-2.8b", "dtype": "float32", "processor": "a card", "interventions": 9000, "seconds": 3.0,
        "operations": 6e12, "peak_operations_per_second": 4e12, "peak_bytes": 3 * 2**30, "model_bytes": 2 * 2**30,
        "furthest_from_whole_passes_nats": 1e-6, "largest_checked_effect_nats": 0.25,
    }  # fmt: skip
    row = "| pythia-2.8b, float32 | a card | 9,000 | 3.0 | 3,000 | 0.50 | 1.50 | 1.0e-06 | 2.5e-01 |"
    assert row in text_of(data, None, {"pythia-2.8b": swept})
    assert row.replace("1.50", "–") in text_of(data, None, {"pythia-2.8b": {**swept, "peak_bytes": None}})
    rehearsal = {
        "model": "pythia-2.8b", "dtype": "bfloat16", "device": "cuda", "machine": MACHINE, "facts": 1559,
        "controls": None, "settings": {}, "seconds": 60.0, "peak_bytes": 2**33, "swap_bytes": 0, "card": "a card",
        "card_bytes": 2**35, "experiments": {}, "shards": {},
    }  # fmt: skip
    text = text_of(data, {"pythia-2.8b bfloat16 cuda": rehearsal})
    assert "(a card and " in text and "1,559 facts" in text
    assert "at most 8.0 GiB resident and 32.0 GiB of the card (no swap there)" in text


def test_the_machine_in_words() -> None:
    assert machine_in_words(MACHINE) == "Two cores of an AMD EPYC (AVX2), 24 GiB"


def answers(change: float) -> dict[str, dict[str, np.ndarray]]:
    return {family: {name: np.full(3, 1 + change) for name in expected(family)} for family in CONFIGS}


def test_the_cross_check_passes_and_fails() -> None:
    tools = ["nnsight"]
    assert table({"rote": answers(0), "nnsight": answers(1e-6)}, tools)[1]
    rows, agrees = table({"rote": answers(0), "nnsight": answers(1e-3)}, tools)
    assert not agrees
    assert "**1.0e-03**" in "\n".join(rows)
    assert not table({"rote": answers(0)}, tools)[1]  # a tool that failed is not agreement


def test_a_missing_or_misshapen_quantity_is_no_agreement() -> None:
    a = {"z.0": np.ones(3)}
    assert gap(a, a, ["z.0"]) == 0
    assert gap(a, {}, ["z.0"]) == np.inf
    assert gap(a, {"z.0": np.ones((3, 1))}, ["z.0"]) == np.inf
    assert gap(a, {"z.0": np.array([1, 1, np.nan])}, ["z.0"]) == np.inf
