"""Capacity: what is counted is what a plain count finds, facts are random, and a bigger model holds more."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from rote.cli import main as cli
from rote.errors import RunError, SettingsError
from rote.execute import Finished, Started
from rote.organisms import capacity
from rote.organisms.capacity import CapacityGrid, Held, OrganismSize, random_facts, train_on_facts
from rote.pipeline.toys import run_toy
from rote.report import lead_text, render_text
from rote.toys.organism_capacity.tables import member_record, over_organisms

TINY = CapacityGrid(
    widths=(4, 8), n_heads=1, n_layers=1, n_facts=(16, 32), exposures=(2,), n_seeds=2, n_names=8, n_classes=4, batches=2
)
ONE = OrganismSize(d_model=16, n_facts=48, exposures=40, seed=0)
ONE_GRID = replace(TINY, n_heads=2, learning_rate=3e-2)


def test_facts_are_distinct_pairs_with_uniform_answers() -> None:
    grid = CapacityGrid(n_facts=(2000,), n_names=50, n_classes=5)
    tokens, answers = random_facts(grid, OrganismSize(d_model=8, n_facts=2000, exposures=1, seed=3))
    assert len({tuple(row) for row in tokens.tolist()}) == 2000
    first, last = tokens[:, 1] - 2, tokens[:, 2] - 52
    assert first.min() >= 0 and first.max() == 49 and last.min() >= 0 and last.max() == 49
    counts = torch.bincount(answers - 102)
    assert len(counts) == 5 and (counts - 400).abs().max() < 80  # 4.5 standard deviations
    assert abs(np.corrcoef(first, answers)[0, 1]) < 0.1 and abs(np.corrcoef(last, answers)[0, 1]) < 0.1
    again, _ = random_facts(grid, OrganismSize(d_model=32, n_facts=2000, exposures=9, seed=3))
    assert torch.equal(tokens, again)  # the same facts for every width


def test_what_is_counted_is_what_a_plain_loop_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    build = capacity.build_model
    monkeypatch.setattr(capacity, "build_model", lambda *a, **k: kept.append(build(*a, **k)) or kept[-1])
    torch.manual_seed(5)
    before = torch.rand(2)
    torch.manual_seed(5)
    held = train_on_facts(ONE_GRID, ONE)
    assert torch.equal(torch.rand(2), before)  # the global generator is as it was
    (model,) = kept
    tokens, answers = random_facts(ONE_GRID, ONE)
    known, bits = 0, 0.0
    for row, answer in zip(tokens, answers.tolist(), strict=True):
        with torch.no_grad():
            logits = model(row[None]).logits[0, -1].double()
        known += bool(torch.softmax(logits, -1)[answer] > 0.5)
        classes = torch.softmax(logits[-ONE_GRID.n_classes :], -1)
        bits += math.log2(ONE_GRID.n_classes * float(classes[answer - (len(logits) - ONE_GRID.n_classes)]))
    assert held.n_known == known
    assert held.bits == pytest.approx(bits, abs=1e-3)
    assert held.n_parameters == sum(p.numel() for p in model.parameters())
    embeddings = 2 * ONE_GRID.vocab_size * ONE.d_model
    assert held.n_parameters - held.n_block_parameters == embeddings


def test_facts_that_are_read_often_are_learnt_and_those_never_read_are_not() -> None:
    held = train_on_facts(ONE_GRID, ONE)
    barely = train_on_facts(ONE_GRID, replace(ONE, exposures=1))
    assert held.n_known >= 40 and held.bits > 70  # of 48 facts of 2 bits
    assert barely.n_known <= 16 and barely.bits < 10


def test_every_fact_is_read_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    logits = capacity._logits
    monkeypatch.setattr(capacity, "_logits", lambda m, t: seen.append(t) or logits(m, t))
    train_on_facts(TINY, OrganismSize(d_model=8, n_facts=31, exposures=3, seed=0))
    rows = torch.cat(seen[:-1])  # the last one counts what is held
    _, counts = rows.unique(dim=0, return_counts=True)
    assert len(counts) == 31 and (counts == 3).all()
    assert len(seen) == 3 * TINY.batches + 1


def fake(grid: CapacityGrid, law: float, held_per: float = 0.02, jitter: float = 0.02) -> list:
    """Records of organisms that know held_per · parameters^law facts, as far as they are given."""
    random = np.random.default_rng(0)
    records = []
    for size in grid.members:
        n_parameters = 100 * size.d_model**2
        could = held_per * n_parameters**law * np.exp(random.normal(0, jitter))
        known = int(min(could, size.n_facts))
        held = Held(
            n_parameters=n_parameters,
            n_block_parameters=n_parameters // 2,
            n_known=known,
            bits=5.0 * known,
            loss_nats=1.0,
        )
        records.append(member_record(size, held))
    return records


@pytest.mark.parametrize("law", [0.8, 1.0, 1.3])
def test_the_exponent_of_a_planted_law_is_found(law: float) -> None:
    grid = CapacityGrid(n_facts=(1000, 1_000_000), n_names=1000)
    record = over_organisms(grid, fake(grid, law))
    for row in record.rows:
        if row.statistic in ("capacity_exponent", "bits_exponent"):
            assert row.ci_low - 0.01 < law < row.ci_high + 0.01 and abs(row.value - law) < 0.1
    assert sum(row.statistic == "capacity_exponent" for row in record.rows) == 4  # two exposures, two abscissae


def test_widths_that_know_all_that_was_given_are_left_out_and_named() -> None:
    """The control: a ceiling would make any law look flat."""
    grid = CapacityGrid(n_facts=(1000, 2000), n_names=1000)
    record = over_organisms(grid, fake(grid, 1.0, held_per=0.05))  # widths 8 to 24: 320 to 2,880 facts
    (row,) = [
        r for r in record.rows if r.statistic == "capacity_exponent" and r.condition == "parameters"
        and '"exposures":25,' in r.parameters
    ]  # fmt: skip
    assert row.value == pytest.approx(1.0, abs=0.15)
    assert '"widths_left_out":[20,24]' in row.parameters
    none = over_organisms(grid, fake(grid, 1.0, held_per=10.0))
    reasons = {a.reason for a in none.absent}
    assert len(none.absent) == 8 and all("at least 3 sizes" in r and "8, 12, 16, 20, 24" in r for r in reasons)


def test_means_are_over_seeds_of_the_most_facts_known() -> None:
    grid = CapacityGrid(widths=(8,), n_facts=(10, 20), exposures=(5,), n_seeds=2)
    known = {(10, 0): 9, (20, 0): 5, (10, 1): 7, (20, 1): 11}
    one = Held(n_parameters=100, n_block_parameters=50, n_known=0, bits=50.0, loss_nats=1.0)
    records = [member_record(s, replace(one, n_known=known[s.n_facts, s.seed])) for s in grid.members]
    rows = over_organisms(grid, records).rows
    (held,) = [r for r in rows if r.statistic == "facts_held"]
    assert held.value == 10 and held.n == 2  # max(9, 5) and max(7, 11)
    assert held.ci_low < 9 and held.ci_high > 11  # two seeds say little
    (bits,) = [r for r in rows if r.statistic == "bits_held"]
    assert bits.value == 0.5 and bits.unit == "bits"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_toy("organism_capacity", TINY, folder=tmp_path_factory.mktemp("capacity")).path


def test_a_study_leaves_a_folder_like_any_other(finished: Path) -> None:
    from rote import open_run

    run = open_run(finished)
    assert set(run.summary["experiment"]) == {"organism_capacity"}
    assert len(run.table("organism_capacity")) == len(TINY.members) == 8
    assert run.study["settings"]["widths"] == [4, 8]
    said = lead_text(finished)
    assert "8 small transformers were trained on random facts" in " ".join(said.split())
    page = render_text(finished)
    assert "How many facts organisms hold" in page and "Facts known, by width (rows)" in page
    assert "What was not measured" not in page and "at least 3 sizes; there are" in page


def test_an_interrupted_study_goes_on_and_ends_in_the_same_tables(finished: Path, tmp_path: Path) -> None:
    done: list[str] = []

    def interrupt(event: object) -> None:
        if isinstance(event, Finished):
            done.append(str(event.shard))
        if isinstance(event, Started) and len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_toy("organism_capacity", TINY, folder=tmp_path / "run", on_event=interrupt)
    begun: list[str] = []
    run_toy(
        "organism_capacity",
        TINY,
        folder=tmp_path / "run",
        on_event=lambda e: begun.append(str(getattr(e, "shard", ""))),
    )
    assert len(done) == 3 and not set(done) & set(begun)
    for name in ("summary.parquet", "absent.parquet", "records/organism_capacity/organisms.parquet"):
        assert (tmp_path / "run" / name).read_bytes() == (finished / name).read_bytes()
    with pytest.raises(RunError, match="n_seeds"):
        run_toy("organism_capacity", replace(TINY, n_seeds=1), folder=tmp_path / "run")


def test_a_grid_that_cannot_be_trained_is_refused_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        CapacityGrid(widths=(6, 0), n_facts=(0,), exposures=())
    assert len(caught.value.problems) >= 4
    with pytest.raises(SettingsError, match="pairs of names are fewer"):
        CapacityGrid(n_names=10)


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["rote", "organism", "capacity", "--out", str(tmp_path / "run"), "--workers", "1"]
    for name, value in {**TINY.as_dict(), "n_seeds": 1, "widths": [4]}.items():
        arguments += ["--set", f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert str(tmp_path / "run" / "report.html") in capsys.readouterr().out
    assert len(pd.read_parquet(tmp_path / "run" / "records" / "organism_capacity" / "organisms.parquet")) == 2
    monkeypatch.setattr(sys, "argv", [*arguments[:-1], "width=3"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2 and "width" in capsys.readouterr().err
