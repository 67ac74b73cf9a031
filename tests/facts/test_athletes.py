"""The built-in table of athletes is well formed, agrees with an independent table and has two-token names."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ATHLETES = ROOT / "src" / "rote" / "facts" / "athletes.csv"
REFERENCE = ROOT.parent / "shared" / "data" / "athletes" / "sports.csv"
TOKENIZER = ROOT.parent / "shared" / "data" / "tokenizers" / "neox20b" / "20B_tokenizer.json"
LEAGUE_OF_SPORT = {"football": "NFL", "basketball": "NBA", "baseball": "MLB"}
NAME = re.compile(r"[A-Z][A-Za-z'-]* (?:de)?[A-Z][A-Za-z'-]*")
SUFFIXES = {"Jr", "Sr", "II", "III", "IV", "V"}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ROWS = _rows(ATHLETES)


def test_header_and_size() -> None:
    assert list(ROWS[0]) == ["entity", "sport", "league"]
    assert len(ROWS) >= 1050
    assert min(Counter(row["sport"] for row in ROWS).values()) >= 350


def test_file_is_plain_ascii_with_a_final_newline() -> None:
    content = ATHLETES.read_bytes()
    assert content.isascii()
    assert b"\r" not in content
    assert content.endswith(b"\n")


def test_every_sport_has_its_one_league() -> None:
    assert {(row["sport"], row["league"]) for row in ROWS} == set(LEAGUE_OF_SPORT.items())


def test_every_name_is_two_plain_words() -> None:
    wrong = [row["entity"] for row in ROWS if not NAME.fullmatch(row["entity"])]
    assert wrong == []
    assert [row["entity"] for row in ROWS if row["entity"].split()[1] in SUFFIXES] == []


def test_every_name_is_unique() -> None:
    counts = Counter(row["entity"].lower() for row in ROWS)
    assert [name for name, count in counts.items() if count > 1] == []


def test_rows_are_sorted_by_sport_then_last_name() -> None:
    keys = [(row["sport"], row["entity"].split()[1].lower(), row["entity"].lower()) for row in ROWS]
    assert keys == sorted(keys)


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference table of athletes is not here")
def test_agrees_with_an_independent_table() -> None:
    reference: defaultdict[str, set[str]] = defaultdict(set)
    for row in _rows(REFERENCE):
        reference[row["athlete"]].add(row["sport"])
    shared = [row for row in ROWS if row["entity"] in reference]
    agreeing = [row for row in shared if reference[row["entity"]] == {row["sport"]}]
    assert len(shared) >= 500
    assert len(agreeing) >= 0.99 * len(shared)


@pytest.mark.skipif(not TOKENIZER.exists(), reason="the NeoX tokenizer is not here")
def test_enough_names_are_two_tokens() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(TOKENIZER))
    encodings = tokenizer.encode_batch([" " + row["entity"] for row in ROWS], add_special_tokens=False)
    assert sum(len(encoding.ids) == 2 for encoding in encodings) >= 200
