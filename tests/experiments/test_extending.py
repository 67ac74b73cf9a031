"""Experiments and controls from outside the package: brought in one file, found wherever rote's own are found."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from circuit_world import SETTINGS, facts, model
from reading_world import make_text

import rote
from rote.cli.main import main
from rote.errors import ExperimentError, InputError, RunError
from rote.execute import Finished, Planned, Processes
from rote.organisms import BUNDLED
from rote.pipeline.brought import bring
from rote.pipeline.run import Run

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
TINY = replace(
    SETTINGS, n_bootstrap=20, max_entities=20, n_top_heads=2, n_resamples_ablation=1, min_known=20,
    n_members=2, n_trained_members=1, n_member_bootstrap=10,
)  # fmt: skip

KINDS = '''
"""One small experiment of every kind."""
from dataclasses import dataclass

import numpy as np

import rote
from rote.asking import TaskPrompt, TaskPrompts
from rote.catalog import CIRCUIT, FACTS, MODEL, STACK, TASK, TEXT


def card(name, *takes, applies_to=("model",)):
    share = rote.StatisticCard(name="number", unit="count", meaning="A number.", formula="as it is")
    return rote.ExperimentCard(
        name=name, title=f"About {name}", question="Is it so?", method="It is looked at.", source="a test",
        takes=takes, applies_to=applies_to, statistics=(share,),
    )


class TopHeads(rote.Experiment):
    card = card("top_heads", CIRCUIT)

    def measure(self, study, out):
        out.value("number", len(study.circuit.top_heads))


class Entities(rote.StackExperiment):
    card = card("entities", STACK, applies_to=("effective",))

    def on_stack(self, stack, settings, out):
        out.value("number", len(stack.entities))


class Trained(rote.Experiment):
    """Facts and text together, with something trained that is kept."""

    card = card("kept", FACTS, TEXT)

    def prepare(self, facts):
        return {"codes": np.arange(len(facts.prompts), dtype=np.float32) + len(facts.text.hash)}

    def measure(self, facts, out):
        out.value("number", float(facts.prepared["codes"][0]))


class Layers(rote.Experiment):
    card = card("layers", MODEL)

    def measure(self, given, out):
        out.value("number", given.model.n_layers)


@dataclass(frozen=True, kw_only=True)
class Copies(rote.Experiment):
    """A task of its own: what stood before, again."""

    card = card("copies", TASK)
    word: str = " chess"

    def task(self, tokenizer):
        twice, other = self.word * 2, self.word + " polo"
        asked = TaskPrompt(clean=twice, answer=self.word, corrupt=other, wrong=" polo")
        return TaskPrompts.of(tokenizer, [asked, asked])

    def measure(self, task, out):
        assert task.prompts.corrupt.shape == task.prompts.tokens.shape and task.prompts.mask.all()
        out.value("number", int(task.prompts.end[0]), n=len(task.prompts))
'''


@pytest.fixture
def brought(tmp_path: Path) -> Iterator[Path]:
    """A folder for files of a user's own, whose modules are forgotten afterwards."""
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def of_page(*which: int) -> str:
    """Code blocks of docs/extending.md: the experiment, what may be called, the entry, the control."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    return "\n\n".join(blocks[i] for i in which)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["rote", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code


def page_of(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


def test_the_page_s_experiment_is_found_wherever_rote_s_own_are(
    brought: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(brought / "surprise.py", of_page(0, 2, 3))
    settings = written(brought / "settings.json", json.dumps(asdict(TINY)))
    run = brought / "run"
    common = [BUNDLED, "--facts", "athletes", "--relation", "sport", "--prefix", "", "--settings", settings]
    common += ["--experiments-from", file, "--experiments", "surprise", "--out", run]
    command(monkeypatch, "study", *common, "--dry-run")
    assert re.search(r"surprise +not estimated", capsys.readouterr().out)
    command(monkeypatch, "study", *common)
    told = capsys.readouterr()
    assert "surprise (relation)" in told.err or "surprise (sport)" in told.err
    done = rote.open_run(run)
    rows = done.summary[done.summary["experiment"] == "surprise"]
    lacking = done.absent[done.absent["experiment"] == "surprise"]
    assert {*rows["condition"], *lacking["condition"]} == {"known", "unknown"} and set(rows["unit"]) == {"nats"}
    assert len(done.observations("surprise")) == min(int(rows["n"].sum()), TINY.max_entities)
    assert done.study["experiments"]["surprise"] == {"most_nats": 20.0}
    assert "A known answer costs" in page_of(run), "the section of its entry"

    command(monkeypatch, "report", run)
    generic = page_of(run)
    assert "A known answer costs" not in generic and "How surprised is the model?" in generic
    assert ">surprisal_nats<" in generic or "surprisal" in generic
    command(monkeypatch, "report", run, "--experiments-from", file)
    assert "A known answer costs" in page_of(run)
    command(monkeypatch, "judge", run)


def test_other_parameters_and_other_code_are_another_study(brought: Path) -> None:
    file = written(brought / "surprise2.py", of_page(0))
    (experiment,) = bring(file).experiments

    def study(one: rote.Experiment) -> Run:
        return rote.study(model(), facts(), folder=brought / "run", settings=TINY, experiments=[one], controls=())

    study(experiment)
    with pytest.raises(RunError, match=r"experiments\.surprise\.most_nats: 20\.0 -> 1\.0"):
        study(type(experiment)(most_nats=1.0))
    del sys.modules["surprise2"]
    (other,) = bring(written(file, of_page(0).replace("How surprised is", "How astonished is"))).experiments
    with pytest.raises(RunError, match=r"own_experiments\.surprise\.source_sha256"):
        study(other)


def test_every_kind_of_experiment_runs_and_takes_no_more_stages_than_it_says(brought: Path) -> None:
    found = {e.name: e for e in bring(written(brought / "kinds.py", KINDS)).experiments}
    events: list[object] = []
    text = make_text()

    def study(*names: str, folder: str) -> Run:
        events.clear()
        return rote.study(
            model(), facts(), folder=brought / folder, settings=TINY, text=text, on_event=events.append,
            experiments=[found[name] for name in names], controls=[rote.CONTROLS[0]],
        )  # fmt: skip

    def shards() -> list[str]:
        return [str(e.shard) for e in events if isinstance(e, Finished)]

    run = study("layers", "copies", "kept", folder="facts")
    assert shards() == ["known_facts/sport", "kept/sport/prepared", "kept/sport", "layers/all", "copies/all"]
    number = run.summary.set_index("experiment")["value"]
    assert number["layers"] == model().n_layers and number["kept"] == len(text.hash)
    assert number["copies"] == (1 if model().tokenizer.bos_token_id is None else 2)
    kept = run.arrays("kept")["sport/prepared/codes"]
    assert kept.dtype == np.float32 and np.array_equal(kept, np.arange(len(facts().facts)) + len(text.hash))

    study("top_heads", folder="circuit")
    assert shards() == ["known_facts/sport", "circuit/sport", "top_heads/sport"], "no ◆ experiment, so no line-up"
    run = study("entities", folder="stack")
    assert [s for s in shards() if s.startswith("lineup")] == [f"lineup/sport/additive/{i}" for i in (0, 1)] + [
        "lineup/sport/additive"
    ]
    assert set(run.summary.loc[run.summary["experiment"] == "entities", "stack"]) == {"effective", "additive"}
    planned = [e for e in events if isinstance(e, Planned)]
    assert planned and all("entities" in e.usual for e in planned if e.shards)


def test_a_file_s_classes_work_in_other_processes_and_its_control_is_drawn(brought: Path) -> None:
    own = bring(written(brought / "mine.py", of_page(0, 3) + KINDS.split('"""\n', 1)[1]))
    experiments = [e for e in own.experiments if e.name in ("surprise", "entities")]
    (control,) = own.controls
    arguments = {"settings": TINY, "experiments": experiments, "controls": [control]}
    spec = rote.ModelSpec(source=str(BUNDLED), options={})
    run = rote.study(spec, facts(), folder=brought / "elsewhere", executor=Processes(workers=2), **arguments)
    here = rote.study(rote.load_model(BUNDLED), facts(), folder=brought / "here", **arguments)
    for name in ("summary.json", "absent.json"):
        assert (run.path / name).read_bytes() == (here.path / name).read_bytes()
    assert "silent" in set(run.summary["stack"]) and set(run.study["own_controls"]) == {"silent"}
    assert "silent" in page_of(run.path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "defines no experiment and no control"),
        ("x = 1 / 0", "cannot be run: ZeroDivisionError"),
        ("import rote\nclass A(rote.Experiment):\n    def measure(self, given, out): ...\n", "A has no card"),
    ],
)
def test_what_cannot_be_brought_is_refused_with_what_to_do(brought: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        bring(written(brought / f"bad_{abs(hash(text))}.py", text))
    with pytest.raises(InputError, match="no Python file"):
        bring(brought / "nothing.py")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [('condition="unknown")', 'condition="guessed")'), ('"surprisal_nats", surprisal', '"nats", surprisal')],
)
def test_a_statistic_or_condition_that_the_card_lacks_is_refused(brought: Path, right: str, wrong: str) -> None:
    (experiment,) = bring(written(brought / f"wrong_{len(wrong)}.py", of_page(0).replace(right, wrong))).experiments
    with pytest.raises(ExperimentError, match=r"Card|card"):
        rote.study(model(), facts(), folder=brought / "run", settings=TINY, experiments=[experiment], controls=())


def test_two_of_one_name_are_refused(brought: Path) -> None:
    (one,) = bring(written(brought / "twice.py", of_page(0))).experiments
    with pytest.raises(ExperimentError, match="two experiments are called surprise"):
        rote.study(model(), facts(), folder=brought / "run", experiments=[one, one])
    assert not (brought / "run").exists()
