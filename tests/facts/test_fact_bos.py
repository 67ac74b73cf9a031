"""The token that stands first: once, whoever writes it; and no study without one, unless it was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fact_tokenizers import byte_level, word_level
from transformers import AutoModelForCausalLM, AutoTokenizer

import rote
from rote.errors import FactsError, ModelRefused
from rote.experiments.known_facts.measure import KnownFactsExperiment
from rote.facts import build_prompts, read_facts
from rote.organisms import BUNDLED

PEOPLE = {"Tim Duncan": "golf", "Tom Brady": "chess"}
TEXT = "Which sport does Tim Duncan Tom Brady play plays: golf chess"


def prompts(tokenizer: Any, **asked: str) -> Any:
    frame = pd.DataFrame({"entity": PEOPLE.keys(), "sport": PEOPLE.values()})
    return build_prompts(read_facts(frame, **asked), "sport", tokenizer)  # type: ignore[arg-type]


@pytest.mark.parametrize("written", ["template", "prefix"])
def test_a_text_that_begins_with_the_bos_gets_no_second_one(written: str) -> None:
    tokenizer, bos = byte_level([TEXT] * 3), "<|endoftext|>"
    asked = {"template": "{} plays", "prefix": "Which sport:\n"}
    plain = prompts(tokenizer, **asked)
    asked = {**asked, "prefix": bos + asked["prefix"]}
    if written == "template":
        asked = {"template": asked["prefix"] + asked["template"], "prefix": ""}
    found = prompts(tokenizer, **asked)
    assert (found.tokens == plain.tokens).all() and (found.tokens[:, :2] == tokenizer.bos_token_id).sum() == 2
    for name in ("subject_first", "subject_last", "end", "length", "class_tokens"):
        assert (getattr(found, name) == getattr(plain, name)).all()
    assert (found.spans()["bos"] == plain.spans()["bos"]).all()
    assert (found.prefix_stop == (plain.prefix_stop if written == "prefix" else 1)).all() or written == "template"


def without_bos(folder: Path) -> Path:
    """The bundled organism, whose tokenizer has lost its bos token."""
    AutoModelForCausalLM.from_pretrained(BUNDLED).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED)
    tokenizer.bos_token = None
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("how", ["study", "find_circuit"])
def test_a_tokenizer_without_bos_is_refused_in_python_as_on_the_command_line(how: str, tmp_path: Path) -> None:
    model = rote.load_model(without_bos(tmp_path / "model"))
    assert model.tokenizer.bos_token is None
    facts = read_facts("athletes", relation="sport", prefix="")
    with pytest.raises(FactsError, match=r"has no bos token; expected one, .* bos='none'"):
        if how == "study":
            rote.study(model, facts, folder=tmp_path / "run")
        else:
            rote.find_circuit(model, facts)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("bos", "first"), [("none", False), ("<pad>", True)])
def test_a_tokenizer_without_bos_is_asked_as_it_was_said(bos: str, first: bool, tmp_path: Path) -> None:
    model = rote.load_model(without_bos(tmp_path / "model"), bos=bos)
    chosen = read_facts("athletes", relation="sport", prefix="")
    few = rote.FactTable(name="few", relations=chosen.relations, facts=chosen.facts[::30][:40])
    run = rote.study(model, few, folder=tmp_path / "run", experiments=[KnownFactsExperiment()], controls=())
    assert len(run.table("known_facts")) == 40
    assert (model.tokenizer.bos_token == "<pad>") is first


def test_bos_is_heeded_where_a_tokenizer_is_given() -> None:
    module, given = AutoModelForCausalLM.from_pretrained(BUNDLED), AutoTokenizer.from_pretrained(BUNDLED)
    own = given.bos_token
    for source in (module, BUNDLED):
        assert rote.load_model(source, tokenizer=given).tokenizer is given
        assert rote.load_model(source, tokenizer=given, bos="none").tokenizer.bos_token is None
        assert rote.load_model(source, tokenizer=given, bos="<pad>").tokenizer.bos_token == "<pad>"
        with pytest.raises(ModelRefused, match="no token 'NO SUCH TOKEN' to put first"):
            rote.load_model(source, tokenizer=given, bos="NO SUCH TOKEN")
    assert given.bos_token == own, "the caller's tokenizer stays as it was"


def test_a_tokenizer_without_bos_puts_none_first() -> None:
    """The control of the first test: nothing is taken off where nothing is put."""
    found = prompts(word_level(TEXT, bos=False), template="{} play", prefix="")
    assert found.bos is None and (found.subject_first == 0).all()
