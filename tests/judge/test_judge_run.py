"""A run folder judged: outcomes.json, `Run.outcomes`, the command line, with and without a line-up, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from judge_tables import WITH, WITHOUT, cell_rows, controls_frame, place
from typer.testing import CliRunner

import rote
from rote.catalog import PREDICTIONS
from rote.cli.main import app
from rote.errors import RunError
from rote.judge import NO_LINEUP, judge_run, overall, verdicts
from rote.judge.table import renderables
from rote.records import Record, Row, RunFolder, Shard

BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers"):
            raise ImportError(name + " is not here")
sys.meta_path.insert(0, Block())
"""


def written(folder: Path, line_up: bool) -> Path:
    """A finished run in which every cell's model stands at its with-controls, hash_lookup at 0.2 throughout."""
    rows: dict[tuple[object, ...], Row] = {}
    for p in PREDICTIONS:
        for row in cell_rows(p, place(WITH), hash_lookup=place(WITH if "hash_lookup" in p.with_controls else WITHOUT)):
            rows.setdefault(row.key, row)
    run = RunFolder.open(folder, {"model": "tiny", "seed": 0})
    shards = [Shard("path_ablation", "sport")]
    run.write(shards[0], Record(rows=tuple(rows.values())))
    if line_up:
        shards.append(Shard("lineup", "sport"))
        members = pd.DataFrame({"member": [0, 1], "value": [0.1, 0.2]})
        run.write(shards[1], Record(tables={"controls": controls_frame(), "members": members}))
    run.assemble(shards)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return written(tmp_path / "run", line_up=True)


def test_outcomes_json_is_what_the_tables_say_and_the_same_bytes_each_time(run: Path) -> None:
    found = judge_run(run)
    first = (run / "outcomes.json").read_bytes()
    assert json.loads(first) == [o.as_dict for o in found]
    assert len(found) == len(PREDICTIONS)
    judge_run(run)
    assert (run / "outcomes.json").read_bytes() == first
    folder = RunFolder.read_only(run)
    assert tuple(found) == verdicts(folder.summary, folder.absent, controls_frame())


def test_run_outcomes_is_a_table_before_and_after_judging(run: Path) -> None:
    opened = rote.open_run(run)
    before = opened.outcomes
    assert not (run / "outcomes.json").exists() and len(before) == len(PREDICTIONS)
    judged = opened.judge()
    assert (run / "outcomes.json").is_file()
    pd.testing.assert_frame_equal(judged, opened.outcomes)
    assert before["verdict"].tolist() == judged["verdict"].tolist()


def test_a_run_without_a_line_up_is_judged_not_applicable(tmp_path: Path) -> None:
    found = rote.open_run(written(tmp_path / "older", line_up=False)).judge()
    assert set(found["verdict"]) == {"not applicable"} and set(found["reason"]) == {NO_LINEUP}


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    RunFolder.open(tmp_path / "begun", {"model": "tiny"})
    with pytest.raises(RunError, match="not finished"):
        judge_run(tmp_path / "begun")


def test_the_command_prints_every_hypothesis_and_test(run: Path) -> None:
    done = CliRunner().invoke(app, ["judge", str(run)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    for words in ("sport", "Hash and look-up", "path_share", "early_rise", "not decisive", "outcomes.json"):
        assert words in done.output


def test_the_command_judges_where_there_is_no_torch(run: Path) -> None:
    code = f"sys.argv = ['rote', 'judge', {str(run)!r}]\nfrom rote.cli.main import main\nmain()"
    done = subprocess.run([sys.executable, "-c", BLOCKED + code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Single-step detokenisation" in done.stdout and (run / "outcomes.json").is_file()


def test_a_run_with_nothing_to_judge_says_so(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path / "empty", {"model": "tiny"})
    folder.write(Shard("known_facts", "sport"), Record())
    folder.assemble([Shard("known_facts", "sport")])
    assert judge_run(tmp_path / "empty") == []
    assert json.loads((tmp_path / "empty" / "outcomes.json").read_text("utf-8")) == []
    (text,) = renderables([])
    assert "nothing to judge" in str(text)


def test_every_relation_has_its_own_table(run: Path) -> None:
    folder = RunFolder.read_only(run)
    both = pd.concat([folder.summary, folder.summary.assign(relation="[bold]team")])
    found = verdicts(both, folder.absent, controls_frame(("sport", "[bold]team")), certified_only=False)
    assert [str(table.title) for table in renderables(found)] == ["sport", "[bold]team"]
    assert {s.relation for s in overall(found)} == {"sport", "[bold]team"}
