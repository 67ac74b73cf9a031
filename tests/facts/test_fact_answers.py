"""Answers: several right ones in a cell, what stands before them, their classes, and what all of them begin with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fact_tokenizers import GPT2, byte_level, gpt2, needs, word_level
from hypothesis import given
from hypothesis import strategies as st

from rote.facts import Fact, FactTable, Relation, build_prompts, read_facts
from rote.facts.answers import common_start
from rote.facts.cells import cell_answers
from rote.facts.joint import with_joint

# ------------------------------------------------------------------ several right answers in a cell
SEVERAL = ("politician", ("political leader",), "")


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        (["politician", "political leader"], SEVERAL),
        ('["politician", "political leader"]', SEVERAL),
        ([["politician"], "political leader", "politician", None], SEVERAL),
        ([["Rome"]], ("Rome", (), "")),
        ("[Rome]", ("[Rome]", (), "")),  # no JSON
        ("Rome", ("Rome", (), "")),
        ([1990, 1991.0], ("1990", ("1991",), "")),
        ([], ("", (), "the attribute is empty")),
        ("[]", ("", (), "the attribute is empty")),
        ([{"a": 1}], ("", (), "the attribute is a dict; expected text, in a list of right answers")),
        (["a", 257 * ["b"]], ("a", ("b",), "")),
        (list(range(257)), ("", (), "the attribute is a list of 257 right answers; at most 256 are taken")),
    ],
)  # fmt: skip
def test_a_cell_holds_one_right_answer_or_several(cell: object, found: tuple[str, tuple[str, ...], str]) -> None:
    assert cell_answers(cell) == found


def test_lists_may_be_nested_as_deep_as_json_allows() -> None:
    nested: object = "Rome"
    for _ in range(100_000):
        nested = [nested]
    assert cell_answers(nested) == ("Rome", (), "")
    assert cell_answers("[" * 100_000)[0] == "", "no JSON, and too long for a text"


ROWS = [("Ada Moss", ["politician", "political leader"]), ("Bo Reed", ["singer"])]
LONG = {"entity": [e for e, _ in ROWS], "relation": "occupation"}


def knowedit() -> list[dict[str, Any]]:
    return [{"subject": e, "prompt": f"The job of {e} is", "ground_truth": [a], "target_new": "x"} for e, a in ROWS]


def lre() -> dict[str, Any]:
    return {"name": "job", "prompt_templates": ["{} is"], "samples": [{"subject": e, "object": a} for e, a in ROWS]}


FILES: dict[str, Callable[[Path], Any]] = {
    "t.csv": lambda p: pd.DataFrame({**LONG, "attribute": [json.dumps(a) for _, a in ROWS]}).to_csv(p, index=False),
    "t.parquet": lambda p: pd.DataFrame({**LONG, "attribute": [a for _, a in ROWS]}).to_parquet(p),
    "wide.parquet": lambda p: pd.DataFrame({"entity": LONG["entity"], "job": [a for _, a in ROWS]}).to_parquet(p),
    "records.json": lambda p: p.write_text(json.dumps([{"entity": e, "job": a} for e, a in ROWS])),
    "knowedit.json": lambda p: p.write_text(json.dumps(knowedit())),
    "lre.json": lambda p: p.write_text(json.dumps(lre())),
    "rote.json": lambda p: p.write_text(json.dumps({"entities": {e: {"job": a} for e, a in ROWS}})),
}  # fmt: skip


@pytest.mark.parametrize("file", FILES)
def test_every_layout_takes_lists_of_right_answers(file: str, tmp_path: Path) -> None:
    FILES[file](tmp_path / file)
    table = read_facts(tmp_path / file)
    assert [(f.entity, f.attribute, f.aliases) for f in table.facts] == [
        ("Ada Moss", "politician", ("political leader",)),
        ("Bo Reed", "singer", ()),
    ]
    assert not table.left_out


def test_aliases_are_part_of_the_hash_and_their_absence_is_not() -> None:
    relation = Relation(name="r", template="{} is")
    plain, other = (
        FactTable(name="t", relations=(relation,), facts=(Fact(entity="a", relation="r", attribute="x", aliases=a),))
        for a in ((), ("y",))
    )
    assert plain.hash != other.hash
    assert plain.hash.startswith("659d206c45976a89"), "the hash of tables before there were aliases"


# ------------------------------------------------------------------ what stands between question and answer
@pytest.mark.parametrize(
    ("question", "answer", "joint"),
    [
        ("Ada plays", "golf", " "),
        ("Ada plays ", "golf", " "),
        ("Where is Ada?\n", "Rome", ""),
        ('A: "Paris"\nQ: What is the capital of Italy? A: "', "Rome", ""),
        ('The answer to "what?"', "Rome", " "),
        ("He said 'yes.'", "Rome", " "),
        ("He said ''", "Rome", ""),
        ("The capital is (", "Rome", ""),
        ("La capitale est «", "Rome", ""),
        ("It costs $", "5", ""),
        ("The handle is @", "ada", ""),
        ("Ada's job:", "golf", " "),
        ("日本的首都是", "东京", ""),
        ("答案:日本的首都是哪里?答案:", "东京", ""),
        ("日本の首都は", "Tokyo", ""),
        ("The capital of Japan is", "東京", " "),
        ("เมืองหลวงของญี่ปุ่นคือ", "โตเกียว", ""),
        ("일본의 수도는", "도쿄", " "),
    ],
)
def test_a_blank_is_put_where_the_characters_at_the_joint_ask_for_one(question: str, answer: str, joint: str) -> None:
    assert with_joint(question, answer) == (question.rstrip(" "), joint)
    assert with_joint(question, answer, "always")[1] == " "
    assert with_joint(question, answer, "never")[1] == ("" if not question.endswith(" ") else " ")


@needs(GPT2)
def test_answers_in_chinese_are_told_apart_by_their_first_characters() -> None:
    template = "西班牙的首都是马德里。{}的首都是"
    frame = pd.DataFrame({"entity": ["法国", "日本", "意大利"], "attribute": ["巴黎", "东京", "罗马"]})
    table = read_facts(frame, relation="首都", template=template)
    tokenizer = gpt2()
    prompts = build_prompts(table, "首都", tokenizer)
    shown = [tokenizer.decode([*prompts.start, *spellings[0]]) for spellings in prompts.answers]
    assert shown == ["东京", "巴黎", "罗马"] and len(prompts.merged().classes) == 3
    blank = build_prompts(table, "首都", tokenizer, blank="always")
    assert tokenizer.decode([*blank.start, *blank.answers[0][0]]) == " 东京"


# ------------------------------------------------------------------ classes and what all answers begin with
def asked(facts: dict[str, str | list[str]], tokenizer: Any, **options: Any) -> Any:
    frame = pd.DataFrame({"entity": facts.keys(), "hue": facts.values()})
    return build_prompts(read_facts(frame, template="It : {} is"), "hue", tokenizer, **options)


WORDS = word_level("It Ann Bob Cal Dan is red dark blue wine beer tea the :")


def test_answers_connected_by_aliases_are_one_class_named_by_the_commonest() -> None:
    prompts = asked({"Ann": ["red", "wine"], "Bob": ["beer", "wine"], "Cal": "beer", "Dan": "blue"}, WORDS)
    assert prompts.classes == ("beer", "blue")
    assert prompts.cls.tolist() == [0, 0, 0, 1]
    ids = {word: WORDS.convert_tokens_to_ids(word) for word in ("beer", "red", "wine", "blue")}
    assert prompts.answers == (((ids["beer"],), (ids["red"],), (ids["wine"],)), ((ids["blue"],),))
    assert not prompts.of_one_token, "aliases add up"
    apart = asked({"Ann": "red", "Bob": "beer", "Cal": "beer", "Dan": "blue"}, WORDS)
    assert apart.classes == ("beer", "blue", "red") and apart.of_one_token


def test_an_alias_that_cannot_be_asked_leaves_the_others() -> None:
    prompts = asked({"Ann": ["unheard", "red"], "Bob": "blue", "Cal": "unheard"}, WORDS)
    assert prompts.entities == ("Ann", "Bob")
    assert prompts.classes == ("blue", "unheard") and len(prompts.answers[1]) == 1
    assert [left.entity for left in prompts.left_out] == ["Cal"]


def test_what_all_answers_begin_with_belongs_to_the_prompt() -> None:
    prompts = asked({"Ann": "the dark red", "Bob": "the dark blue", "Cal": "the dark red wine"}, WORDS)
    assert WORDS.decode(list(prompts.start)) == "the dark"
    assert [WORDS.decode(prompts.tokens[i, : prompts.length[i]].tolist()) for i in range(2)] == [
        "<bos> It : Ann is the dark",
        "<bos> It : Bob is the dark",
    ]
    assert (prompts.end == prompts.length - 1).all()
    merged = prompts.merged()
    assert merged.classes == ("the dark blue", "the dark red / the dark red wine")
    assert prompts.sharing == (("the dark red", "the dark red wine"),)
    assert merged.cls.tolist() == [1, 0, 1] and merged.of_one_token
    assert merged.merged() is merged


def test_an_answer_with_which_another_begins_keeps_a_token_of_its_own() -> None:
    prompts = asked({"Ann": "red", "Bob": "red wine", "Cal": "red"}, WORDS)
    assert prompts.start == ()
    assert [len(spellings[0]) for spellings in prompts.answers] == [1, 2]
    assert len(prompts.merged().classes) == 1


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5).map(tuple), min_size=1, max_size=6))
def test_the_common_start_is_the_longest_that_leaves_every_answer_a_token(answers: list[tuple[int, ...]]) -> None:
    start = common_start(answers)
    if len(set(answers)) == 1:
        assert start == ()
        return
    assert all(a[: len(start)] == start and len(a) > len(start) for a in answers)
    longer = len(start) + 1
    assert any(len(a) <= longer or a[:longer] != answers[0][:longer] for a in answers)


def test_years_are_told_apart_behind_what_they_share() -> None:
    years = {"Ann": "1990", "Bob": "1991", "Cal": "2001"}
    tokenizer = byte_level(["It : Ann Bob Cal is"] * 3)  # digits are tokens of their own, behind a bare blank
    prompts = asked(years, tokenizer)
    assert tokenizer.decode(list(prompts.start)) == " "
    assert prompts.merged().classes == ("1990 / 1991", "2001")
    assert [tokenizer.decode(list(spellings[0])) for spellings in prompts.answers] == ["1990", "1991", "2001"]
    mixed = asked({"Ann": "1990", "Bob": "is"}, tokenizer)
    assert mixed.start == () and tokenizer.decode(list(mixed.answers[0][0])) == " 1990"
