"""A dry run: what would run, what would not and why, and that its seconds move with what they are made of."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from circuit_world import SETTINGS, facts, model

from rote.catalog import TEXT
from rote.cli import main as cli
from rote.experiments import EXPERIMENTS
from rote.lineup import CONTROLS, Additive, Control, PartialHash, Trained
from rote.organisms import BUNDLED
from rote.organisms.demo import demo_facts
from rote.pipeline import estimate as plan
from rote.pipeline.estimate import Plan
from rote.settings import Settings

COSTS = plan._Costs(block=1e-4, probe=1e-2, mlp=1e-6, solve=1e-1)


@pytest.fixture
def given_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds that do not depend on what else the machine does."""
    monkeypatch.setattr(plan, "_costs", lambda *_: COSTS)


def planned(controls: Sequence[Control], settings: Settings = SETTINGS) -> Plan:
    return plan.plan(
        model(), demo_facts(), relation=["sport"], settings=settings, experiments=EXPERIMENTS, controls=controls
    )


def line_up(of: Plan) -> float:
    (seconds,) = [s for name, s in of.relations[0].seconds.items() if name.startswith("line-up")]
    return seconds


@pytest.mark.usefixtures("given_costs")
def test_every_experiment_is_planned_and_the_line_up_with_its_members() -> None:
    found = planned(CONTROLS)
    n_members = sum(control.n_members(SETTINGS) for control in CONTROLS)
    names = list(found.relations[0].seconds)
    assert names[:2] == ["other_relations", "circuit"] and names[-1] == f"line-up, {n_members} members"
    assert set(names[2:-1]) == {e.name for e in EXPERIMENTS if TEXT not in e.card.takes}
    assert "local_processing: not applicable: no text was given" in found.text()
    assert all(seconds > 0 for seconds in found.relations[0].seconds.values())
    assert found.seconds == pytest.approx(sum(found.relations[0].seconds.values()))
    assert f"line-up, {n_members} members" in found.text()


@pytest.mark.usefixtures("given_costs")
def test_without_controls_there_is_no_line_up() -> None:
    assert not [name for name in planned(()).relations[0].seconds if name.startswith("line-up")]


@pytest.mark.usefixtures("given_costs")
def test_the_line_up_takes_members_times_building_and_measuring() -> None:
    one, two = (line_up(planned([Additive()], replace(SETTINGS, n_members=k))) for k in (1, 2))
    assert two == pytest.approx(2 * one)
    trained = replace(SETTINGS, n_trained_members=1)
    assert line_up(planned([Trained()], trained)) > line_up(planned([Additive()], replace(SETTINGS, n_members=1)))
    short, long = (line_up(planned([PartialHash(steps)], trained)) for steps in (10, 1010))
    names = 2 * SETTINGS.max_entities
    assert long - short == pytest.approx(1000 * plan.STEP_PASSES * names * plan.WINDOW * COSTS.mlp)


@pytest.mark.usefixtures("given_costs")
def test_shared_neurons_needs_several_relations() -> None:
    found = plan.plan(model(), facts(), relation=None, settings=SETTINGS, experiments=EXPERIMENTS).relations[0]
    assert found.inapplicable == {"shared_neurons": "relations in the table: 1, at least 4 are needed"}
    assert "shared_neurons" not in found.seconds and "other_relations" not in found.seconds


@pytest.mark.usefixtures("given_costs")
def test_what_names_rule_out_is_one_line_with_counts() -> None:
    """Names of one word; the control is the same table with both words of every name."""
    words = [fact.entity.split()[1] for fact in facts().facts]
    short = tuple(replace(f, entity=w) for f, w in dict(zip(facts().facts, words, strict=True)).items())
    table = replace(facts(), facts=tuple({fact.entity: fact for fact in short}.values()))
    found = plan.plan(model(), table, relation=None, settings=SETTINGS, experiments=EXPERIMENTS)
    needing = [e.name for e in EXPERIMENTS if "two_part_names" in e.card.needs]
    assert set(found.relations[0].inapplicable) == set(needing) and len(needing) == 8
    lines = [line.strip() for line in found.text().splitlines() if "not applicable, since" in line]
    assert lines == [
        "not applicable, since 0 names have two parts in such strata, at least 24 are needed: " + ", ".join(needing)
    ]
    assert "parts: 0 names have two, 0 of them in strata with 4 first parts" in found.text()
    whole = plan.plan(model(), facts(), relation=None, settings=SETTINGS, experiments=EXPERIMENTS).text()
    n = len(facts().facts)
    assert (
        f"parts: {n} names have two, {n} of them in strata with 4 first parts, 4 last parts and 12 names (1 of 1"
        in whole
    )


def test_the_costs_are_measured() -> None:
    found = plan._costs(model(), plan.Questions(model=model(), table=facts(), settings=SETTINGS).of("sport"), SETTINGS)
    assert all(0 < seconds < 5 for seconds in vars(found).values())


def test_the_command_line_says_what_would_run_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    arguments = ["study", str(BUNDLED), "--facts", "athletes", "--relation", "sport", "--out", str(folder)]
    monkeypatch.setattr(sys, "argv", ["rote", *arguments, "--controls", "additive,trained", "--dry-run"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert "line-up, 25 members" in capsys.readouterr().out
    assert not folder.exists()
