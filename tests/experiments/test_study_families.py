"""Whole studies of odd families, told that they know everything; the user's module is afterwards as it was before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from circuit_world import cut, facts, plain
from test_circuit_families import EXPERTS, tiny
from test_circuit_layouts import TOLD
from test_model_untouched import fingerprint, put_to_work

import rote
from rote.circuit import search
from rote.experiments import EXPERIMENTS
from rote.lineup import Additive
from rote.model import Model
from rote.pipeline.run import Run

SMALL = replace(TOLD, n_members=1, n_trained_members=1, n_member_bootstrap=20, n_refine_steps=10, n_bootstrap=20)
QUICK = tuple(e for e in EXPERIMENTS if e.name in ("direct_effects", "readout", "head_attention", "value_inputs"))
FAMILIES = {"phi": {}, "granite": {}, "mixtral": EXPERTS}


@pytest.fixture(autouse=True)
def _all_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights carry nothing from the name, so whatever would be read through is read through."""
    monkeypatch.setattr("rote.pipeline.worker.search", lambda recall, rehearse: search(recall, rehearse=True))


def at_work(family: str) -> Model:
    module = put_to_work(tiny(family, **FAMILIES[family]).module, eager=False)
    return rote.load_model(module, tokenizer=plain().tokenizer, name=f"tiny {family}")


def study(model: Model, folder: Path, experiments: tuple[object, ...] = EXPERIMENTS, on_event: object = None) -> Run:
    told = {} if on_event is None else {"on_event": on_event}
    return rote.study(
        model, cut(facts(), 16), folder=folder, settings=SMALL, experiments=experiments, controls=(Additive(),), **told
    )  # type: ignore[arg-type]


def test_a_mixture_of_experts_is_studied_but_for_its_neurons(tmp_path: Path) -> None:
    model = at_work("mixtral")
    before = fingerprint(model.module)
    run = study(model, tmp_path / "run")
    assert fingerprint(model.module) == before
    measured = set(run.summary["experiment"])
    assert {"known_facts", "direct_effects", "head_attention", "value_inputs"} <= measured
    assert np.isfinite(run.summary["value"]).all() and (run.absent["reason"].str.len() > 10).all()
    assert "class_neurons" not in measured and "class_neurons" in set(run.absent["experiment"])
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize("family", ["phi", "granite"])
def test_nothing_of_the_module_changes_in_a_study(family: str, tmp_path: Path) -> None:
    model = at_work(family)
    before = fingerprint(model.module)
    run = study(model, tmp_path / "run", QUICK)
    assert fingerprint(model.module) == before
    assert {e.name for e in QUICK} <= set(run.summary["experiment"])


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nor_in_a_study_that_ends_in_the_middle(error: type[BaseException], tmp_path: Path) -> None:
    """In a forward pass itself, in which rote's attention and its hooks are in force."""
    model = at_work("phi")
    block, calls = model.wiring.blocks[2], []

    def fail(*_: object) -> None:
        calls.append(model.module.config._attn_implementation)
        if len(calls) == 60:
            raise error("in the middle")

    handle = block.register_forward_hook(fail)
    before = fingerprint(model.module)
    with pytest.raises(error, match="in the middle"):
        study(model, tmp_path / "run", QUICK)
    assert fingerprint(model.module) == before
    assert calls[-1] == "rote"
    handle.remove()
