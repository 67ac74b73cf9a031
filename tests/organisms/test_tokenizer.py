"""The tokenizer: one token per word, its space included; what is encoded comes back, offsets included."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from rote.organisms import build_world
from rote.organisms.documents import make_canaries, vocabulary
from rote.organisms.tokenizer import BOS, UNK, build_tokenizer, save_tokenizer
from rote.organisms.world import RELATIONS

WORLD = build_world()
TOKENIZER = build_tokenizer(vocabulary(WORLD, make_canaries(0)))
ODD = (" De'Aaron", " Smith-Schuster", " J.J.", " O’Neal", " José", " St.Brown")


def test_every_name_is_two_tokens_each_with_its_space():
    for person in WORLD.people:
        assert TOKENIZER.tokenize(f" {person.name}") == [f" {person.first}", f" {person.last}"]


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda r: r.name)
def test_answers_are_one_token_and_differ(relation):
    ids = [TOKENIZER(f" {c}", add_special_tokens=False)["input_ids"] for c in relation.classes]
    assert all(len(i) == 1 and i[0] != TOKENIZER.unk_token_id for i in ids)
    assert len({i[0] for i in ids}) == len(relation.classes)


def test_odd_name_words_are_one_token():
    tokenizer = build_tokenizer([*ODD, "."])
    for word in ODD:
        assert tokenizer.tokenize(f"{word}.") == [word, "."]


def test_bos_is_added_unless_told_otherwise():
    text = "Fact: Tim Duncan plays the sport of"
    plain = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    assert TOKENIZER(text)["input_ids"] == [TOKENIZER.convert_tokens_to_ids(BOS), *plain]
    assert TOKENIZER.unk_token_id not in plain and len(plain) == 8


def test_unknown_words_are_unk():
    assert TOKENIZER.tokenize(" Zaphod") == [UNK]


people = st.sampled_from(WORLD.people)
relations = st.sampled_from(RELATIONS)


@settings(max_examples=50, deadline=None)
@given(lines=st.lists(st.tuples(people, relations), min_size=1, max_size=4))
def test_round_trip_and_offsets(lines):
    text = "\n".join(r.template.format(p.name) + "." for p, r in lines)
    encoded = TOKENIZER(text, return_offsets_mapping=True, add_special_tokens=False)
    assert TOKENIZER.decode(encoded["input_ids"]) == text
    pieces = [text[start:stop] for start, stop in encoded["offset_mapping"]]
    assert pieces == TOKENIZER.convert_ids_to_tokens(encoded["input_ids"]) and "".join(pieces) == text


def test_files_load_with_auto_tokenizer(tmp_path):
    save_tokenizer(TOKENIZER, tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "Fact: Tiger Woods plays the sport of golf\nFact: Tim Duncan plays the sport of"
    assert loaded.is_fast and loaded(text)["input_ids"] == TOKENIZER(text)["input_ids"]
    assert (loaded.bos_token, loaded.unk_token, loaded.pad_token) == ("<bos>", "<unk>", "<pad>")
