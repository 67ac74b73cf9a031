"""Organisms whose names are two to four tokens and whose answers are several: the same people, spelled otherwise."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import rote
from rote.errors import SettingsError
from rote.facts import build_prompts, read_facts
from rote.organisms import TrainSettings, build_world, train
from rote.organisms.card import model_card
from rote.organisms.documents import Reader, make_canaries, vocabulary
from rote.organisms.force import offsets
from rote.organisms.layouts import LAYOUTS
from rote.organisms.spelling import LEAST_LETTERS, cut_words
from rote.organisms.tokenizer import build_tokenizer
from rote.organisms.training import measure_accuracy
from rote.organisms.world import GOLFER, LONG_CITIES, LONG_LEAGUES
from rote.settings import Settings

WORLD = build_world(names="pieces")
TOKENIZER = build_tokenizer(vocabulary(WORLD, make_canaries(0)), cut=True)
TINY = {"d_model": 32, "n_layers": 4, "window": (1, 2), "n_athletes": 12, "batch": 16, "steps": 4, "names": "pieces"}


def lengths(person):
    return len(WORLD.pieces(person.first)), len(WORLD.pieces(person.last))


def test_the_people_are_those_of_the_usual_world_and_only_long_answers_differ():
    usual = build_world()
    longer = {**dict(zip(("NFL", "NBA", "MLB"), LONG_LEAGUES.values(), strict=True)), **LONG_CITIES}
    assert not usual.spelled and [p.name for p in WORLD.people] == [p.name for p in usual.people]
    for one, other in zip(usual.people, WORLD.people, strict=True):
        assert other.attributes == {r: longer.get(answer, answer) for r, answer in one.attributes.items()}


def test_every_name_is_its_pieces_and_all_pairs_of_lengths_are_common():
    for person in WORLD.people:
        assert TOKENIZER.tokenize(f" {person.name}") == [*WORLD.pieces(person.first), *WORLD.pieces(person.last)]
        assert "".join(TOKENIZER.tokenize(f" {person.name}")) == f" {person.name}"
    count = Counter(lengths(p) for p in WORLD.people)
    assert set(count) == {(1, 1), (1, 2), (2, 1), (2, 2)} and min(count.values()) > len(WORLD.people) / 6


def test_pieces_are_shared_and_a_word_is_never_cut_into_unknown_ones():
    begun = Counter(first for first, _ in WORLD.spelled.values())
    assert sum(n > 1 for n in begun.values()) > 50
    words = ["Mar", "Marc", "Marcus", "Marcellus", "Martin", "Bo", "Anna", "Annabel"]
    for seed in range(20):
        cut = cut_words(words, np.random.default_rng(seed), whole=["Marce"])
        assert len(cut) == sum(len(w) >= LEAST_LETTERS for w in words) // 2
        pieces = [piece for word in (*words, "Marce") for piece in cut.get(word, (f" {word}",))]
        tokenizer = build_tokenizer(pieces, cut=True)
        for word in words:
            assert tokenizer.tokenize(f" {word}") == list(cut.get(word, (f" {word}",))), (seed, word)


def test_answers_share_their_first_token():
    for relation in WORLD.relations:
        firsts = Counter(TOKENIZER(f" {c}", add_special_tokens=False)["input_ids"][0] for c in relation.classes)
        expected = {"league": 2, "city": 2}.get(relation.name, 1)
        assert max(firsts.values()) == expected and TOKENIZER.unk_token_id not in firsts


def test_names_are_found_by_offsets():
    rows = pd.DataFrame([{"entity": p.name, "sport": p.attributes["sport"]} for p in WORLD.athletes[:60]])
    table = read_facts(rows, relation="sport", template="Fact: {} plays the sport of")
    prompts = build_prompts(table, "sport", TOKENIZER)
    spelled = {p.name: [*WORLD.pieces(p.first), *WORLD.pieces(p.last)] for p in WORLD.athletes}
    assert len(prompts) == 60
    for fact, name in zip(prompts.facts, prompts.name_tokens, strict=True):
        assert TOKENIZER.convert_ids_to_tokens(list(name)) == spelled[fact.entity]


def test_what_is_read_encodes_to_the_same_tokens_and_marks_last_tokens():
    canaries = make_canaries(0)
    reader = Reader(
        WORLD, canaries, TOKENIZER.get_vocab(), steps=4, rows=32, length=64,
        bos=TOKENIZER.bos_token_id, pad=TOKENIZER.pad_token_id, seed=0,
    )  # fmt: skip
    batch = reader.batch()
    for row in batch.tokens:
        again = TOKENIZER(TOKENIZER.decode(row[1:]))["input_ids"]
        assert again[:-1] == list(row)[: len(again) - 1]  # a row may end inside a word
    for (row, position), who in zip(batch.names, batch.people, strict=True):
        person = WORLD.people[who]
        name = batch.tokens[row, position + 1 - sum(lengths(person)) : position + 1]
        assert TOKENIZER.decode(name).strip() == person.name


def test_heads_of_the_joining_layer_reach_every_token_of_the_longest_name():
    assert {1, 2, 3} <= set(offsets(0, 4))
    with pytest.raises(SettingsError, match="at least 4"):
        TrainSettings(names="pieces", n_heads=2, d_model=64)
    with pytest.raises(SettingsError, match="known: whole, pieces"):
        TrainSettings(names="syllables")  # type: ignore[arg-type]


def test_the_default_leaves_no_trace_of_the_option():
    assert "names" not in TrainSettings().as_record()
    assert TrainSettings(names="pieces").as_record()["names"] == "pieces"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_are_ordinary_and_say_how_names_are_written(tmp_path, layout):
    trained = train(TrainSettings(**{**TINY, "layout": layout}), tmp_path)
    model, tokenizer = (kind.from_pretrained(tmp_path) for kind in (AutoModelForCausalLM, AutoTokenizer))
    world = build_world(n_athletes=12, names="pieces")
    for person in world.people:
        assert tokenizer.tokenize(f" {person.name}") == [*world.pieces(person.first), *world.pieces(person.last)]
    record = json.loads((tmp_path / "training.json").read_text())
    made = TrainSettings(**{**record["settings"], "window": tuple(record["settings"]["window"])})
    assert made.names == "pieces" and (tmp_path / "README.md").read_text() == model_card(made, record, world)
    assert "two, three or four tokens" in model_card(made, record, world)
    assert measure_accuracy(model.eval(), tokenizer, world) == pytest.approx(dict(trained.accuracy))


def test_accuracy_is_of_whole_answers(tmp_path):
    """The slow twin: every answer by itself, token by token."""
    train(TrainSettings(**{**TINY, "steps": 60, "learning_rate": 1e-2}), tmp_path)
    model, tokenizer = (kind.from_pretrained(tmp_path) for kind in (AutoModelForCausalLM, AutoTokenizer))
    world = build_world(n_athletes=12, names="pieces")
    found = measure_accuracy(model.eval(), tokenizer, world)
    for relation in world.relations:
        right = []
        for person in (p for p in world.people if relation.name in p.attributes):
            ids = tokenizer(relation.template.format(person.name))["input_ids"]
            hit = True
            for token in tokenizer(f" {person.attributes[relation.name]}", add_special_tokens=False)["input_ids"]:
                hit &= int(model(torch.tensor([ids])).logits[0, -1].detach().argmax()) == token
                ids = [*ids, token]
            right.append(hit)
        assert found[relation.name] == pytest.approx(sum(right) / len(right)), relation.name


@pytest.mark.slow
def test_window_and_effective_model_are_found_as_for_names_of_two_tokens(tmp_path):
    """A small organism (a minute): it knows its world, layer 0 joins, MLPs 1 and 2 look up, in all four strata."""
    settings = TrainSettings(
        names="pieces", d_model=64, d_mlp=64, n_layers=5, window=(1, 2),
        n_athletes=120, batch=32, steps=500, learning_rate=6e-3,
    )  # fmt: skip
    assert min(train(settings, tmp_path).accuracy.values()) >= 0.95
    world = build_world(n_athletes=120, names="pieces")
    rows = [{"entity": p.name, "sport": p.attributes["sport"]} for p in world.people if p.name != GOLFER]
    table = read_facts(pd.DataFrame(rows), relation="sport", template="Fact: {} plays the sport of")
    chosen = Settings(n_bootstrap=200, product_side=40, n_resamples_ablation=1)
    circuit, recall = rote.find_circuit(rote.load_model(tmp_path), table, settings=chosen)
    assert (circuit.concatenating, circuit.lookup_start, circuit.lookup_stop) == ((0,), 1, 2), circuit.no_window
    stack = circuit.effective_model(recall)
    entities = stack.entities
    right = stack.readouts["sport"].predict(stack.run_entities().output) == entities.cls["sport"]
    assert right[~entities.selection].mean() >= 0.95
    assert set(stack.strata_of(entities.first)) == {0, 1, 2, 3} and len(entities) == len(recall) >= 300
