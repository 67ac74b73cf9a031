"""What decides a study's numbers, and what may not: weights, facts, settings, code; and the clock."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import rote
from chaos import world
from rote.errors import MeasurementError, RunError
from rote.execute import Started
from rote.experiments.parameters import with_parameters
from rote.model import Model
from rote.pipeline import identity as provenance


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that was interrupted after its first shard."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    begun: list[object] = []

    def interrupt(event: object) -> None:
        if isinstance(event, Started):
            begun.append(event)
            if len(begun) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.study(folder, interrupt)
    return folder


def poisoned(change: float) -> tuple[Model, str]:
    """The organism with another number in the embedding of a token that one prompt alone has, and its name."""
    model = rote.load_model(world.BUNDLED)
    prompts = provenance_prompts(model)
    counts: dict[int, list[int]] = {}
    for row, tokens in enumerate(prompts.tokens.tolist()):
        for token in set(tokens):
            counts.setdefault(token, []).append(row)
    token, (row,) = next((t, rows) for t, rows in counts.items() if len(rows) == 1)
    with torch.no_grad():
        model.module.get_input_embeddings().weight[token, 0] = change
    return model, prompts.facts[row].entity


def provenance_prompts(model: Model) -> Any:
    from rote.pipeline.questions import Questions

    return Questions(model=model, table=world.facts(), settings=world.SETTINGS).of("sport")


def other(**changes: Any) -> dict[str, Any]:
    return {
        "model": world.model(), "facts": world.facts(), "settings": world.SETTINGS,
        "experiments": world.experiments(), "controls": world.CONTROLS, **changes,
    }  # fmt: skip


def test_each_thing_that_decides_the_numbers_is_refused_with_its_difference(
    begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**changes: Any) -> str:
        arguments = other(**changes)
        with pytest.raises(RunError) as caught:
            rote.study(arguments.pop("model"), arguments.pop("facts"), folder=begun, **arguments)
        return str(caught.value)

    more = with_parameters(world.experiments(), {"linear_structure.n_pairs": 11})
    assert "experiments.linear_structure.n_pairs: 10 -> 11" in refused(experiments=more)
    assert "settings.seed: 0 -> 1" in refused(settings=replace(world.SETTINGS, seed=1))
    fewer = replace(world.facts(), facts=world.facts().facts[:-1])
    assert "facts_sha256: " in refused(facts=fewer)
    text = refused(model=poisoned(1.0)[0])
    assert "weights_sha256: " in text and "facts_sha256" not in text
    assert "experiments" in refused(experiments=world.experiments()[:-1])
    monkeypatch.setattr(provenance, "version", lambda name: "9.9" if name in ("rote", "torch") else "0")
    text = refused()
    assert '-> "9.9"' in text and "versions.torch: " in text and "versions.rote: " in text
    monkeypatch.undo()
    monkeypatch.setattr(provenance, "source_hash", lambda: "changed")
    assert 'versions.rote_source_sha256: "' in refused()


def test_activations_that_are_not_finite_stop_with_layer_and_prompt(tmp_path: Path) -> None:
    model, entity = poisoned(float("inf"))
    with pytest.raises(
        MeasurementError, match=rf"non-finite activations at \S+ for the prompt '.*{entity}.*wider dtype"
    ):
        arguments = other()
        del arguments["model"]
        rote.study(model, arguments.pop("facts"), folder=tmp_path / "run", **arguments)
    assert "non-finite activations" in (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    assert not (tmp_path / "run" / "run.lock").exists()


def test_the_first_layer_that_is_not_finite_is_named(tmp_path: Path) -> None:
    model = rote.load_model(world.BUNDLED)
    with torch.no_grad():
        model.wiring.blocks[2].mlp.dense_4h_to_h.weight[0, 0] = float("nan")
    with pytest.raises(MeasurementError, match=r"resid_post.*2.* for the prompt"):
        rote.study(model, world.facts(), folder=tmp_path / "run", settings=world.SETTINGS)


def test_a_clock_that_runs_backwards_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world.study(tmp_path / "usual")
    clock = iter(range(2**31, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    world.study(tmp_path / "backwards")
    assert world.tables(tmp_path / "usual") == world.tables(tmp_path / "backwards")
