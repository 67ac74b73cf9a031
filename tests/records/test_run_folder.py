"""A run folder resumes its own study, refuses another, and gives equal bytes for equal content."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pandas as pd
import pytest

from rote.errors import InputError, RunError
from rote.records import Absent, Record, Row, RunFolder, Shard, absent_frame, summary_frame
from rote.records.study import FORMAT_VERSION

STUDY = {"model": "organism", "seed": 0, "settings": {"n_pairs": 500, "window": [1, 3]}}
SHARDS = (
    Shard("readout", "all"),
    Shard("linear_structure", "pairs 0..99"),
    Shard("linear_structure", "pairs 100..199"),
)


def record(shard: Shard, value: float = 0.1) -> Record:
    key = {"experiment": shard.experiment, "stack": "model"}
    return Record(
        rows=(Row(**key, statistic="s", source=shard.item, value=value + 0.2, n=3, parameters={"b": 1, "a": 2}),),
        absent=(Absent(**key, statistic="t", source=shard.item, reason="names have one token"),),
        tables={"pairs": pd.DataFrame({"name": ["A", shard.item], "broken": [value, None], "layer": [1, 2]})},
    )


def measured(folder: Path, order: tuple[Shard, ...] = SHARDS) -> RunFolder:
    run = RunFolder.open(folder, STUDY)
    for shard in order:
        if not run.done(shard):
            run.write(shard, record(shard))
    run.assemble(SHARDS)
    return run


def tables(folder: Path) -> dict[str, bytes]:
    found = [path for path in folder.rglob("*") if path.suffix in (".parquet", ".json")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if path.name != "timings.json"}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    run = measured(tmp_path / "run")
    rows = [row for shard in SHARDS for row in record(shard).rows]
    pd.testing.assert_frame_equal(run.summary, summary_frame(rows))
    pd.testing.assert_frame_equal(run.absent, absent_frame([a for s in SHARDS for a in record(s).absent]))
    assert run.read(SHARDS[0]).rows == record(SHARDS[0]).rows
    assert run.read(SHARDS[0]).absent == record(SHARDS[0]).absent
    assert run.tables() == (("linear_structure", "pairs"), ("readout", "pairs"))
    pairs = run.table("linear_structure")
    assert pairs["name"].tolist() == ["A", "pairs 0..99", "A", "pairs 100..199"]
    pd.testing.assert_frame_equal(pairs, run.table("linear_structure", "pairs"))


def test_the_json_is_the_public_format(tmp_path: Path) -> None:
    text = (measured(tmp_path / "run").path / "summary.json").read_text(encoding="utf-8")
    first = json.loads(text)[0]
    assert first["value"] == 0.1 + 0.2 and "0.30000000000000004" in text  # the shortest text that reads back
    assert first["condition"] is None and first["parameters"] == '{"a":2,"b":1}'
    assert len(first) == 20 and len(text.splitlines()) == len(SHARDS) + 2


def test_equal_content_gives_equal_bytes_in_whatever_order_it_was_computed(tmp_path: Path) -> None:
    measured(tmp_path / "a")
    RunFolder.open(tmp_path / "b", STUDY).write(SHARDS[2], record(SHARDS[2]))  # interrupted, then resumed
    measured(tmp_path / "b", SHARDS[::-1])
    run = measured(tmp_path / "b")
    run.add_timing(SHARDS[0], 1.5)
    assert tables(tmp_path / "a") == tables(tmp_path / "b")


def test_plain_pandas_reads_the_same_types(tmp_path: Path) -> None:
    frame = pd.read_parquet(measured(tmp_path / "run").path / "summary.parquet")
    assert str(frame["layer"].dtype) == "Int64" and str(frame["n"].dtype) == "Int64"
    assert str(frame["ci_low"].dtype) == "float64"


def test_a_column_may_be_null_or_missing_in_one_shard(tmp_path: Path) -> None:
    run = RunFolder.open(tmp_path / "run", STUDY)
    frames = [
        pd.DataFrame({"a": [None, None], "b": [1, 2]}),
        pd.DataFrame({"a": ["x"], "b": pd.array([None], dtype="Int64"), "c": [True]}),
        pd.DataFrame({"a": pd.Categorical(["y"]), "b": [3]}),
    ]
    shards = [Shard("e", str(index)) for index in range(3)]
    for shard, frame in zip(shards, frames, strict=True):
        run.write(shard, Record(tables={"t": frame}))
    run.assemble(shards)
    table = run.table("e")
    assert table["a"].tolist() == [None, None, "x", "y"]
    assert str(table["b"].dtype) == "Int64" and table["b"].sum() == 6
    assert table["c"].isna().tolist() == [True, True, False, True]


def test_another_study_is_refused_with_every_difference(tmp_path: Path) -> None:
    measured(tmp_path / "run")
    other = {"model": "organism", "seed": 1, "settings": {"n_pairs": 200, "window": [1, 3]}, "dtype": "float32"}
    with pytest.raises(RunError) as caught:
        RunFolder.open(tmp_path / "run", other)
    message = str(caught.value)
    assert "seed: 0 -> 1" in message and "settings.n_pairs: 500 -> 200" in message
    assert 'dtype: (not set) -> "float32"' in message and "--fresh" in message
    assert "window" not in message and "model:" not in message
    assert RunFolder.open(tmp_path / "run", {**STUDY, "settings": {"window": (1, 3), "n_pairs": 500}}).finished


def test_fresh_deletes_what_rote_wrote_and_nothing_else(tmp_path: Path) -> None:
    run = measured(tmp_path / "run")
    run.log.write_text("log")
    mine = [run.path / "notes.md", run.path / "records" / "readout" / "mine.csv", run.path / "records" / "x.txt"]
    mine.append(run.path / "records" / "readout" / "mine.parquet")
    for path in mine[:3]:
        path.write_text("kept")
    pd.DataFrame({"a": [1]}).to_parquet(mine[3])
    would = run.would_discard()
    run.close()
    again = RunFolder.open(run.path, {**STUDY, "seed": 1}, fresh=True)
    assert again.discarded == would and "summary.json" in would and "log.txt" in would
    again.close()
    assert {path for path in run.path.rglob("*") if path.is_file()} == {*mine, run.path / "study.json"}
    assert not again.done(SHARDS[0]) and again.study["seed"] == 1
    with pytest.raises(RunError, match="not finished"):
        _ = again.summary


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_of_other_things_is_left_alone(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "summary.json").write_text("mine")
    with pytest.raises(RunError, match=r"not a run folder: it has no study\.json but holds summary\.json"):
        RunFolder.open(tmp_path, STUDY, fresh=fresh)
    (tmp_path / "study.json").write_text('{"title": "another tool"}')
    with pytest.raises(RunError, match="cannot be read as a study of rote"):
        RunFolder.open(tmp_path, STUDY, fresh=fresh)
    (tmp_path / "study.json").write_text('{"format_version": 99}')
    with pytest.raises(RunError, match="format version 99"):
        RunFolder.open(tmp_path, STUDY, fresh=fresh)
    assert (tmp_path / "summary.json").read_text() == "mine"


def test_links_to_folders_are_not_followed_when_deleting(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "shards"
    elsewhere.mkdir(parents=True)
    (elsewhere / "precious.shard").write_text("kept")
    run = RunFolder.open(tmp_path / "run", STUDY)
    (run.path / "records").mkdir()
    (run.path / "records" / "linked").symlink_to(elsewhere.parent)
    run.close()
    RunFolder.open(run.path, STUDY, fresh=True)
    assert (elsewhere / "precious.shard").read_text() == "kept"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="cannot be used as a run folder"):
        RunFolder.open(tmp_path / "run", STUDY)
    with pytest.raises(RunError, match="not a run folder"):
        RunFolder.read_only(tmp_path / "run")


def test_damaged_and_foreign_shards_are_not_reused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = RunFolder.open(tmp_path / "run", STUDY)
    shard, path = SHARDS[0], run.path / SHARDS[0].relative_path
    run.write(shard, record(shard))
    whole = path.read_bytes()
    other = RunFolder.open(tmp_path / "other", {**STUDY, "seed": 1})
    other.write(shard, record(shard))
    run.write(SHARDS[1], record(SHARDS[1]))
    damaged = {
        "checksum": [whole[:-1], whole[:200], bytes([*whole[:-9], whole[-9] ^ 1, *whole[-8:]])],
        "begins with": [b"", b"\x00" * 400],
        "another study": [(other.path / shard.relative_path).read_bytes()],
        "belongs to": [(run.path / SHARDS[1].relative_path).read_bytes()],
    }
    for reason, contents in damaged.items():
        for content in contents:
            path.write_bytes(content)
            caplog.clear()
            with caplog.at_level(logging.WARNING, logger="rote"):
                assert not run.done(shard)
            assert reason in caplog.text
            with pytest.raises(RunError, match=reason):
                run.read(shard)
    path.write_bytes(whole)
    assert run.done(shard)


@pytest.mark.parametrize("position", range(0, 1200, 97))
def test_any_flipped_bit_is_seen(tmp_path: Path, position: int) -> None:
    run = RunFolder.open(tmp_path / "run", STUDY)
    run.write(SHARDS[0], record(SHARDS[0]))
    path = run.path / SHARDS[0].relative_path
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 4
    path.write_bytes(bytes(content))
    assert not run.done(SHARDS[0])


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/abs", "..", ".", "", "a/b", "A", "a\x00b", "x" * 300, "é", "a."]
)
def test_no_name_leaves_the_folder_or_collides(tmp_path: Path, name: str) -> None:
    run = RunFolder.open(tmp_path / "run", STUDY)
    shard, plain = Shard(name or "x", name), Shard("a", "a")
    run.write(shard, Record(tables={name: pd.DataFrame({"a": [1]})}))
    run.write(plain, Record())
    run.assemble([shard, plain])
    assert run.done(shard) and run.done(plain)
    assert run.table(name or "x", name)["a"].tolist() == [1]
    outside = [path for path in tmp_path.rglob("*") if run.path not in (path, *path.parents)]
    assert outside == []


def test_assembling_needs_every_shard_and_one_value_for_each_key(tmp_path: Path) -> None:
    run = RunFolder.open(tmp_path / "run", STUDY)
    run.write(SHARDS[0], record(SHARDS[0]))
    with pytest.raises(RunError, match=r"lacks 2 of 3 records \(linear_structure/pairs 0..99, "):
        run.assemble(SHARDS)
    assert not run.finished
    again = Shard("readout", "again")
    run.write(again, record(SHARDS[0], value=0.5))
    with pytest.raises(ValueError, match="two values for one key"):
        run.assemble([SHARDS[0], again])


def test_a_run_opened_to_be_read_keeps_its_measurements(tmp_path: Path) -> None:
    measured(tmp_path / "run")
    run = RunFolder.read_only(tmp_path / "run")
    assert run.study == {"format_version": FORMAT_VERSION, **STUDY} and len(run.summary) == 3
    assert run.fingerprint == RunFolder.open(tmp_path / "run", STUDY).fingerprint
    for write in (
        lambda: run.write(SHARDS[0], Record()),
        lambda: run.assemble(SHARDS),
        lambda: run.add_timing(SHARDS[0], 1),
    ):
        with pytest.raises(RunError, match="opened to be read"):
            write()
    run.write_derived("report.html", "<p>")
    assert (run.path / "report.html").read_text() == "<p>"
    with pytest.raises(ValueError, match="not derived"):
        run.write_derived("summary.json", "[]")


def test_a_missing_table_names_those_there_are(tmp_path: Path) -> None:
    run = measured(tmp_path / "run")
    with pytest.raises(InputError, match="there are: linear_structure/pairs, readout/pairs"):
        run.table("known_facts")


def test_timings_are_kept_across_resumes(tmp_path: Path) -> None:
    RunFolder.open(tmp_path / "run", STUDY).add_timing(SHARDS[0], 0.25)
    run = RunFolder.open(tmp_path / "run", STUDY)
    run.add_timing(SHARDS[1], 1.0)
    assert [timing["seconds"] for timing in run.timings] == [0.25, 1.0]
    (run.path / "timings.json").write_text("[{")
    assert RunFolder.read_only(run.path).timings == []


@pytest.mark.parametrize("study", [{"a": float("nan")}, {"a": Path("x")}, {"format_version": FORMAT_VERSION + 1}])
def test_a_study_holds_json_only(tmp_path: Path, study: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        RunFolder.open(tmp_path / "run", study)
    assert not (tmp_path / "run").exists()
