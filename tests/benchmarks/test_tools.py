"""rote's side of every workload agrees with raw hooks, and what does nothing does not pass for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.shapes import TINY, build
from benchmarks.summary import TOLERANCE, agreement
from benchmarks.tools import TOOLS, Tool, entry_named, make
from benchmarks.workloads import WORKLOADS, Workload, inputs


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tool]:
    folder = build(TINY, tmp_path_factory.mktemp("models"))
    found = {name: make(name) for name in ("rote", "hooks")}
    for tool in found.values():
        tool.load(folder)
    return found


def results(tool: Tool, workload: Workload, arguments: dict[str, Any]) -> dict[str, np.ndarray]:
    tool.prepare(workload.name)
    with torch.no_grad():
        return {k: np.asarray(x) for k, x in getattr(tool, workload.name)(**arguments).items()}


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
def test_rote_agrees_with_raw_hooks(tools: dict[str, Tool], workload: Workload) -> None:
    arguments = inputs(workload, TINY, workload.check_units)
    found, expected = (results(tools[name], workload, arguments) for name in ("rote", "hooks"))
    assert agreement(found, expected) <= TOLERANCE
    nothing = {k: np.zeros_like(x) for k, x in expected.items()}
    assert agreement(nothing, expected) > TOLERANCE


def test_another_neuron_is_told_apart(tools: dict[str, Tool]) -> None:
    workload = next(w for w in WORKLOADS if w.name == "neurons")
    right = inputs(workload, TINY, 4)
    wrong = {**right, "neurons": [(layer, (n + 1) % TINY.d_mlp, v) for layer, n, v in right["neurons"]]}
    expected = results(tools["hooks"], workload, right)
    assert agreement(results(tools["rote"], workload, wrong), expected) > TOLERANCE


def test_another_way_to_ask_a_tool_is_of_a_tool_that_does_what_it_does() -> None:
    for entry in (e for e in TOOLS if e.of is not None):
        assert entry.of is not None and entry.only is not None and entry.last_only
        assert all(entry_named(entry.of).does(workload) for workload in entry.only)


def test_only_the_last_logits_are_asked_for_where_that_is_wanted(tools: dict[str, Tool]) -> None:
    assert tools["hooks"].keep == {}
    tools["hooks"].last_only = True
    assert tools["hooks"].keep == {"logits_to_keep": 1}
    tools["hooks"].last_only = False
