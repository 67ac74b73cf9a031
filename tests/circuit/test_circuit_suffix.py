"""Prompts of a study run only what an edit can change; their figures are those of whole passes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from circuit_world import World

from rote.asking.prompts import Forward, PromptSet
from rote.asking.recordings import Kept
from rote.circuit.concatenation import total_effects, total_effects_first_order
from rote.circuit.top_heads import value_inputs, value_inputs_first_order
from rote.model import Edit, Model, Read, Site
from rote.pipeline.worker import noting_halvings
from rote.records import Record, Shard

CLOSE = {"rtol": 1e-9, "atol": 1e-9}  # the model is float64


def edits(world: World, prompts: PromptSet) -> dict[str, list[Edit]]:
    model, at = world.recall.model, prompts.subject_last
    n = len(prompts)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(n, model.d_model, generator=generator, dtype=torch.float64)
    key = at - 1
    return {
        "an MLP's input": [Edit(site=Site("mlp_in", 2), change="add", value=noise, position=at)],
        "two layers": [
            Edit(site=Site(name, k), value=noise, position=at) for name, k in (("mlp_out", 1), ("attn_out", 3))
        ],
        "a forbidden edge": [Edit(site=Site("scores", 2), change="forbid", position=at, key_position=key)],
        "every position": [Edit(site=Site("mlp_out", 1), value=noise[:1])],
        "none": [],
    }


@pytest.mark.parametrize("which", ["an MLP's input", "two layers", "a forbidden edge", "every position", "none"])
@pytest.mark.parametrize("name_only", [False, True])
def test_edited_prompts_answer_as_in_whole_passes(world: World, which: str, name_only: bool) -> None:
    prompts = world.recall.name_only if name_only else world.recall.full
    chosen = edits(world, prompts)[which]
    reads = [Read(site=Site("resid_post", 3), position=prompts.subject_last)]
    found = prompts.forward(chosen, reads, keep_log_probs=True)
    rows = torch.arange(len(prompts))
    whole = prompts.model.run(prompts.tokens, prompts.mask, read=[reads[0], "logits"], edit=chosen)
    log_probs = torch.log_softmax(whole.logits[rows, prompts.end], -1)
    torch.testing.assert_close(found.log_probs, log_probs, **CLOSE)
    torch.testing.assert_close(found.scores.answer_log_prob, log_probs[rows, prompts.answers], **CLOSE)
    torch.testing.assert_close(found.values[reads[0].site], whole[reads[0].site], **CLOSE)
    torch.testing.assert_close(prompts.read(reads, chosen)[reads[0].site], whole[reads[0].site], **CLOSE)


def test_a_shift_after_a_block_is_an_edit_of_what_it_leaves(world: World) -> None:
    prompts, layer = world.recall.full, 3
    shift = torch.randn(len(prompts), prompts.model.d_model, dtype=torch.float64)
    reads = [Read(site=Site("resid_post", k), position=prompts.subject_last) for k in (layer, layer + 1)]
    edit = Edit(site=Site("resid_post", layer), change="add", value=shift, position=prompts.subject_last)
    expected = prompts.forward([edit], reads)
    found = prompts.forward_after(layer, shift, prompts.subject_last, reads)
    torch.testing.assert_close(found.scores.class_logits, expected.scores.class_logits, **CLOSE)
    for read in reads:
        torch.testing.assert_close(found.values[read.site], expected.values[read.site], **CLOSE)


def test_positions_before_an_edit_do_not_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[int] = []
    plain = Model._block

    def seen(self: Model, layer: int, x: torch.Tensor, *rest: object) -> torch.Tensor:
        widths.append(x.shape[1])
        return plain(self, layer, x, *rest)  # type: ignore[arg-type]

    prompts = world.recall.full
    prompts.forward()
    monkeypatch.setattr(Model, "_block", seen)
    prompts.forward(edits(world, prompts)["an MLP's input"])
    after = prompts.tokens.shape[1] - int(prompts.subject_last.min())
    assert set(widths) <= set(range(1, after + 1)) and len(widths) == 4 * -(-len(prompts) // prompts.batch_size)
    widths.clear()
    prompts.forward(edits(world, prompts)["every position"])
    assert set(widths) == {prompts.tokens.shape[1]}
    widths.clear()
    prompts.forward()
    assert widths == []  # without an edit the recording has it all


def test_batches_that_do_not_fit_are_halved_and_answer_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = replace(world.recall.full, kept=Kept())
    chosen, plain = edits(world, prompts)["an MLP's input"], Model.record
    whole = world.recall.full.forward(chosen)

    def small(self: Model, tokens: torch.Tensor, *rest: object) -> object:
        if len(tokens) > 9:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory")
        return plain(self, tokens, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "record", small)
    found: list[Forward] = []

    def work(shard: Shard) -> Record:
        found.append(prompts.forward(chosen))
        return Record()

    record = noting_halvings(work, Shard("path_ablation", "sport"))
    (halvings,) = record.tables.values()
    assert list(record.tables) == ["halvings"] and (halvings["halved_to"] < halvings["rows"]).all()
    assert noting_halvings(lambda shard: Record(), Shard("path_ablation", "sport")).tables == {}
    torch.testing.assert_close(found[0].scores.class_logits, whole.scores.class_logits, **CLOSE)


def correlations(exact: np.ndarray, first: np.ndarray) -> float:
    return float(np.corrcoef(exact.ravel(), first.ravel())[0, 1])


def test_first_order_effects_of_nodes_and_heads_resemble_exact_ones(world: World) -> None:
    head = world.circuit.top_heads[0]
    exact, first = value_inputs(world.recall, head), value_inputs_first_order(world.recall, head)
    assert list(exact) == list(first)
    assert 0.5 < correlations(*(np.stack(list(x.values())) for x in (exact, first))) < 1
    some = value_inputs(world.recall, head, ["mlp.1", "L2H0"])
    assert set(some) == {"mlp.1", "L2H0"} and all(np.array_equal(some[name], exact[name]) for name in some)
    slow, fast = total_effects(world.recall, head[0]), total_effects_first_order(world.recall, head[0])
    assert slow.shape == fast.shape
    assert 0.3 < correlations(slow, fast) < 1
    part = total_effects(world.recall, head[0], {(1, 2)})
    assert np.array_equal(part[:, 1, 2], slow[:, 1, 2]) and not part[:, 0].any()
