"""Clean passes stay within one budget for all prompts, whoever asks, and what had to go is recorded again alike."""

from __future__ import annotations

import gc
from dataclasses import replace

import pytest
import torch
from circuit_world import World

from rote.asking import recordings as kept_module
from rote.asking.prompts import PromptSet
from rote.asking.recordings import Kept, budget
from rote.model import Model, Recording


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of every clean pass that is made."""
    made: list[int] = []
    record = Model.record

    def counted(self: Model, tokens: torch.Tensor, *args: object, **given: object) -> Recording:
        made.append(len(tokens))
        return record(self, tokens, *args, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "record", counted)
    return made


def ask(prompts: PromptSet) -> torch.Tensor:
    return prompts.forward().scores.answer_log_prob


def test_passes_are_made_once_and_go_when_others_need_the_room(world: World, passes: list[int]) -> None:
    sets = [replace(world.recall.full, kept=Kept(0)) for _ in range(3)]
    one = sets[0].tokens.numel() * sets[0]._recorded_per_position
    kept = Kept(2 * one)
    first, second, third = (replace(prompts, kept=kept) for prompts in sets)
    expected = ask(first)
    made = len(passes)
    assert torch.equal(ask(first), expected) and len(passes) == made  # kept
    ask(second)
    assert kept.n_bytes == 2 * one
    ask(first)  # asked after the second
    ask(third)
    assert kept.n_bytes == 2 * one and len(passes) == 3 * made
    assert torch.equal(ask(first), expected) and len(passes) == 3 * made  # the second had to go
    assert torch.equal(ask(second), expected) and len(passes) == 4 * made


def test_passes_go_with_their_prompts(world: World) -> None:
    kept = Kept()
    ask(replace(world.recall.full, kept=kept))
    gc.collect()
    assert kept.n_bytes == 0


def test_a_relations_prompts_share_one_budget(world: World) -> None:
    recall = replace(world.recall, kept=Kept())
    asked = [recall.full, recall.name_only, recall.prompt_set(recall.prompts)]
    assert {id(prompts.kept) for prompts in asked} == {id(recall.kept)}
    ask(asked[0])
    used = recall.kept.n_bytes
    ask(asked[1])
    assert 0 < used < recall.kept.n_bytes


def test_a_set_that_needs_more_than_half_of_the_budget_is_not_kept(world: World, passes: list[int]) -> None:
    plain = world.recall.full
    one = plain.tokens.numel() * plain._recorded_per_position
    for n_bytes, kept in ((2 * one, True), (2 * one - 1, False)):
        prompts = replace(plain, kept=Kept(n_bytes))
        ask(prompts)
        made = len(passes)
        ask(prompts)
        assert (len(passes) == made) == kept


def test_a_card_keeps_as_much_as_half_of_what_is_free_there(monkeypatch: pytest.MonkeyPatch) -> None:
    card, gib = torch.device("cuda"), 2**30
    for free, kept in ((100 * gib, 50 * gib), (3 * gib, 4 * gib), (None, 4 * gib)):
        monkeypatch.setattr(kept_module, "free_bytes", lambda device, free=free: free)
        assert budget(card) == kept
        assert budget(torch.device("cpu")) == 4 * gib
