"""Names of every script pass and come back whole; what cannot be seen does not; large tables take bounded memory."""

from __future__ import annotations

import random
import tracemalloc
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fact_tokenizers import NEOX, byte_level, needs, neox

from rote.errors import FactsError
from rote.facts import Fact, FactTable, Relation, build_prompts, read_facts
from rote.facts.intake import RawFact, broken, take_in
from rote.facts.readers.files import text_lines
from rote.facts.tally import Tally
from rote.facts.text import text_problem

# right-to-left, joined with ZWJ and ZWNJ, with marks in either normal form, ideographic, Arabic number sign, emoji
NAMES = (
    "محمد صلاح", "אבי כהן", "علی\u200cرضا", "ක්\u200dරිස්", "Zoë Ng", unicodedata.normalize("NFD", "Zoë Đặng"),
    "नीरज चोपड़ा", "สมจิตร จงจอหอ", "山田\u3000太郎", "\u0600\u0661", "Ö", "İlkay", "👩\u200d🚀", "!!!",
    "O'Neal-Smith Jr.",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_of_any_script_is_a_fact_with_tokens_of_its_own(name: str) -> None:
    assert text_problem(name) == ""
    frame = pd.DataFrame({"entity": [name, "Ann", "Bob"], "sport": ["golf", "golf", "chess"]})
    table = read_facts(frame, leave_out=False)
    assert table.facts[0].entity == name  # not normalised, not reordered
    for tokenizer in tokenizers():
        prompts = build_prompts(table, "sport", tokenizer, leave_out=False)
        written = tokenizer.decode(list(prompts.name_tokens[0]))
        assert unicodedata.normalize("NFC", written.strip()) == unicodedata.normalize("NFC", name)


def tokenizers() -> Iterator[Any]:
    yield byte_level(["Fact: The sport of Ann is golf", "chess"])
    if NEOX.exists():
        yield neox()


@needs(NEOX)
def test_a_decomposed_name_has_exact_spans_under_a_tokenizer_that_composes() -> None:
    name = unicodedata.normalize("NFD", "Zoë Đặng")
    relation = Relation(name="sport", template="Fact: {} plays the sport of")
    facts = tuple(Fact(entity=e, relation="sport", attribute=a) for e, a in ((name, "golf"), ("Bob", "chess")))
    prompts = build_prompts(FactTable(name="t", relations=(relation,), facts=facts), "sport", neox())
    tokens = prompts.tokens[0]
    after = neox().decode(tokens[prompts.subject_last[0] + 1 : prompts.length[0]].tolist())
    assert after == " plays the sport of"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a\x00b", "control character U+0000"),
        ("a\x85b", "control character U+0085"),
        ("a\u2029b", "line separator U+2029"),
        ("a\u2066b", "direction mark U+2066"),
        ("a\u2060b", "invisible character U+2060 (WORD JOINER)"),
        ("a\u00adb", "invisible character U+00AD (SOFT HYPHEN)"),
        ("a\u202fb", "unusual blank U+202F"),
        ("a\ufffeb", "noncharacter U+FFFE"),
        ("\ud800", "no valid Unicode"),
        ("\U000e0041\U000e0042", "invisible character U+E0041"),
        ("\u0301", "no visible character"),
        ("\u0903a", "begins with the combining mark U+0903"),
    ],
)
def test_what_cannot_be_seen_is_named(text: str, says: str) -> None:
    assert says in text_problem(text)


def test_problems_of_one_kind_are_one_line_with_the_count() -> None:
    tally = Tally()
    for i in range(1000):
        tally.add(f"row {i}", f"its prompt has {i + 200} tokens; at most 128 fit")
    tally.add("row 7", "the entity is empty")
    assert tally.lines() == [
        "row 0: its prompt has 200 tokens; at most 128 fit (and likewise row 1, row 2, row 3 and 996 more)",
        "row 7: the entity is empty",
    ]
    for i in range(1000):
        tally.add("row 9", "kind " + "x" * i)
    assert len(tally.lines()) == 21 and tally.lines()[-1] == "and 982 more rows with problems of other kinds"


def raw(i: int) -> RawFact:
    return RawFact(entity=f"N{i}" if i % 10 else "", relation="r", attribute="x", where=f"row {i}")


def peak_bytes(n_rows: int, limit: int) -> tuple[int, int]:
    """(memory, usable rows) of taking in so many rows."""
    tracemalloc.start()
    intake = take_in((raw(i) for i in range(n_rows)), "t", limit)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert intake.n_rows == n_rows
    return peak, intake.n_usable


def test_a_table_beyond_the_limit_is_counted_to_its_end_in_bounded_memory() -> None:
    small, n_small = peak_bytes(5_000, 1_000)
    large, n_large = peak_bytes(50_000, 1_000)
    assert (n_small, n_large) == (4_500, 45_000)
    assert large < 1.2 * small
    assert peak_bytes(50_000, 50_000)[0] > 10 * large  # the positive control: what is kept does take memory
    with pytest.raises(FactsError, match=r"45,000 facts in 50,000 rows; at most 1,000"):
        raise FactsError(take_in((raw(i) for i in range(50_000)), "t", 1_000).problems)


def test_broken_lines_are_shown_up_to_a_number_and_counted() -> None:
    intake = take_in((broken(f"line {i} is broken") for i in range(500)), "t")
    assert len(intake.problems) == 21 and "480 more" in intake.problems[-1]


@pytest.mark.parametrize("seed", range(40))
def test_the_first_wrong_byte_is_the_one_that_decoding_finds(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the obvious twin, which decodes the whole file; read in small pieces, so that characters are cut."""
    monkeypatch.setattr("rote.facts.readers.files._CHUNK_BYTES", 7)
    chance = random.Random(seed)
    text = "".join(chance.choice("aé☃🚀\n") for _ in range(chance.randrange(60)))
    data = bytearray(text.encode())
    data.insert(chance.randrange(len(data) + 1), chance.choice((0xFF, 0xC3, 0x80, 0xF0, 0xE2)))
    path = tmp_path / "t.csv"
    path.write_bytes(bytes(data))
    try:
        bytes(data).decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        with pytest.raises(
            FactsError, match=f"byte 0x{data[error.start]:02x} at offset {error.start}, in line {line};"
        ):
            list(text_lines(path))
    else:
        assert "".join(text_lines(path)) == bytes(data).decode()
