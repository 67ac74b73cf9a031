"""Prompts on tokenizers of every kind: spans are exact, the answer is the prompt's continuation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fact_tokenizers import (
    GPT2,
    NEOX,
    SHARED,
    STORIES,
    byte_level,
    gpt2,
    merging,
    metaspace,
    needs,
    neox,
    stories,
    word_level,
)

from rote.errors import FactsError
from rote.facts import POSITIONS, FactTable, Relation, build_prompts, read_facts

PREFIX = "Fact: Tiger Woods plays the sport of golf\n"
TEMPLATE = "Fact: {} plays the sport of"
SPORTS = {
    "Tim Duncan": "basketball",
    "Tom Brady": "football",
    "Derek Jeter": "baseball",
    "Shaquille O'Neal": "basketball",
    "Robert Griffin III": "football",
    "Zoë Müller-Łuczak": "baseball",
    "Tiger Woods": "football",
    "Nenê": "basketball",
}
WORDS = (
    "Fact : plays the sport of golf Tim Duncan Tom Brady Derek Jeter Shaquille O ' Neal Robert Griffin "
    "III Tiger Woods Nenê Zoë Müller - Łuczak football basketball baseball"
)


def table(
    facts: dict[str, str] = SPORTS, template: str = TEMPLATE, prefix: str = PREFIX, relation: str = "sport"
) -> FactTable:
    frame = pd.DataFrame({"entity": facts.keys(), relation: facts.values()})
    return read_facts(frame, template=template, prefix=prefix)


MADE: dict[str, Callable[[], Any]] = {
    "word_level": lambda: word_level(WORDS),
    "word_level without bos": lambda: word_level(WORDS, bos=False),
    "byte_level": lambda: byte_level([PREFIX + TEMPLATE, *SPORTS, *SPORTS.values()] * 3),
    "metaspace": lambda: metaspace([*WORDS.split(), "ZoëMüllerŁuczakNenê"]),
}
REAL = {"neox": (neox, NEOX), "gpt2": (gpt2, GPT2), "stories": (stories, STORIES)}
TOKENIZERS = [pytest.param(make, id=name) for name, make in MADE.items()] + [
    pytest.param(make, id=name, marks=needs(path)) for name, (make, path) in REAL.items()
]


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.param()


def prompts_of(tokenizer: Any, facts: FactTable | None = None, **options: Any) -> Any:
    return build_prompts(facts or table(), "sport", tokenizer, **options)


class TestEveryTokenizer:
    def test_all_facts_are_asked_and_bos_stands_first_exactly_once(self, tokenizer: Any) -> None:
        prompts = prompts_of(tokenizer)
        assert prompts.left_out == ()
        assert prompts.entities == tuple(SPORTS)
        assert prompts.bos == tokenizer.bos_token_id
        if prompts.bos is not None:
            assert (prompts.tokens[:, 0] == prompts.bos).all()
            assert ((prompts.tokens == prompts.bos) & prompts.mask).sum() == len(prompts)

    def test_tokens_are_those_of_the_whole_text(self, tokenizer: Any) -> None:
        prompts = prompts_of(tokenizer)
        front = [] if prompts.bos is None else [prompts.bos]
        for i, entity in enumerate(prompts.entities):
            ids = tokenizer(PREFIX + TEMPLATE.replace("{}", entity), add_special_tokens=False)["input_ids"]
            assert prompts.tokens[i, : prompts.length[i]].tolist() == [*front, *ids, *prompts.start]
            assert prompts.mask[i].sum() == prompts.length[i] == prompts.end[i] + 1

    def test_the_name_span_is_exactly_the_name(self, tokenizer: Any) -> None:
        prompts = prompts_of(tokenizer)
        for i, entity in enumerate(prompts.entities):
            first, last = prompts.subject_first[i], prompts.subject_last[i]
            ids = prompts.tokens[i, first : last + 1].tolist()
            assert "".join(tokenizer.decode(ids).split()) == "".join(entity.split())
            before = tokenizer.decode(prompts.tokens[i, prompts.prefix_stop[i] : first].tolist())
            after = tokenizer.decode(prompts.tokens[i, last + 1 : prompts.length[i]].tolist())
            assert before.split() in (["Fact:"], ["Fact", ":"])
            assert after.split() == ["plays", "the", "sport", "of"]
            assert prompts.name_tokens[i] == tuple(ids)
            assert prompts.n_name_tokens[i] == len(ids) == last - first + 1
            if len(ids) == 2:
                assert (prompts.first[i], prompts.last[i]) == (ids[0], ids[-1])

    def test_the_prefix_ends_where_the_template_begins(self, tokenizer: Any) -> None:
        prompts = prompts_of(tokenizer)
        start = int(prompts.bos is not None)
        for i in range(len(prompts)):
            prefix = tokenizer.decode(prompts.tokens[i, start : prompts.prefix_stop[i]].tolist())
            assert "".join(prefix.split()) == "".join(PREFIX.split())
        assert (prompts_of(tokenizer, table(prefix="")).prefix_stop == start).all()

    def test_positions_are_a_partition_of_the_prompt(self, tokenizer: Any) -> None:
        for template in (TEMPLATE, "{} plays the sport of", "the sport : {}"):
            prompts = prompts_of(tokenizer, table(template=template))
            spans = prompts.spans()
            assert tuple(spans) == POSITIONS
            assert (sum(span.astype(int) for span in spans.values()) == prompts.mask).all()
            assert (spans["subject_last"].sum(axis=1) == 1).all()
            assert (spans["name_early"].sum(axis=1) == prompts.n_name_tokens - 1).all()
            assert (spans["bos"].sum(axis=1) == int(prompts.bos is not None)).all()
            assert (spans["end"].any(axis=1) == (prompts.end != prompts.subject_last)).all()

    def test_the_answer_is_what_the_tokenizer_puts_after_the_prompt(self, tokenizer: Any) -> None:
        prompts = prompts_of(tokenizer)
        assert prompts.classes == ("baseball", "basketball", "football")
        for i, fact in enumerate(prompts.facts):
            text = PREFIX + TEMPLATE.replace("{}", fact.entity) + " " + fact.attribute
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            answer = ids[prompts.length[i] - int(prompts.bos is not None) :]
            assert prompts.answers[prompts.cls[i]] == (tuple(answer),)
            assert prompts.class_tokens[prompts.cls[i]] == answer[0]
            assert prompts.classes[prompts.cls[i]] == fact.attribute

    def test_name_only_prompts_hold_the_prompts_own_tokens(self, tokenizer: Any) -> None:
        prompts = prompts_of(tokenizer)
        tokens, mask, last = prompts.name_only()
        start = int(prompts.bos is not None)
        for i, name in enumerate(prompts.name_tokens):
            assert tokens[i][mask[i]].tolist()[start:] == list(name)
            assert last[i] == start + len(name) - 1
            assert (tokens[i][~mask[i]] == prompts.pad).all()

    def test_blanks_at_the_templates_end_belong_to_the_answer(self, tokenizer: Any) -> None:
        plain, blank = prompts_of(tokenizer), prompts_of(tokenizer, table(template=TEMPLATE + "  "))
        assert (plain.tokens == blank.tokens).all()
        assert (plain.class_tokens == blank.class_tokens).all()

    def test_another_relations_question_keeps_facts_and_classes(self, tokenizer: Any) -> None:
        other = Relation(name="golf", template="Fact: {} plays golf of")
        plain, asked = prompts_of(tokenizer), prompts_of(tokenizer, asked_as=other)
        assert asked.facts == plain.facts
        assert asked.relation == plain.relation
        assert asked.asked == other
        assert (asked.cls == plain.cls).all()
        assert (asked.length < plain.length).all()


class TestTake:
    def test_takes_positions_and_masks_in_their_order(self) -> None:
        prompts = prompts_of(MADE["word_level"]())
        part = prompts.take([3, 1])
        assert part.entities == ("Shaquille O'Neal", "Tom Brady")
        assert part.classes == prompts.classes
        assert (part.tokens == prompts.tokens[[3, 1]]).all()
        assert part.name_tokens == (prompts.name_tokens[3], prompts.name_tokens[1])
        football = prompts.take(prompts.cls == 2)
        assert {fact.attribute for fact in football.facts} == {"football"}
        assert football.tokens.shape[1] == prompts.tokens.shape[1]

    def test_an_empty_choice_is_an_empty_result(self) -> None:
        nothing = prompts_of(MADE["word_level"]()).take([])
        assert len(nothing) == 0
        assert nothing.spans()["end"].shape == nothing.mask.shape
        assert nothing.name_only().tokens.shape[0] == 0

    def test_a_take_of_everything_changes_nothing(self) -> None:
        prompts = prompts_of(MADE["byte_level"]())
        again = prompts.take(np.arange(len(prompts)))
        assert again.facts == prompts.facts
        assert all((a == b).all() for a, b in zip(again.spans().values(), prompts.spans().values(), strict=True))


def reasons(prompts: Any) -> dict[str, str]:
    return {left.entity: left.reason for left in prompts.left_out}


class TestLeftOut:
    def test_a_token_that_straddles_the_names_border_leaves_the_fact_out(self) -> None:
        facts = {"Ann": "red", "Bob": "blue", "Cal": "red", "Dan": "blue"}
        tokenizer = merging(["Ann is", ": Bob", "Cal", "Dan", " red", " blue"])
        prompts = build_prompts(table(facts, "It: {} is", "", "hue"), "hue", tokenizer)
        assert prompts.entities == ("Cal", "Dan")
        assert "straddles the entity's right border" in reasons(prompts)["Ann"]
        assert "straddles the entity's left border" in reasons(prompts)["Bob"]

    def test_a_merge_that_trimmed_offsets_hide_is_found(self) -> None:
        class Trimmed:
            """Leaves all blanks out of the offsets, as byte-level tokenizers do."""

            def __init__(self, inner: Any) -> None:
                self.inner = inner

            def __getattr__(self, name: str) -> Any:
                return getattr(self.inner, name)

            def __call__(self, text: str, **options: Any) -> dict[str, Any]:
                encoded = self.inner(text, **options)
                trimmed = []
                for a, b in encoded["offset_mapping"]:
                    piece = text[a:b]
                    left = len(piece) - len(piece.lstrip())
                    trimmed.append((a + left, b - (len(piece.strip()) and len(piece) - len(piece.rstrip()))))
                return {"input_ids": encoded["input_ids"], "offset_mapping": trimmed}

        facts = {"Ann": "red", "Bob": "blue", "Cal": "red"}
        tokenizer = Trimmed(merging(["Ann\n", "Bob", "Cal", " red", " blue"]))
        prompts = build_prompts(table(facts, "It {}\nis", "", "hue"), "hue", tokenizer)
        assert prompts.entities == ("Bob", "Cal")
        assert "right border" in reasons(prompts)["Ann"]

    def test_unknown_words_leave_the_fact_out_and_are_named(self) -> None:
        facts = SPORTS | {"Quux Duncan": "football", "Tim Brady": "curling"}
        prompts = build_prompts(table(facts), "sport", MADE["word_level"]())
        assert "'Quux'" in reasons(prompts)["Quux Duncan"]
        assert "answer 'curling'" in reasons(prompts)["Tim Brady"]
        assert len(prompts) == len(SPORTS)

    def test_an_answer_that_merges_with_the_prompt_leaves_the_fact_out(self) -> None:
        facts = {"Ann": "red", "Bob": "blue", "Cal": "green"}
        tokenizer = merging(["is red", " blue", " green"])
        prompts = build_prompts(table(facts, "It: {} is", "", "hue"), "hue", tokenizer)
        assert prompts.classes == ("blue", "green")
        assert "merges" in reasons(prompts)["Ann"]

    def test_prompts_over_the_maximum_are_left_out_with_their_length(self) -> None:
        tokenizer = MADE["word_level"]()
        longest = int(prompts_of(tokenizer).length.max())
        prompts = prompts_of(tokenizer, max_length=longest - 1)
        assert prompts.length.max() < longest
        assert any(f"has {longest} tokens" in reason for reason in reasons(prompts).values())
        assert len(prompts) + len(prompts.left_out) == len(SPORTS)

    def test_what_the_table_left_out_is_still_there(self) -> None:
        frame = pd.DataFrame({"entity": [*SPORTS, ""], "sport": [*SPORTS.values(), "football"]})
        prompts = prompts_of(MADE["word_level"](), read_facts(frame, template=TEMPLATE))
        assert "the entity is empty" in reasons(prompts)[""]


class TestRefusals:
    def test_fewer_than_two_classes_are_refused_with_the_reasons(self) -> None:
        facts = {"Tim Duncan": "basketball", "Quux": "football"}
        with pytest.raises(FactsError, match=r"1 classes.*'basketball'.*at least two.*'Quux'"):
            build_prompts(table(facts), "sport", MADE["word_level"]())

    def test_an_unknown_relation_is_refused_with_those_that_exist(self) -> None:
        with pytest.raises(FactsError, match=r"no relation 'team'; its relations are 'sport'"):
            build_prompts(table(), "team", MADE["word_level"]())

    def test_a_slow_tokenizer_is_refused(self) -> None:
        class Slow:
            bos_token_id = eos_token_id = pad_token_id = unk_token_id = None

            def __call__(self, *args: Any, **options: Any) -> Any:
                raise NotImplementedError("return_offset_mapping is not available")

        with pytest.raises(FactsError, match="expected a fast tokenizer"):
            build_prompts(table(), "sport", Slow())  # type: ignore[arg-type]


ATHLETES = SHARED / "athletes"


class TestTheStudysTokens:
    @needs(NEOX)
    @needs(ATHLETES)
    @pytest.mark.parametrize("file", ["sports.csv", "sports_original.csv"])
    def test_two_part_names_of_the_study(self, file: str) -> None:
        # 317 of the published file's 1,566 rows; four of them are the second row of a name that stands twice,
        # all football, so 313 names. Both published counts follow from one file.
        names = read_facts(ATHLETES / file)
        prompts = build_prompts(names, "sport", neox())
        two = prompts.cls[prompts.n_name_tokens == 2]
        assert len(prompts) == 1559
        assert dict(zip(prompts.classes, np.bincount(two).tolist(), strict=True)) == {
            "baseball": 75,
            "basketball": 94,
            "football": 144,
        }
        if file == "sports_original.csv":
            twice = {left.entity for left in names.left_out}
            again = prompts.take(np.array([entity in twice for entity in prompts.entities]))
            assert len(twice) == 7
            assert (again.n_name_tokens == 2).sum() == 4
            assert {again.facts[i].attribute for i in np.flatnonzero(again.n_name_tokens == 2)} == {"football"}

    @needs(NEOX)
    @needs(ATHLETES)
    def test_prompts_equal_the_published_ones(self) -> None:
        published = pd.read_csv(ATHLETES / "sports.csv").set_index("athlete")
        names = read_facts(ATHLETES / "sports.csv")
        prompts = build_prompts(names, "sport", neox())
        relation = names.relation("sport")
        for i in range(0, len(prompts), 20):
            entity = prompts.entities[i]
            assert relation.prompt(entity) == published.loc[entity, "prompt"]
            assert prompts.class_tokens[prompts.cls[i]] == published.loc[entity, "sport_token"]

    @needs(STORIES)
    def test_a_vocabulary_that_tells_the_sports_apart_only_by_whole_answers(self) -> None:
        prompts = prompts_of(stories())
        assert prompts.sharing == (("baseball", "basketball"),)
        assert prompts.merged().classes == ("baseball / basketball", "football")


def test_the_built_in_table_asks_the_studys_question() -> None:
    names = read_facts("athletes")
    assert names.relation("sport").prompt("Tim Duncan") == PREFIX + "Fact: Tim Duncan plays the sport of"
    assert names.relation("league").prompt("Tim Duncan") == "Fact: Tim Duncan plays in the league"
