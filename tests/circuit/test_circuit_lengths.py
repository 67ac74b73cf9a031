"""Prompts of many lengths: short ones run together, and everything is as if each prompt ran alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from circuit_world import CLASSES, model
from torch import Tensor

from rote.asking.prompts import PromptSet
from rote.facts import Fact, FactTable, Relation, build_prompts, read_facts
from rote.model import Edit, Read, Site

LAYER, N = 2, 23


@pytest.fixture(scope="module")
def prompts() -> PromptSet:
    """Names of one to four words, in no order of their lengths; batches of four."""
    words = [name.split() for name in read_facts("athletes", relation="sport").entities[: 4 * N]]
    lengths = np.random.default_rng(0).integers(1, 5, size=N)
    names = [" ".join(words[4 * i + j][j % 2] for j in range(n)) for i, n in enumerate(lengths)]
    facts = tuple(Fact(entity=name, relation="sport", attribute=CLASSES[i % 3]) for i, name in enumerate(names))
    relation = Relation(name="sport", template="Fact: {} plays the sport of")
    table = FactTable(name="lengths", relations=(relation,), facts=facts)
    return PromptSet.of(model(), build_prompts(table, "sport", model().tokenizer), batch_size=4)


def alone(prompts: PromptSet, i: int, site: Site, edits: list[Edit]) -> tuple[Tensor, Tensor]:
    """(log-probabilities at the end, the site at every position) of one prompt without padding."""
    n = int(prompts.mask[i].sum())
    acts = model().run(prompts.tokens[i : i + 1, :n], read=[site, Site("logits")], edit=edits)
    return torch.log_softmax(acts.logits[0, -1], -1), acts[site][0]


def own(edit: Edit, i: int, n: int) -> Edit:
    """One prompt's part of an edit, by hand."""
    assert edit.value is not None
    value = edit.value[i : i + 1, :, :n, :n] if edit.site.name == "pattern" else edit.value[i : i + 1, :n]
    if edit.position is not None:
        return replace(edit, value=edit.value[i : i + 1], position=edit.position[i : i + 1])
    return replace(edit, value=value)


def edits_of(prompts: PromptSet, which: str) -> list[Edit]:
    m, width, generator = model(), prompts.tokens.shape[1], torch.Generator().manual_seed(0)
    match which:
        case "everywhere":
            value = torch.randn(N, width, m.d_model, generator=generator, dtype=m.dtype)
            return [Edit(site=Site("attn_out", 1), change="add", value=value)]
        case "patterns":
            scores = torch.randn(N, m.n_heads, width, width, generator=generator, dtype=m.dtype)
            later = torch.triu(torch.ones(width, width, dtype=torch.bool), 1)
            return [Edit(site=Site("pattern", 1), value=scores.masked_fill(later, float("-inf")).softmax(-1))]
        case "one position":
            value = torch.randn(N, m.d_model, generator=generator, dtype=m.dtype)
            return [Edit(site=Site("mlp_out", 1), value=value, position=prompts.subject_last)]
    return []


@pytest.mark.parametrize("which", ["nothing", "everywhere", "patterns", "one position"])
@pytest.mark.parametrize("site", [Site("resid_post", LAYER), Site("v", LAYER), Site("pattern", LAYER)])
def test_every_prompt_gives_what_it_gives_alone(prompts: PromptSet, which: str, site: Site) -> None:
    edits = edits_of(prompts, which)
    found = prompts.forward(edits, [Read(site=site)], keep_log_probs=True)
    assert found.log_probs is not None
    lengths = prompts.mask.sum(1).tolist()
    assert len(set(lengths)) == 4 and lengths != sorted(lengths)
    for i, n in enumerate(lengths):
        log_probs, value = alone(prompts, i, site, [own(edit, i, n) for edit in edits])
        assert torch.allclose(found.log_probs[i], log_probs, atol=1e-9)
        whole = found.values[site][i]
        there = whole[:, :n, :n] if site.name == "pattern" else whole[:n]
        assert torch.allclose(there.double(), value.double(), atol=1e-6)


def test_attention_from_the_end_has_a_weight_for_every_position(prompts: PromptSet) -> None:
    site = Site("pattern", LAYER)
    pattern = prompts.read([Read(site=site, position=prompts.end)])[site]
    assert pattern.shape == (N, model().n_heads, prompts.tokens.shape[1])
    assert torch.allclose(pattern.sum(-1), torch.ones(()).to(pattern), atol=1e-6)
    assert not pattern[~prompts.mask[:, None].expand_as(pattern)].any()


def test_little_of_a_batch_is_padding(prompts: PromptSet) -> None:
    """Against the width of the longest prompt, which every batch would have in the order of the table."""
    run = sum(list(prompts.over(lambda rows: len(rows) * prompts._width(rows))))
    needed = int(prompts.mask.sum())
    assert needed <= run <= 1.05 * needed
    assert prompts.tokens.numel() > 1.1 * needed


def test_prompts_of_one_length_stay_in_their_order() -> None:
    table = read_facts("athletes", relation="sport")
    table = replace(table, facts=table.facts[::70][:20], left_out=())
    one = PromptSet.of(model(), build_prompts(table, "sport", model().tokenizer), batch_size=8)
    assert torch.cat(list(one.over(lambda rows: rows))).tolist() == list(range(20)) and one._back is None
