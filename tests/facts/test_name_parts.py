"""Names are cut in two parts: before the last word, else before the last token; parts, not tokens, have labels."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fact_tokenizers import GPT2, NEOX, byte_level, gpt2, metaspace, needs, neox, word_level

from rote.errors import FactsError
from rote.facts import RelationPrompts, build_prompts, read_facts
from rote.facts.cells import cell_cut
from rote.facts.parts import BETWEEN, INSIDE, NO_PART, ONE_TOKEN, Stratum, cut_name, part_labels

NAMES = ("Tim Duncan", "Duran Duran", "Juan Martín del Potro", "Paraguay", "Robert Griffin III", "Tom", "法国人")


def prompts_of(tokenizer: object, names: tuple[str, ...] = NAMES, **chosen: object) -> RelationPrompts:
    frame = pd.DataFrame({"entity": names, "sport": ["golf" if i % 2 else "tennis" for i in range(len(names))]})
    table = read_facts(frame, template="Fact: {} plays the sport of", relation="sport")
    return build_prompts(table, "sport", tokenizer, **chosen)  # type: ignore[arg-type]


TOKENIZERS = {
    "byte_level": lambda: byte_level([f"Fact: {n} plays the sport of golf tennis" for n in NAMES] * 3),
    "metaspace": lambda: metaspace(
        ["Fact:", "plays", "the", "sport", "of", "golf", "tennis", "Tim", "Duran", "Paraguay", "Tom"]
    ),
}


@pytest.mark.parametrize("made", TOKENIZERS)
def test_parts_read_what_stands_before_the_last_word_and_the_last_word(made: str) -> None:
    tokenizer = TOKENIZERS[made]()
    prompts = prompts_of(tokenizer)
    assert len(prompts) > 3
    for name, tokens, cut, kind in zip(prompts.entities, prompts.name_tokens, prompts.cut, prompts.kind, strict=True):
        first, last = (tokenizer.decode(list(part)).strip() for part in (tokens[:cut], tokens[cut:]))
        if len(tokens) == 1:
            assert (cut, kind) == (0, ONE_TOKEN)
        elif kind == BETWEEN:
            assert (first, last) == tuple(name.rsplit(" ", 1))
        else:
            assert kind == INSIDE and len(tokens) - cut == 1  # one word, or a last word that begins inside a token


def test_a_word_that_begins_inside_a_token_is_cut_before_the_last_token() -> None:
    assert cut_name("Tim Duncan", [0, 9]) == (1, INSIDE)
    assert cut_name("Tim Duncan", [0, 4, 9]) == (1, BETWEEN)


def test_the_splits_cut_where_they_say_and_a_given_cut_has_to_begin_a_token() -> None:
    name, starts = "Juan del Potro", [0, 5, 9, 11]  # Juan, del, Po, tro
    assert cut_name(name, starts, "last_word") == (2, BETWEEN)
    assert cut_name(name, starts, "first_word") == (1, BETWEEN)
    assert cut_name(name, starts, "last_token") == (3, INSIDE)
    assert cut_name("Juan Potro", [0, 5], "last_token") == (1, BETWEEN)
    assert cut_name(name, starts, at=4) == cut_name(name, starts, at=5) == (1, BETWEEN)
    assert cut_name(name, starts, at=11) == (3, INSIDE)
    assert "inside a token" in str(cut_name(name, starts, at=6))
    for outside in (0, 14, 99, -1):
        assert "outside the name" in str(cut_name(name, starts, at=outside))


def test_a_blank_token_belongs_to_the_part_that_follows() -> None:
    assert cut_name("Tim Duncan", [0, -1, 4, 7]) == (1, BETWEEN)


def test_labels_are_token_ids_for_parts_of_one_token_and_lie_above_the_vocabulary_for_longer_ones() -> None:
    labels = part_labels([(7,), (3, 2), (), (1, 9), (3, 2), (99,)], 100)
    assert labels.tolist() == [7, 101, NO_PART, 100, 101, 99]


def test_two_part_names_keep_their_tokens_as_labels() -> None:
    names = ("Tim Duncan", "Tom Brady", "Duran Duran", "Tom")
    prompts = prompts_of(word_level("Fact : plays the sport of golf tennis Tim Duncan Tom Brady Duran"), names)
    two = prompts.n_name_tokens == 2
    assert prompts.first[two].tolist() == [name[0] for name in prompts.name_tokens if len(name) == 2]
    assert prompts.last.tolist() == [name[-1] for name in prompts.name_tokens]
    assert prompts.has_first.tolist() == two.tolist() == [True, True, True, False]
    assert prompts.strata.keys() == {Stratum(ONE_TOKEN, 0, 1), Stratum(BETWEEN, 1, 1)}


def test_strata_hold_every_fact_once_and_names_of_one_kind_and_length() -> None:
    prompts = prompts_of(TOKENIZERS["metaspace"]())
    members = np.concatenate(list(prompts.strata.values()))
    assert sorted(members.tolist()) == list(range(len(prompts)))
    for (kind, n_first, n_last), some in prompts.strata.items():
        assert (prompts.kind[some] == kind).all() and (prompts.cut[some] == n_first).all()
        assert (prompts.n_name_tokens[some] == n_first + n_last).all()


@pytest.mark.parametrize(
    "make", [pytest.param(neox, marks=needs(NEOX), id="neox"), pytest.param(gpt2, marks=needs(GPT2), id="gpt2")]
)
def test_the_parts_of_real_tokenizers_are_whole_words(make: object) -> None:
    tokenizer = make()  # type: ignore[operator]
    prompts = prompts_of(tokenizer, ("Michael Jordan", "Juan Martín del Potro", "Fei Yu-ching", "Scottie Pippen"))
    parts = [
        tuple(tokenizer.decode(list(part)) for part in (name[:cut], name[cut:]))
        for name, cut in zip(prompts.name_tokens, prompts.cut, strict=True)
    ]
    firsts, lasts = (" Michael", " Juan Martín del", " Fei", " Scottie"), (" Jordan", " Potro", " Yu-ching", " Pippen")
    assert parts == list(zip(firsts, lasts, strict=True))


CUT_ROWS = (("Juan del Potro", "tennis", 4), ("Duran Duran", "golf", None), ("Tom", "tennis", None))


def written(layout: str, folder: Path) -> object:
    """One table with one cut, in each layout that takes a column of them."""
    frame = pd.DataFrame(CUT_ROWS, columns=["entity", "attribute", "cut"]).assign(relation="sport")
    wide = frame[["entity", "cut"]].assign(sport=frame["attribute"])
    records = [{k: v for k, v in row.items() if v == v} for row in frame.to_dict("records")]
    path = folder / f"facts.{layout.split()[-1]}"
    match layout:
        case "frame":
            return frame
        case "wide frame":
            return wide
        case "csv":  # whole numbers beside a gap are written as 4.0
            frame.to_csv(path, index=False)
        case "wide csv":
            wide.astype({"cut": "Int64"}).to_csv(path, index=False)
        case "parquet":
            frame.to_parquet(path)
        case "json":
            path.write_text(json.dumps(records))
        case "jsonl":
            path.write_text("".join(json.dumps(record) + "\n" for record in records))
        case "rote's json":
            entities = {entity: {"sport": attribute} for entity, attribute, _ in CUT_ROWS}
            path.write_text(json.dumps({"entities": entities, "cuts": {"Juan del Potro": 4}}))
    return path


@pytest.mark.parametrize(
    "layout", ("frame", "wide frame", "csv", "wide csv", "parquet", "json", "jsonl", "rote's json")
)
def test_a_column_says_where_a_name_is_cut(layout: str, tmp_path: Path) -> None:
    table = read_facts(written(layout, tmp_path), relation="sport")  # type: ignore[arg-type]
    assert [(fact.entity, fact.attribute, fact.cut) for fact in table.facts] == list(CUT_ROWS)
    prompts = build_prompts(table, "sport", byte_level([name for name, *_ in CUT_ROWS] * 3))
    firsts = [list(name[:cut]) for name, cut in zip(prompts.name_tokens, prompts.cut, strict=True)]
    decoded = [byte_level([name for name, *_ in CUT_ROWS] * 3).decode(first).strip() for first in firsts]
    assert decoded[:2] == ["Juan", "Duran"]  # by the column, and by the last word


def test_a_cut_is_part_of_the_hash_where_there_is_one() -> None:
    """Tables without one keep theirs: the expected one was taken before there were cuts."""
    without = read_facts(pd.DataFrame(CUT_ROWS, columns=["entity", "sport", "cut"])[["entity", "sport"]])
    given = read_facts(pd.DataFrame(CUT_ROWS, columns=["entity", "sport", "cut"]), relation="sport")
    content = {
        "relations": [["sport", "Fact: The sport of {} is", ""]],
        "facts": [[entity, "sport", attribute] for entity, attribute, _ in CUT_ROWS],
    }
    text = json.dumps(content, separators=(",", ":"))
    assert without.hash == hashlib.sha256(text.encode()).hexdigest() != given.hash


def test_a_cut_given_once_holds_for_all_relations_and_two_that_differ_for_none() -> None:
    columns = ["entity", "relation", "attribute", "cut"]
    rows = [("Juan del Potro", "sport", "tennis", 4), ("Juan del Potro", "city", "Tandil", None)]
    more = [
        (name, relation, relation[::-1], None) for name in ("Tom Thumb", "Ann Lee") for relation in ("sport", "city")
    ]
    table = read_facts(pd.DataFrame(rows + more, columns=columns))
    assert {fact.cut for fact in table.facts if fact.entity == "Juan del Potro"} == {4}
    differ = pd.DataFrame([rows[0], (*rows[1][:3], 8), *more], columns=columns)
    with pytest.raises(FactsError, match="conflicting cuts: 4, 8"):
        read_facts(differ, leave_out=False)
    assert {left.relation for left in read_facts(differ, leave_out=True).left_out} == {"sport", "city"}


@pytest.mark.parametrize("value", [4, 4.0, np.int64(4), "4", " 4 ", "4.0", "+4"])
def test_whole_numbers_are_cuts_however_they_are_written(value: object) -> None:
    assert cell_cut(value, "Juan del Potro") == (4, "")


@pytest.mark.parametrize("value", ["four", 4.5, True, "4,0", "1e1", "9" * 5000, [4]])
def test_other_cells_are_none(value: object) -> None:
    at, problem = cell_cut(value, "Juan del Potro")
    assert at is None and (
        "expected a whole number" in problem or "expected text" in problem or "characters" in problem
    )


@pytest.mark.parametrize("value", [None, float("nan"), "", " ", pd.NA])
def test_an_empty_cell_leaves_it_to_the_setting(value: object) -> None:
    assert cell_cut(value, "Juan del Potro") == (None, "")
