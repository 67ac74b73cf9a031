"""A study on workers elsewhere ends in the bytes of the one in this process; no model has to be loaded here for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from circuit_world import facts, model
from test_pipeline_study import SMALL, call, tables
from transformers import AutoModelForCausalLM, AutoTokenizer

import rote
import rote.errors
from rote.asking import ask
from rote.execute import Executor, Finished, Started
from rote.experiments import Experiment, KnownNorms, LayerProbes, Study
from rote.experiments.known_facts.measure import KnownFactsExperiment
from rote.experiments.tabulator import Tabulator
from rote.facts import build_prompts
from rote.lineup import Additive, Control, Target
from rote.lineup.control import Member
from rote.model import ModelSpec, threads
from rote.organisms import BUNDLED
from rote.pipeline.shards import BATCHES_PER_SLICE
from rote.settings import Settings

SLICED = replace(SMALL, batch_size=4)  # so that 96 facts are more than one slice holds
FACTS = KnownFactsExperiment()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many threads as a worker with one CPU has: they are part of the batch plan."""
    with threads.one_thread():
        yield


def test_a_relation_asked_in_slices_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow twin is the whole relation in one shard, which larger slices make of it."""
    assert len(facts().facts) > BATCHES_PER_SLICE * SLICED.batch_size
    begun: list[str] = []

    def watch(event: object) -> None:
        if isinstance(event, Started):
            begun.append(str(event.shard))

    run = rote.study(
        model(), facts(), folder=tmp_path / "slices", settings=SLICED, experiments=(FACTS,), controls=(), on_event=watch
    )
    assert begun[:3] == ["asked/sport/0", "asked/sport/64", "known_facts/sport"]
    monkeypatch.setattr("rote.pipeline.shards.BATCHES_PER_SLICE", 10**6)
    begun.clear()
    rote.study(
        model(), facts(), folder=tmp_path / "whole", settings=SLICED, experiments=(FACTS,), controls=(), on_event=watch
    )
    assert begun[0] == "known_facts/sport"
    assert tables(run.path) == tables(tmp_path / "whole")
    assert len(run.table("known_facts")) == len(facts().facts)


class Mine(Experiment):
    """An experiment of a user's own, from a module that no worker can import."""

    card = KnownNorms.card

    def measure(self, given: Study, out: Tabulator) -> None:
        KnownNorms().measure(given, out)


class MyControl(Additive):
    """A control of a user's own."""

    def build(self, target: Target, seed: int, settings: Settings) -> Member:
        return super().build(target, seed, settings)


CHOSEN: tuple[Experiment, ...] = (FACTS, LayerProbes(), Mine())
LINEUP: tuple[Control, ...] = (MyControl(),)


HERE = sys.modules[__name__]


def ray_workers() -> rote.Ray:
    pytest.importorskip("ray")
    return rote.Ray(workers=2, modules=(HERE, sys.modules[MyControl.__module__]))


@pytest.mark.parametrize("workers", [lambda: rote.Processes(workers=2), ray_workers], ids=["processes", "ray"])
def test_a_study_elsewhere_is_the_one_in_this_process(
    workers: Callable[[], Executor], tmp_path: Path, one_thread: None
) -> None:
    executor = workers()
    rote.study(model(), facts(), folder=tmp_path / "here", settings=SLICED, experiments=CHOSEN, controls=LINEUP)
    done: list[str] = []

    def watch(event: object) -> None:
        if isinstance(event, Finished):
            done.append(str(event.shard))

    run = rote.study(
        ModelSpec(source=str(BUNDLED), options={"dtype": "float64"}),
        facts(),
        folder=tmp_path / "there",
        settings=SLICED,
        experiments=CHOSEN,
        controls=LINEUP,
        executor=executor,
        on_event=watch,
    )
    assert run.study == rote.open_run(tmp_path / "here").study
    assert tables(run.path) == tables(tmp_path / "here")
    assert len(run.table("lineup", "controls")) == 1
    assert set(done) >= {"asked/sport/0", "circuit/sport", "lineup/sport/additive/0", "lineup/sport/additive"}
    assert len(done) == len(set(done))


def test_a_run_of_one_thread_is_not_continued_with_two(tmp_path: Path, one_thread: None) -> None:
    pytest.importorskip("ray")
    rote.study(model(), facts(), folder=tmp_path / "there", settings=SLICED, experiments=(FACTS,), controls=())
    with pytest.raises(rote.errors.RunError, match=r"batch_plan\.threads"):
        rote.study(
            ModelSpec(source=str(BUNDLED), options={"dtype": "float64"}),
            facts(),
            folder=tmp_path / "there",
            settings=SLICED,
            experiments=(FACTS,),
            controls=(),
            executor=rote.Ray(workers=1, cpus_per_worker=2),
        )


def test_a_module_that_was_given_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    module, tokenizer = AutoModelForCausalLM.from_pretrained(BUNDLED), AutoTokenizer.from_pretrained(BUNDLED)
    given = rote.load_model(module, tokenizer=tokenizer, check=False)
    with pytest.raises(rote.errors.ModelRefused, match="save_pretrained"):
        rote.study(given, facts(), folder=tmp_path / "run", executor=rote.Ray())
    assert not list(tmp_path.iterdir())


def test_a_loaded_model_knows_how_to_be_loaded_again() -> None:
    again = model().spec.load()
    assert again.name == model().name and again.dtype == model().dtype
    for mine, other in zip(model().module.parameters(), again.module.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_a_model_spread_by_accelerate_answers_as_it_does_in_one_piece(caplog: pytest.LogCaptureFixture) -> None:
    """On this machine's one device, by the same hooks that move activations between several."""
    pytest.importorskip("accelerate")
    prompts = build_prompts(facts(), "sport", model().tokenizer)
    spread = rote.load_model(BUNDLED, dtype="float64", device_map="auto")
    assert (ask(spread, prompts, SMALL).log_prob == ask(model(), prompts, SMALL).log_prob).all()
    blocks = {f"gpt_neox.layers.{layer}": "disk" for layer in range(model().n_layers)}
    rest = dict.fromkeys(("gpt_neox.embed_in", "gpt_neox.final_layer_norm", "gpt_neox.rotary_emb", "lm_head"), "cpu")
    outside = rote.load_model(BUNDLED, dtype="float64", device_map={**blocks, **rest})
    assert "does not fit" in caplog.text and "weights are copied" in caplog.text
    assert (ask(outside, prompts, SMALL).log_prob == ask(model(), prompts, SMALL).log_prob).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--executor", "cloud"), "there are inline, processes, ray"),
        (("--workers", "2"), "--workers: only with --executor processes or ray"),
        (
            ("--executor", "processes", "--cpus-per-worker", "2", "--address", "auto"),
            "--address, --cpus-per-worker: only with --executor ray",
        ),
        (("--executor", "processes", "--workers", "0"), "workers is 0"),
        (("--executor", "ray", "--workers", "0"), "workers is 0"),
    ],
)
def test_the_command_line_refuses_executors_that_do_not_exist(
    options: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = call(monkeypatch, "study", str(BUNDLED), "--facts", "athletes", "--out", str(tmp_path / "run"), *options)
    error = capsys.readouterr().err
    assert code == 2 and words in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())
