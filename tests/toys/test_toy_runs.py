"""The toys as runs: what their small versions find, records, resume, seeds, command line and report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from rote.cli.main import app
from rote.errors import RunError, SettingsError
from rote.execute import Finished, Processes
from rote.execute.abstract import Event
from rote.pipeline.run import Run, open_run
from rote.pipeline.toys import run_toy
from rote.report import lead_text, render_text
from rote.toys import TOYS
from rote.toys.capacity.toy import CapacitySettings
from rote.toys.memorisation.toy import MemorisationSettings

SMALL = MemorisationSettings(
    neurons=(48,),
    layers=(1, 2),
    embeddings=("trained",),
    activations=("relu",),
    n_integers=16,
    n_seeds=3,
    n_seeds_others=1,
    steps=150,
    n_dictionaries=1,
    picture_widths=(6, 32),
    picture_steps=300,
    picture_side=12,
)
GRID = CapacitySettings(
    neurons=(2, 4),
    d_models=(4,),
    layers=(1,),
    classes=(2, 3),
    trained_embeddings=(),
    longer=((2, 4, "random"),),
    n_seeds=2,
    steps=80,
    precision=0.5,
    by_hand=(8, 70),  # 70: in two parts
)


@pytest.fixture(scope="module")
def memorised(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_toy("memorisation", SMALL, folder=tmp_path_factory.mktemp("toy") / "memorisation")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_toy("capacity", GRID, folder=tmp_path_factory.mktemp("toy") / "capacity")


def values(run: Run, experiment: str, statistic: str, *, condition: str, source: str | None = None) -> pd.DataFrame:
    rows = run.summary
    rows = rows[(rows["experiment"] == experiment) & (rows["statistic"] == statistic)]
    same = rows["source"].isna() if source is None else rows["source"] == source
    return rows[(rows["condition"] == condition) & same]


def test_structure_is_found_where_there_is_a_rule_and_nowhere_else(memorised: Run) -> None:
    found = {
        task: values(memorised, "memorisation", "structure_found", condition=task)["value"]
        for task in ("memorisation", "untrained", "checkerboard")
    }
    assert (found["memorisation"] == 0).all() and (found["untrained"] == 0).all()
    assert (found["checkerboard"] == 1).all() and len(found["checkerboard"]) == 3


def test_training_joins_the_integers_where_there_is_a_rule_alone(memorised: Run) -> None:
    gain = {
        task: values(memorised, "memorisation", "xor_gain", condition=task).set_index("layer")["value"]
        for task in ("memorisation", "checkerboard")
    }
    assert gain["checkerboard"].min() > 0.3 + gain["memorisation"].abs().max()
    found = {
        source: values(memorised, "memorisation", "structure_found", condition="modular_addition", source=source)
        for source in ("bit", "xor")
    }
    bit, xor = (found[source]["value"].iloc[0] for source in ("bit", "xor"))
    assert bit > xor  # halves of the integers are no part of that rule


def test_configurations_share_no_facts_and_no_weights(memorised: Run) -> None:
    layers = memorised.table("memorisation", "layers")
    first = layers[(layers["task"] == "untrained") & (layers["layer"] == 0)]
    shared = first.pivot(index="seed", columns="layers", values="kurtosis_weights").dropna()
    assert len(shared) and (shared[1] != shared[2]).all()


def test_what_is_learned_by_rote_is_learned_and_does_not_carry_over(memorised: Run) -> None:
    assert (values(memorised, "memorisation", "accuracy_seen", condition="memorisation")["value"] > 0.97).all()
    assert (values(memorised, "memorisation", "accuracy_unseen", condition="memorisation")["value"] < 0.65).all()
    assert (values(memorised, "memorisation", "accuracy_unseen", condition="checkerboard")["value"] > 0.95).all()
    integers = values(memorised, "memorisation", "integer_probe_accuracy", condition="memorisation")["value"]
    null = values(memorised, "memorisation", "integer_probe_accuracy", condition="memorisation", source="permuted")
    assert integers.min() > 3 * null["value"].max()


def test_bits_are_those_of_the_seen_facts(memorised: Run) -> None:
    networks = memorised.table("memorisation", "networks")
    first = networks[(networks["task"] == "memorisation") & (networks["layers"] == 1)]
    mlp = values(memorised, "memorisation", "bits_per_parameter", condition="memorisation", source="mlp")
    n_parameters = 32 * 48 + 48 + 48 + 1
    assert mlp["value"].iloc[0] == pytest.approx(first["bits"].mean() / n_parameters)
    assert first["bits"].max() <= 205  # four fifths of 16² pairs


def test_every_row_of_a_toy_is_on_a_card(memorised: Run, measured: Run) -> None:
    cards = {card.name: card for toy in TOYS for card in toy.cards}
    for run in (memorised, measured):
        assert len(run.summary)
        for row in run.summary.itertuples():
            statistic = cards[str(row.experiment)].statistic(str(row.statistic))
            assert statistic.unit == row.unit and statistic.allows(row.condition)


def test_the_pictures_are_learned_better_by_wide_networks(memorised: Run) -> None:
    pictures = memorised.table("memorisation", "pictures")
    wide = pictures[pictures["width"] == 32].groupby("picture")["accuracy"].mean()
    narrow = pictures[pictures["width"] == 6].groupby("picture")["accuracy"].mean()
    assert set(wide.index) == {
        "random_colours",
        "checkerboard_3",
        "checkerboard_with_exceptions",
        "two_correlated_facts",
    }
    assert wide.min() > 0.75 and wide.mean() > narrow.mean() + 0.03
    maps = memorised.table("memorisation", "maps")
    assert maps["probability"].between(0, 1).all() and len(maps) == (3 + 2) * 2 * 2 * 144


def test_an_interrupted_run_ends_in_the_same_tables(measured: Run, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(event: Event) -> None:
        seen.append(event)
        if sum(isinstance(e, Finished) for e in seen) == 3:
            raise Killed

    seen: list[Event] = []
    with pytest.raises(Killed):
        run_toy("capacity", GRID, folder=tmp_path / "run", on_event=kill)
    again: list[Event] = []
    run_toy("capacity", GRID, folder=tmp_path / "run", on_event=again.append)
    n_shards = len(GRID.configurations) + 3
    assert sum(isinstance(e, Finished) for e in again) == n_shards - 2  # the shard in flight is lost
    assert_same_tables(tmp_path / "run", measured.path)


def test_processes_change_no_number(measured: Run, tmp_path: Path) -> None:
    run_toy("capacity", GRID, folder=tmp_path / "run", executor=Processes(workers=2))
    assert_same_tables(tmp_path / "run", measured.path)


def assert_same_tables(run: Path, other: Path) -> None:
    for name in ("summary.json", "absent.json", "records/capacity/networks.parquet"):
        assert (run / name).read_bytes() == (other / name).read_bytes()


def test_another_seed_is_another_run(measured: Run) -> None:
    with pytest.raises(RunError, match=r"settings\.seed: 0 -> 1"):
        run_toy("capacity", CapacitySettings(**{**GRID.as_dict(), "seed": 1}), folder=measured.path)


def test_the_grid_is_what_it_says() -> None:
    configurations = CapacitySettings(neurons=(8, 16), d_models=(8, 32), layers=(1, 2), classes=(2, 4)).configurations
    assert len(configurations) == 4 + 1 + 1 + 4 + 3 == len(set(configurations))
    assert {(c.n_neurons, c.d_model) for c in configurations if c.n_layers == 2 or c.n_classes == 4} == {(8, 8)}
    assert {(c.n_neurons, c.d_model) for c in configurations if c.steps_times == 4} == {(8, 8), (32, 16)}


def test_settings_are_refused_all_problems_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        MemorisationSettings(embeddings=("no",), neurons=(0,), n_integers=10)  # type: ignore[arg-type]
    assert len(caught.value.problems) == 3
    with pytest.raises(SettingsError, match="expected at least 9999"):
        MemorisationSettings(level=0.0004)
    with pytest.raises(SettingsError, match="classes"):
        CapacitySettings(classes=(1,))


def test_the_report_of_memorisation_says_what_was_found(memorised: Run) -> None:
    text = render_text(memorised.path)
    assert "0 % [0.0, 60.2] of 4 networks that learned by rote" in text.replace("\n  ", " ")
    for words in ("Is there anything to interpret", "uncorrelated weak classifiers", "Four pictures", "permuted"):
        assert words in text
    assert "How many facts an MLP can store" not in text and "recalls facts" not in text


def test_the_report_of_capacity_gives_the_answer_in_one_sentence(measured: Run) -> None:
    lead = lead_text(measured.path).replace("\n  ", " ")
    assert "The facts stored grow as neurons (d_model fixed) to the power" in lead
    assert "bits per trained parameter" in lead and "by hand stores 1.46 bits" in lead
    assert (measured.path / "report.html").read_text(encoding="utf-8").count("<figure") == 2
    assert "The construction by hand" in render_text(measured.path)


def test_the_command_line_runs_a_toy_and_refuses_what_it_cannot_use(tmp_path: Path) -> None:
    arguments = ["toy", "capacity", "--out", str(tmp_path / "run"), "--workers", "1", "--quiet"]
    for change in ("neurons=2", "d_models=2", "layers=1", "classes=2", "n_seeds=1", "steps=5"):
        arguments += ["--set", change]
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 0, ran.output
    assert ran.stdout.strip() == f"report: {tmp_path / 'run' / 'report.html'}"
    networks = open_run(tmp_path / "run").table("capacity", "networks")
    assert len(networks) == 8  # four of them with trained embeddings, three with more steps
    for change, seen in (
        ("neurons=many", "neurons=many: expected a value such as 8,16"),
        ("width=2", "width: the settings of capacity are"),
    ):
        refused = CliRunner().invoke(app, ["toy", "capacity", "--set", change, "--out", str(tmp_path / "no")])
        assert isinstance(refused.exception, SettingsError) and not (tmp_path / "no").exists()
        assert seen in str(refused.exception)


def test_the_experiments_are_listed() -> None:
    listed = CliRunner().invoke(app, ["experiments"]).stdout
    for name in ("memorisation", "bagging", "capacity"):
        assert f"\n{name}\n" in listed
