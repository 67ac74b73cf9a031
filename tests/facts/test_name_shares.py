"""Nearly every name of the tables that the field uses has two parts; few have exactly two tokens."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from fact_tokenizers import GPT2, NEOX, gpt2, needs, neox, word_level
from name_shares import TABLES, parts, shares

from rote.facts import build_prompts, read_facts

TOKENIZERS = {"neox": (neox, NEOX), "gpt2": (gpt2, GPT2)}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_names_of_the_fields_tables_have_two_parts(tokenizer: str, name: str) -> None:
    made, file = TOKENIZERS[tokenizer]
    if not (TABLES[name].exists() and file.exists()):
        pytest.skip(f"{name} or {file.name} is not at hand")
    found = shares(read_facts(TABLES[name]), made())
    assert found.of(found.two_part) >= 0.95
    assert found.of(found.two_token) < 0.2  # what was admitted when parts were tokens


@needs(NEOX)
def test_the_counts_are_those_of_the_prompts() -> None:
    """The count's own loop beside the arrays that a study is made of."""
    names = ["Juan del Potro", "Tim Duncan", "Paris", "Paraguay", "Duran Duran", "Xi"]
    table = read_facts(pd.DataFrame({"entity": names, "sport": ["golf", "chess"] * 3}))
    made: Any = neox()
    prompts = build_prompts(table, "sport", made)
    assert [(name, cut.tokens) for _, name, cut in parts(table, made)] == list(  # type: ignore[union-attr]
        zip(prompts.name_tokens, prompts.cut.tolist(), strict=True)
    )
    found = shares(table, made)
    assert (found.facts, found.several, found.in_strata) == (6, int((prompts.n_name_tokens > 1).sum()), 0)


def test_strata_are_counted_where_they_are_large_enough() -> None:
    """The positive control: 8 first and 8 last words, 16 names; one name fewer is too few."""
    words = [f"A{i}" for i in range(8)] + [f"B{i}" for i in range(8)]
    names = [f"A{i} B{i}" for i in range(8)] + [f"A{i} B{7 - i}" for i in range(8)]
    made = word_level(" ".join(["The sport of is golf chess :", "Fact", *words]))

    def of(names: list[str]) -> tuple[int, int, int]:
        table = read_facts(pd.DataFrame({"entity": names, "sport": ["golf", "chess"] * (len(names) // 2)}))
        found = shares(table, made)
        return found.two_part, found.in_strata, found.n_able

    assert of(names) == (16, 16, 0)
    assert of(names[:14]) == (14, 0, 0)
