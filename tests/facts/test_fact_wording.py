"""Examples before a question, and the question in a chat: letter for letter, and on exact positions."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from fact_tokenizers import byte_level

from rote.errors import FactsError
from rote.facts import Fact, Relation, build_prompts, read_facts
from rote.facts.wording import AN_EXAMPLE, Wording, without_examples

SPORT = Relation(name="sport", template="Fact: {} plays the sport of", prefix="Some facts.\n")
SHOWN = (
    Fact(entity="Tiger Woods", relation="sport", attribute="golf"),
    Fact(entity="Tim Duncan", relation="sport", attribute="basketball"),
)
CHAT = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] | trim }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] \n{% endif %}"
)


def chatting(template: str = CHAT) -> Any:
    tokenizer = byte_level(["Fact: Tiger Woods Tim Duncan Tom Brady plays the sport of golf basketball"] * 3)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<end>"]})
    tokenizer.chat_template = template
    return tokenizer


def worded(relation: Relation, *examples: Fact, **given: Any) -> Relation:
    return Wording(**{"tokenizer": chatting(), **given}).of(relation, examples)


def test_an_example_is_the_template_the_answer_and_a_line_break_behind_the_prefix() -> None:
    asked = worded(SPORT, *SHOWN)
    assert asked.prompt("Tom Brady") == (
        "Some facts.\n"
        "Fact: Tiger Woods plays the sport of golf\n"
        "Fact: Tim Duncan plays the sport of basketball\n"
        "Fact: Tom Brady plays the sport of"
    )
    assert (asked.name, asked.template) == (SPORT.name, SPORT.template)
    assert worded(SPORT) is SPORT


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{}", "Tiger Woods golf\n"),
        ("{}:  ", "Tiger Woods: golf\n"),  # blanks at the end belong to the answer
        ("Which sport does {} play?\n", "Which sport does Tiger Woods play?\ngolf\n\n"),
        ("Name: {}\nSport:", "Name: Tiger Woods\nSport: golf\n\n"),  # an empty line tells examples from lines
        ('Q: {} A: "', 'Q: Tiger Woods A: "golf"\n'),
        ("{} plays (", "Tiger Woods plays (golf)\n"),
        ('"{}" plays', '"Tiger Woods" plays golf\n'),
        ("{}打", "Tiger Woods打golf\n"),
    ],
)
def test_examples_in_templates_of_every_form(template: str, text: str) -> None:
    assert worded(Relation(name="sport", template=template), SHOWN[0]).prefix == text


def test_a_chat_is_the_tokenizers_own_with_examples_as_earlier_turns() -> None:
    asked, tokenizer = worded(SPORT, *SHOWN, chat=True), chatting()
    turns = [
        {"role": "user", "content": "Some facts.\nFact: Tiger Woods plays the sport of"},
        {"role": "assistant", "content": "golf"},
        {"role": "user", "content": "Fact: Tim Duncan plays the sport of"},
        {"role": "assistant", "content": "basketball"},
        {"role": "user", "content": "Fact: Tom Brady plays the sport of"},
    ]
    assert asked.prompt("Tom Brady") == tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert asked.template == "Fact: {} plays the sport of<end>\n[assistant] \n"
    alone = worded(SPORT, chat=True)
    assert alone.prompt("Tom Brady") == (
        "<|endoftext|>[user] Some facts.\nFact: Tom Brady plays the sport of<end>\n[assistant] \n"
    )


def test_positions_in_a_chat_are_exact_and_its_bos_stands_once() -> None:
    tokenizer = chatting()
    frame = pd.DataFrame({"entity": ["Tim Duncan", "Tom Brady"], "sport": ["golf", "basketball"]})
    table = read_facts(frame, template=SPORT.template, prefix="")
    asked = without_examples(table, Wording(tokenizer=tokenizer, chat=True).of(table.relation("sport")), ())
    prompts = build_prompts(asked, "sport", tokenizer)
    for row, entity in enumerate(prompts.entities):
        turns = [{"role": "user", "content": f"Fact: {entity} plays the sport of"}]
        ids = tokenizer(
            tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True), add_special_tokens=False
        )["input_ids"]
        assert prompts.tokens[row][prompts.mask[row]].tolist() == ids
        assert ids.count(tokenizer.bos_token_id) == 1
        name = prompts.tokens[row][prompts.subject_first[row] : prompts.subject_last[row] + 1].tolist()
        assert tokenizer.decode(name).strip() == entity
        assert prompts.end[row] == len(ids) - 1


def test_examples_are_left_out_with_their_reason() -> None:
    frame = pd.DataFrame({"entity": ["Tiger Woods", "Tim Duncan", "Tom Brady"], "sport": ["golf", "chess", "chess"]})
    table = read_facts(frame, template=SPORT.template, prefix="")
    asked = without_examples(table, SPORT, SHOWN[:1])
    assert asked.entities == ("Tim Duncan", "Tom Brady")
    assert [(left.entity, left.reason) for left in asked.left_out] == [("Tiger Woods", AN_EXAMPLE)]


@pytest.mark.parametrize(
    ("given", "relation", "says"),
    [
        ({"tokenizer": chatting("") , "chat": True}, SPORT, "has no chat template; expected one"),
        ({"tokenizer": chatting("{{ raise_exception('no users') }}"), "chat": True}, SPORT, "no users"),
        ({"tokenizer": chatting("{{ messages[0]['content'] | upper }}"), "chat": True}, SPORT, "changes the question"),
        ({"tokenizer": chatting("nothing"), "chat": True}, SPORT, "changes the question"),
        ({}, Relation(name="sport", template="[user] {}<end>\n[assistant] "), "holds '<end>', a mark of the tokenizer"),
        ({"chat": True}, Relation(name="sport", template="[user] {}<end>\n"), "give the question alone, and --chat"),
    ],
)  # fmt: skip
def test_what_cannot_be_worded_is_refused_with_the_cure(given: Any, relation: Relation, says: str) -> None:
    with pytest.raises(FactsError, match=says):
        worded(relation, SHOWN[0], **given)
