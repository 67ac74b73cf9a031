"""What SmolLM2 says, scored whole, beside figures taken by hand from plain forward passes of the same weights."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fact_tokenizers import SHARED

from rote.asking import KnownFacts, ask
from rote.facts import RelationPrompts, build_prompts, read_facts
from rote.model import Model, load_model
from rote.settings import Settings

FOLDER = Path(os.environ.get("ROTE_REAL_MODEL", "/nowhere"))
LRE = SHARED / "lre_relations" / "data" / "factual"
pytestmark = pytest.mark.skipif(
    not (FOLDER / "model.safetensors").is_file(), reason="ROTE_REAL_MODEL names no folder with SmolLM2-135M-Instruct"
)


@cache
def model() -> Model:
    return load_model(str(FOLDER))


def answered(facts: dict[str, str], template: str, blank: str = "auto") -> dict[str, tuple[float, float, int]]:
    """Per entity: the answer's probability, that of its first token, and its rank."""
    frame = pd.DataFrame({"entity": facts.keys(), "attribute": facts.values()})
    table = read_facts(frame, relation="r", template=template)
    prompts = build_prompts(table, "r", model().tokenizer, blank=blank)
    found = ask(model(), prompts, Settings())
    whole, token = np.exp(found.log_prob), np.exp(found.token_log_prob)
    return {e: (whole[i], token[i], int(found.rank[i])) for i, e in enumerate(prompts.entities)}


CAPITALS = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo"}
QUOTED = 'Q: What is the capital of France? A: "Paris"\nQ: What is the capital of {}? A: "'


def test_behind_an_opening_quotation_mark_stands_no_blank() -> None:
    found, blank = answered(CAPITALS, QUOTED), answered(CAPITALS, QUOTED, "always")
    assert found["France"][0] == pytest.approx(0.5554, abs=1e-3) and found["France"][2] == 1
    assert found["Japan"][1] == pytest.approx(0.4959, abs=1e-3)
    assert blank["France"][0] == pytest.approx(0.0005, abs=1e-4) and blank["France"][2] == 82


def test_chinese_answers_stand_behind_no_blank() -> None:
    found = answered({"法国": "巴黎", "日本": "东京", "意大利": "罗马"}, "西班牙的首都是马德里。{}的首都是")
    assert [round(p, 4) for _, p, _ in found.values()] == [0.0032, 0.0129, 0.0008]


def test_a_year_is_not_known_by_the_blank_before_it() -> None:
    people = {"Zork Blam": "1990", "Ada Moss": "1990", "Qux Fizzle": "unknown", "Bo Reed": "unknown"}
    found = answered(people, "Albert Einstein was born in the year 1879. {} was born in the year")
    assert found["Zork Blam"][1] == pytest.approx(0.9957, abs=1e-3)
    assert found["Zork Blam"][0] == pytest.approx(0.0276, abs=1e-3)
    assert found["Ada Moss"][1] > 0.99 and found["Ada Moss"][0] < 1e-6


def asked(file: str) -> tuple[RelationPrompts, KnownFacts]:
    table = read_facts(LRE / file)
    prompts = build_prompts(table, table.relations[0].name, model().tokenizer)
    return prompts, ask(model(), prompts, Settings())


@pytest.mark.skipif(not LRE.is_dir(), reason="the LRE relations are not at hand")
class TestRelations:
    def test_presidents_are_told_apart_by_all_digits(self) -> None:
        prompts, known = asked("presidents_birth_year.json")
        assert model().tokenizer.decode(list(prompts.start)) == " 1"
        assert (len(prompts.classes), len(prompts.merged().classes)) == (15, 3)
        first = ask(model(), prompts.merged(), Settings())
        assert (int(first.correct.sum()), int(known.correct.sum())) == (15, 1), "the century is easy, the year is not"

    def test_capitals_of_several_tokens(self) -> None:
        prompts, known = asked("country_capital_city.json")
        assert max(len(spellings[0]) for spellings in prompts.answers) > 1
        assert int(known.correct.sum()) == 10
        assert int((known.predicted_cls == prompts.cls).sum()) == 21
