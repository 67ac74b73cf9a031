"""Whatever bytes a file holds, the readers read it or refuse it: no other exception, no hang, no crash."""

from __future__ import annotations

import io
import json
import random
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_cases import GOOD, LONG, LRE, WHOLE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rote.errors import FactsError, InputError, SettingsError
from rote.facts import FactTable, build_prompts, read_facts
from rote.facts.text import text_problem
from rote.settings import Settings

FUZZ = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ODD = "a\"',;{}[]:\\/\n\r\t\0\x1b\ufeff\u200b\u202e\u0301é☃\ud800 0.-eE<>&"


def read_or_refuse(path: Path, **options: Any) -> FactTable | None:
    """The table, or None where it was refused; anything else fails the test."""
    started = time.monotonic()
    try:
        table = read_facts(path, **options)
    except FactsError as error:
        assert error.problems and all(error.problems)
        return None
    finally:
        assert time.monotonic() - started < 20
    assert table.facts
    assert not any(text_problem(text) for fact in table.facts for text in (fact.entity, fact.attribute, fact.relation))
    return table


@FUZZ
@given(data=st.binary(max_size=400), suffix=st.sampled_from(sorted(WHOLE)), strict=st.booleans())
def test_random_bytes(data: bytes, suffix: str, strict: bool, tmp_path: Path) -> None:
    path = tmp_path / f"t.{suffix}"
    path.write_bytes(data)
    read_or_refuse(path, leave_out=not strict)


EDITS = st.tuples(
    st.floats(0, 1), st.sampled_from(("flip", "cut", "copy", "insert")), st.binary(min_size=1, max_size=6)
)


@FUZZ
@given(
    suffix=st.sampled_from(sorted(WHOLE)),
    edits=st.lists(
        st.tuples(
            st.floats(0, 1), st.sampled_from(("flip", "cut", "copy", "insert")), st.binary(min_size=1, max_size=6)
        ),
        min_size=1,
        max_size=8,
    ),
    strict=st.booleans(),
)
def test_whole_files_with_some_bytes_changed(
    suffix: str, edits: list[tuple[float, str, bytes]], strict: bool, tmp_path: Path
) -> None:
    data = bytearray(WHOLE[suffix])
    for place, what, piece in edits:
        i = int(place * len(data))
        match what:
            case "flip" if data:
                data[min(i, len(data) - 1)] ^= piece[0] or 1
            case "cut":
                del data[i : i + len(piece) * 5]
            case "copy":
                data[i:i] = data[i : i + 60] * piece[0] if piece[0] < 20 else data[:i]
            case _:
                data[i:i] = piece
    path = tmp_path / f"t.{suffix}"
    path.write_bytes(bytes(data))
    read_or_refuse(path, leave_out=not strict)


COLUMNS = st.sampled_from(("entity", "attribute", "relation", "template", "prefix", "sport", ""))
CELLS = st.text(alphabet=ODD, max_size=8) | st.sampled_from(("Ann", "golf", "chess", "entity", "{}", "nan", "1e999"))


@FUZZ
@given(
    header=st.lists(
        st.sampled_from(("entity", "attribute", "relation", "template", "prefix", "sport", "")), max_size=6
    ),
    rows=st.lists(st.lists(CELLS, max_size=6), max_size=6),
    quoted=st.booleans(),
    ending=st.sampled_from(("\n", "\r\n", "\r")),
    relation=st.sampled_from((None, "sport", "x")),
    strict=st.booleans(),
)
def test_broken_csv(
    header: list[str],
    rows: list[list[str]],
    quoted: bool,
    ending: str,
    relation: str | None,
    strict: bool,
    tmp_path: Path,
) -> None:
    cells = [[f'"{cell}"' if quoted else cell for cell in row] for row in (header, *rows)]
    path = tmp_path / "t.csv"
    path.write_bytes(ending.join(",".join(row) for row in cells).encode("utf-8", "surrogatepass"))
    read_or_refuse(path, relation=relation, leave_out=not strict, max_facts=3)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | CELLS
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CELLS, inner, max_size=3))


@FUZZ
@given(data=st.data(), lines=st.booleans(), strict=st.booleans())
def test_documents_with_parts_of_another_kind(data: st.DataObject, lines: bool, strict: bool, tmp_path: Path) -> None:
    """A whole document in which some values are replaced, taken out or put elsewhere."""
    whole = data.draw(st.sampled_from((LONG, LRE, {"entities": {"Ann": {"sport": "golf"}, "Bob": {"sport": "chess"}}})))
    document: Any = json.loads(json.dumps(whole))
    for _ in range(data.draw(st.integers(1, 4))):
        part, key = random_part(document, data)
        if part is not None:
            part[key] = data.draw(VALUES)
    path = tmp_path / ("t.jsonl" if lines else "t.json")
    items = document if lines and isinstance(document, list) else [document]
    path.write_text("\n".join(json.dumps(item) for item in items), encoding="utf-8")
    read_or_refuse(path, leave_out=not strict)


def random_part(document: Any, data: st.DataObject) -> tuple[Any, Any]:
    """A container somewhere in a document, and one of its keys."""
    part, key, found = document, None, (None, None)
    while isinstance(part, (list, dict)) and part:
        key = data.draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part))))
        found = (part, key)
        if data.draw(st.booleans()):
            break
        part = part[key]
    return found


TYPES = (
    pa.int8(), pa.uint64(), pa.float32(), pa.bool_(), pa.binary(), pa.date32(), pa.timestamp("ns"), pa.duration("s"),
    pa.decimal128(30, 4), pa.null(), pa.list_(pa.string()), pa.struct([("a", pa.int32())]),
    pa.dictionary(pa.int32(), pa.string()), pa.large_string(),
)  # fmt: skip


@pytest.mark.parametrize("column", ["entity", "attribute", "relation", "template", "sport"])
def test_parquet_columns_of_every_type(column: str, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    for kind in TYPES:
        values: list[Any] = [None, None]
        if pa.types.is_dictionary(kind):
            values = ["golf", None]
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
            values = [1, None]
        columns = {"entity": pa.array(["A", "B"]), "attribute": pa.array(["x", "y"]), column: pa.array(values, kind)}
        pq.write_table(pa.table(columns), path)
        read_or_refuse(path, relation="r")


def test_parquet_cut_at_every_place_and_flipped_at_many(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pd.DataFrame({"entity": ["Ann", "Bob"], "sport": ["golf", "chess"]}).to_parquet(buffer)
    whole, path, chance = buffer.getvalue(), tmp_path / "t.parquet", random.Random(0)
    for _ in range(150):
        data = bytearray(whole[: chance.randrange(len(whole))] if chance.random() < 0.3 else whole)
        for _ in range(chance.randrange(1, 5)):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(bytes(data))
        read_or_refuse(path)


@FUZZ
@given(text=st.text(max_size=60) | st.binary(max_size=60).map(lambda b: b.decode("latin-1")) | VALUES.map(json.dumps))
def test_any_settings_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        assert isinstance(Settings.read(path), Settings)
    except SettingsError as error:
        assert error.problems


@settings(FUZZ, max_examples=60)
@given(names=st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=6), template=CELLS, prefix=CELLS)
def test_any_text_before_a_tokenizer(names: list[str], template: str, prefix: str) -> None:
    """Names of every script, through the table and into prompts."""
    from tiny import byte_level

    frame = pd.DataFrame({"entity": [*names, "Ann", "Bob"], "sport": [*["golf"] * len(names), "golf", "chess"]})
    try:
        table = read_facts(frame, template="{} " + template, prefix=prefix)
        prompts = build_prompts(table, "sport", byte_level(), max_length=200)
    except InputError as error:
        assert error.problems
        return
    for fact, tokens in zip(prompts.facts, prompts.name_tokens, strict=True):
        assert byte_level().decode(list(tokens)).strip() == fact.entity


def test_a_good_table_is_read_by_every_reader(tmp_path: Path) -> None:
    """The positive control: what is fuzzed above is a table when nothing is changed."""
    for suffix, data in WHOLE.items():
        path = tmp_path / f"t.{suffix}"
        path.write_bytes(data)
        table = read_or_refuse(path, leave_out=False)
        assert table is not None and len(table.facts) == GOOD.count("\n") - 1
