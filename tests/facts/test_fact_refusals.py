"""Unusable input is refused with what was seen, what was expected and what to do, all at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rote.errors import FactsError
from rote.facts import FactTable, read_facts

GOOD = "entity,sport\nAnn,golf\nBob,chess\n"
LRE: dict[str, Any] = {
    "name": "r",
    "prompt_templates": ["{} is"],
    "samples": [{"subject": "a", "object": "b"}],
}


def dumped(data: object) -> bytes:
    return json.dumps(data).encode()


# file name, its bytes, options, what the message must say
FILES: tuple[tuple[str, bytes, dict[str, Any], Sequence[str]], ...] = (
    ("t.csv", b"", {}, ["t.csv is empty", "column names"]),
    ("t.csv", b"\n\n", {}, ["t.csv is empty"]),
    ("t.csv", b"entity,sport\n", {}, ["holds no rows", "at least one fact"]),
    (
        "t.csv",
        b"person,sport\nAnn,golf\n",
        {},
        ["'person', 'sport'", "a column entity", "athlete, subject, name"],
    ),
    ("t.csv", b"entity\nAnn\n", {}, ["'entity'", "one column per relation"]),
    ("t.csv", b"entity,relation\nAnn,sport\n", {}, ["no column attribute", "'entity', 'relation'"]),
    ("t.csv", b"entity,sport,sport\nAnn,golf,golf\n", {}, ["2 columns named 'sport'"]),
    ("t.csv", b"entity,sport\nAnn,golf,x\nBob\n", {}, ["line 2: 3 cells; expected 2", "line 3: 1 cells"]),
    ("t.csv", b'entity,sport\n"Ann,golf\n', {}, ["row from line 2 on", "balanced double quotes"]),
    ("t.csv", b"entity,sport\nAnn,golf\nZo\xeb,golf\n", {}, ["byte 0xeb", "offset 24", "line 3", "UTF-8"]),
    ("t.csv", "entity,sport\nAnn,golf".encode("utf-16"), {}, ["byte 0xff at offset 0, in line 1"]),
    (
        "t.csv",
        b"entity,sport\n,golf\nAnn,\n",
        {},
        ["none of the 2 rows", "row 2: the entity is empty", "row 3"],
    ),
    ("t.csv", b"entity,attribute\nAnn,golf\n", {}, ["no relation", "none was given", 'relation="sport"']),
    ("t.csv", b"entity,attribute\nAnn,golf\n", {"relation": ["a", "b"]}, ["2 were given ('a', 'b')"]),
    ("t.csv", GOOD.encode(), {"relation": "team"}, ["no relation 'team'", "'sport'"]),
    ("t.csv", GOOD.encode(), {"relation": ["team", "club"]}, ["'team'", "'club'"]),
    ("t.csv", GOOD.encode(), {"relation": []}, ["given as []", "one name or several"]),
    ("t.csv", GOOD.encode(), {"template": "no slot"}, ["'no slot'", "no {}", "exactly one {}"]),
    ("t.csv", GOOD.encode(), {"template": "{}{}"}, ["2 times {}"]),
    ("t.csv", GOOD.encode(), {"template": "", "relation": "team"}, ["no {}", "no relation 'team'"]),
    ("t.csv", b"entity,a,b\nAnn,x,y\n", {"template": "{}"}, ["2 relations ('a', 'b')", "select one"]),
    ("t.csv", b"entity,a,b\nAnn,x,\n", {"relation": "b"}, ["none of the 1 rows of relation 'b'", "is empty"]),
    (
        "t.csv",
        b"entity,relation,attribute,template\nA,r,x,none\nB,s,y,two {} {}\n",
        {},
        ["'none'", "'two {} {}'"],
    ),
    (
        "t.csv",
        b"entity,relation,attribute,prefix\nA,r,x,p\nB,r,y,q\n",
        {},
        ["2 different prefixes", 'prefix=""'],
    ),
    ("t.tsv", GOOD.encode(), {}, ["'entity,sport'"]),
    ("t.json", b'{"a": ', {}, ["no readable JSON", "line 1 column 7"]),
    ("t.json", b"\xff", {}, ["byte 0xff"]),
    ("t.json", b"[" * 100_000, {}, ["no readable JSON"]),
    ("t.json", b"9" * 5000, {}, ["no readable JSON"]),
    ("t.json", b"3", {}, ["a single int", "EasyEdit:", "LRE:"]),
    ("t.json", b"[]", {}, ["an empty list"]),
    ("t.json", b"[1, 2]", {}, ["a list of int values"]),
    ("t.json", b'{"foo": 1}', {}, ["one object with the keys 'foo'", "CounterFact:"]),
    ("t.json", b'[{"entity": "a", "sport": "b"}, 3, "x"]', {}, ["item 2: a int", "item 3: a str"]),
    ("t.json", b'[{"foo": "a", "bar": "b"}]', {}, ["'foo', 'bar'", "a column entity"]),
    (
        "t.json",
        dumped({"entities": 3, "relations": [], "fiction": "x"}),
        {},
        ["relations is a list", "entities is a int", "fiction is 'x'"],
    ),
    (
        "t.json",
        dumped({"entities": {"A": 3}, "relations": {"r": 4}}),
        {},
        ["entity 'A' has 3", "relation 'r'"],
    ),
    (
        "t.json",
        dumped({"entities": {"A": {"s": "x"}}, "relations": {"r": {"template": "{}"}}, "fiction": ["B"]}),
        {},
        ["the relations 's'", "described are 'r'", "fiction names 'B'"],
    ),
    (
        "t.json",
        dumped({"entities": {"A": {"r": "x"}}, "relations": {"r": {"template": "no"}}}),
        {},
        ["'no'", "no {}"],
    ),
    (
        "t.json",
        dumped(LRE | {"name": 1, "prompt_templates": []}),
        {},
        ["name is 1", "prompt_templates is []"],
    ),
    ("t.json", dumped(LRE | {"samples": 4}), {}, ["samples is a int"]),
    ("t.json", dumped(LRE | {"samples": [4]}), {}, ["item 1: a int"]),
    ("t.jsonl", b'{"entity": "a", "sport": "b"}\n{"x\n3 4\n', {}, ["line 2", "line 3"]),
    ("t.jsonl", b"", {}, ["an empty list"]),
    ("t.parquet", b"PAR1 nothing", {}, ["no readable parquet"]),
    ("t.xlsx", GOOD.encode(), {}, ["suffix '.xlsx'", ".csv, .tsv, .json, .jsonl, .parquet"]),
    ("t", GOOD.encode(), {}, ["suffix ''"]),
)


@pytest.mark.parametrize(("name", "data", "options", "says"), FILES)
def test_files_that_cannot_be_used(
    name: str, data: bytes, options: dict[str, Any], says: Sequence[str], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FactsError) as caught:
        read_facts(tmp_path / name, **options)
    message = str(caught.value)
    for part in says:
        assert part in message
    assert caught.value.exit_code == 2
    assert caught.value.problems


@pytest.mark.parametrize("source", ["nowhere.csv", "athlete", "", "a\0b.csv", "x" * 5000, 17, None])
def test_sources_that_do_not_exist(source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FactsError):
        read_facts(source)


def test_a_missing_source_names_the_built_in_tables_and_where_was_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FactsError) as caught:
        read_facts("nowhere.csv", template="no slot")
    assert len(caught.value.problems) == 2
    assert "athletes" in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(FactsError, match=r"without \.json files"):
        read_facts(tmp_path)
    (tmp_path / "a.json").write_bytes(dumped(LRE))
    (tmp_path / "b.json").write_text("{")
    (tmp_path / "c.json").write_text("[]")
    with pytest.raises(FactsError) as caught:
        read_facts(tmp_path)
    assert len(caught.value.problems) == 2
    assert "b.json is no readable JSON" in str(caught.value)
    assert "c.json is not in the LRE layout" in str(caught.value)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pd.DataFrame(), "has the columns none"),
        (pd.DataFrame({0: ["a"], 1: ["b"]}), "'0', '1'"),
        (pd.DataFrame([["a", "b"]], columns=["entity", pd.NA]), "'entity'"),
        (pd.DataFrame({"entity": [], "sport": []}), "holds no rows"),
        (pd.DataFrame({"entity": ["a"], "sport": [pd.NaT]}), "the attribute is empty"),
        (pd.DataFrame({"entity": ["a"], "sport": [float("inf")]}), "the attribute is empty"),
    ],
)
def test_data_frames_that_cannot_be_used(frame: pd.DataFrame, says: str) -> None:
    with pytest.raises(FactsError) as caught:
        read_facts(frame)
    assert says in str(caught.value)


def test_long_lists_of_problems_are_cut_and_counted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("entity,sport\n" + "a\n" * 500)
    with pytest.raises(FactsError) as caught:
        read_facts(tmp_path / "t.csv")
    assert len(caught.value.problems) == 21
    assert "480 more" in caught.value.problems[-1]


def read_or_refuse(path: Path, **options: Any) -> None:
    try:
        table = read_facts(path, **options)
    except FactsError as error:
        assert error.problems
        return
    assert isinstance(table, FactTable)
    assert table.facts
    assert len(table.hash) == 64


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
)
KEYS = st.sampled_from(
    (
        "entity",
        "subject",
        "attribute",
        "relation",
        "template",
        "prefix",
        "prompt",
        "ground_truth",
        "relation_id",
        "requested_rewrite",
        "target_true",
        "str",
        "samples",
        "name",
        "prompt_templates",
        "entities",
        "relations",
        "fiction",
        "object",
        "sport",
        "{}",
        "",
    )
)
OBJECTS = st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, LEAVES, max_size=4), max_size=7)
DOCUMENTS = VALUES | OBJECTS | st.lists(OBJECTS, max_size=4)
FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(data=st.binary(max_size=200), suffix=st.sampled_from(["csv", "tsv", "json", "jsonl", "parquet"]))
def test_any_bytes_are_read_or_refused(data: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{suffix}"
    path.write_bytes(data)
    read_or_refuse(path)


@FUZZ
@given(
    header=st.lists(KEYS, max_size=5),
    rows=st.lists(st.lists(st.text(alphabet='ab{} ,"\n\r\t\0é', max_size=6), max_size=5), max_size=6),
    relation=st.none() | st.text(max_size=3),
)
def test_any_csv_is_read_or_refused(
    header: list[str], rows: list[list[str]], relation: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    text = "\n".join(",".join(row) for row in [header, *rows])
    path.write_bytes(text.encode("utf-8"))
    read_or_refuse(path, relation=relation)


@FUZZ
@given(data=DOCUMENTS, template=st.none() | st.sampled_from(["{}", "x", "{} {}"]))
def test_any_json_is_read_or_refused(data: Any, template: str | None, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    read_or_refuse(path, template=template)
