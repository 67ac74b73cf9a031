"""Names of two and of three tokens in one study: everything that speaks of parts is measured stratum by stratum.

The twin runs one name at a time and takes every mean by a loop.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from circuit_world import CLASSES, SETTINGS, World, model
from plain_neox import put

from rote.asking import Recall, ask
from rote.circuit.concatenation import exact_inputs, input_tables
from rote.circuit.effective import effective_model, exact_run
from rote.circuit.patterns import LEAST_NAMES, between_parts, frozen_patterns, mean_patterns
from rote.circuit.product import Product, read_last, read_rows
from rote.facts import Fact, FactTable, build_prompts
from rote.facts.parts import BETWEEN, ONE_TOKEN, Stratum
from rote.model import Site

TOLD = replace(SETTINGS, known_probability=1e-30, min_known=12, stratum_parts=3, stratum_facts=10)
START, STOP = 1, 3
TWO, THREE, ONE = Stratum(BETWEEN, 1, 1), Stratum(BETWEEN, 2, 1), Stratum(ONE_TOKEN, 0, 1)


def recall_of(world: World, two: int, three: int, one: int) -> Recall:
    """So many names of each length, all told to be known; longer ones share their first and last parts."""
    known = list(world.recall.prompts.facts[::3][: two + 8])  # of all classes
    words = [fact.entity.split() for fact in known]
    made = [f"{words[i % 3][0]} {words[i % 3 + 3][0]} {words[i // 3][1]}" for i in range(three)]
    made += [words[i][1] for i in range(one)]
    facts = known[:two] + [Fact(entity=n, relation="sport", attribute=CLASSES[i % 3]) for i, n in enumerate(made)]
    table = FactTable(name="mixed", relations=(world.prompts.relation,), facts=tuple(facts))
    prompts = build_prompts(table, "sport", model().tokenizer)
    told = ask(model(), prompts, TOLD)
    return Recall.of(model(), prompts, told.known, TOLD)


@pytest.fixture(scope="module")
def recall(world: World) -> Recall:
    return recall_of(world, 20, 15, 3)


def ids_of(recall: Recall, facts: np.ndarray) -> list[list[int]]:
    bos = model().tokenizer.bos_token_id
    return [[bos, *recall.prompts.name_tokens[i]] for i in facts]


def literal_patterns(world: World, names: list[list[int]]) -> list[torch.Tensor]:
    return [
        torch.stack([world.plain.run(ids)["pattern", layer].double() for ids in names]).mean(0)
        for layer in range(START)
    ]


@cache
def literal_inputs(world: World, recall: Recall) -> np.ndarray:
    """Of every fact in a product: grand mean + both main effects over its stratum, by loops."""
    inputs = np.full((len(recall), 128), np.nan)
    for stratum in (TWO, THREE):
        names = ids_of(recall, recall.strata[stratum])
        changes = {("pattern", n): p for n, p in enumerate(literal_patterns(world, names))}
        cut = 1 + stratum.n_first
        firsts, lasts = {tuple(ids[1:cut]) for ids in names}, {tuple(ids[cut:]) for ids in names}
        cells = {
            (a, b): world.plain.run([names[0][0], *a, *b], changes)["resid_pre", START][-1].double().numpy()
            for a in firsts
            for b in lasts
        }
        grand = np.mean(list(cells.values()), axis=0)
        for fact, ids in zip(recall.strata[stratum], names, strict=True):
            first, last = tuple(ids[1:cut]), tuple(ids[cut:])
            of_first = np.mean([cells[first, b] for b in lasts], axis=0)
            of_last = np.mean([cells[a, last] for a in firsts], axis=0)
            inputs[fact] = of_first + of_last - grand
    return inputs


def test_strata_are_those_of_the_words(recall: Recall) -> None:
    lengths = [len(name.split()) for name in recall.names]
    assert {s: len(facts) for s, facts in recall.strata.items()} == {ONE: 3, TWO: 20, THREE: 15}
    assert sorted(recall.two_part) == [i for i, n in enumerate(lengths) if n > 1]


def test_patterns_are_means_within_a_stratum(world: World, recall: Recall) -> None:
    (frozen,) = frozen_patterns(recall, range(START))
    assert frozen.value is not None
    for stratum in (TWO, THREE, ONE):
        facts = recall.strata[stratum]
        (literal,) = literal_patterns(world, ids_of(recall, facts))
        n = literal.shape[-1]
        for fact in facts:
            assert float((frozen.value[fact][:, :n, :n] - literal).abs().max()) < 1e-6


def test_a_small_stratum_has_its_patterns_from_random_cells(world: World) -> None:
    recall = recall_of(world, 20, LEAST_NAMES - 1, 0)
    product = Product.of(recall, THREE)
    (edit,) = mean_patterns(recall, THREE, range(1))
    bos = model().tokenizer.bos_token_id
    cells = [[bos, *a, *b] for a in product.first_tokens.tolist() for b in product.last_tokens.tolist()]
    assert LEAST_NAMES - 1 < len(cells) <= 64  # so all of them are drawn
    literal = literal_patterns(world, cells)[0]
    assert edit.value is not None and float((edit.value - literal).abs().max()) < 1e-6


def test_the_stacks_inputs_are_main_effects_within_the_stratum(world: World, recall: Recall) -> None:
    stack = effective_model(recall, [(4, 0)], START, STOP)
    found = stack.inputs(stack.entities.first, stack.entities.last).numpy()
    literal = literal_inputs(world, recall)[recall.two_part]
    assert np.abs(found - literal).max() < 1e-5 * np.abs(literal).max()
    assert stack.entities.names == tuple(recall.names[i] for i in recall.two_part)
    tables = input_tables(recall, START)
    assert [p.stratum for p in tables.products] == [TWO, THREE]


def test_every_stratum_has_its_own_attention(world: World, recall: Recall) -> None:
    stack = effective_model(recall, [(4, 0)], START, STOP)
    run = stack.run_entities()
    literal = literal_inputs(world, recall)
    for place, stratum in enumerate((TWO, THREE)):
        names = ids_of(recall, recall.strata[stratum])
        traces = [world.plain.run(ids) for ids in names]
        mean = [torch.stack([t["attn_out", n][-1].double() for t in traces]).mean(0) for n in range(START, STOP + 1)]
        for layer, wanted in zip(stack.layers, mean, strict=True):
            assert float((layer.attention[place] - wanted).abs().max()) < 1e-6 * float(wanted.abs().max() + 1)
        fact = int(recall.strata[stratum][0])
        x = torch.as_tensor(literal[fact])
        for number, attention in zip(range(START, STOP + 1), mean, strict=True):
            x = x + attention + world.plain.mlp(number, x)
        row = list(recall.two_part).index(fact)
        assert float((run.output[row] - x).abs().max()) < 1e-5 * float(x.abs().max())
    alone = [part.run_entities().output for _, part in stack.by_stratum()]
    for (members, _), output in zip(stack.by_stratum(), alone, strict=True):
        assert torch.equal(output, run.output[torch.as_tensor(members)])


def test_the_exact_input_is_a_plain_pass_with_patterns_frozen(world: World, recall: Recall) -> None:
    inputs, exact = exact_inputs(recall, START), exact_run(recall, [(4, 0)], START, STOP)
    for stratum, facts in recall.strata.items():
        names = ids_of(recall, facts)
        patterns = {("pattern", n): p for n, p in enumerate(literal_patterns(world, names))}
        traces = [world.plain.run(ids) for ids in names]
        late = {n: torch.stack([t["attn_out", n][-1] for t in traces]).mean(0) for n in range(START, STOP + 1)}
        for fact, ids in zip(facts, names, strict=True):
            changes = patterns | {("attn_out", n): put(len(ids) - 1, value) for n, value in late.items()}
            trace = world.plain.run(ids, changes)
            wanted = trace["resid_pre", START][-1]
            assert float((inputs[fact] - wanted).abs().max()) < 1e-5 * float(wanted.abs().max()), stratum
            out = trace["resid_post", STOP][-1]
            assert float((exact.run.output[fact] - out).abs().max()) < 1e-5 * float(out.abs().max()), stratum


def test_only_the_edges_between_the_parts_are_held(world: World, recall: Recall) -> None:
    """The last part's rows put the mean on the first part's keys, and the rest in its own proportions."""
    facts = recall.strata[THREE]
    names = ids_of(recall, facts)
    mean = literal_patterns(world, names)[0]
    found = recall.model.run(
        torch.tensor(names), read=[Site("pattern", 0)], edit=list(between_parts(recall, THREE, [0]))
    )
    for ids, pattern in zip(names, found[Site("pattern", 0)], strict=True):
        own = world.plain.run(ids)["pattern", 0].double()
        assert float((pattern[:, :3] - own[:, :3]).abs().max()) < 1e-6  # the first part's own rows
        assert float((pattern[:, 3, 1:3] - mean[:, 3, 1:3]).abs().max()) < 1e-6
        rest = own[:, 3, [0, 3]] * ((1 - mean[:, 3, 1:3].sum(-1)) / (1 - own[:, 3, 1:3].sum(-1)))[:, None]
        assert float((pattern[:, 3, [0, 3]] - rest).abs().max()) < 1e-6


def test_rows_of_the_tables_are_read_as_the_names_they_stand_for(recall: Recall) -> None:
    stack = effective_model(recall, [(4, 0)], START, STOP)
    site = Site("mlp_out", 1)
    found = read_rows(recall, stack.entities.first, stack.entities.last, [site])[site]
    for row, fact in enumerate(recall.two_part):
        ids = torch.tensor(ids_of(recall, np.array([fact])))
        assert torch.allclose(found[row], read_last(recall, ids, [site])[site][0], rtol=1e-6)


def test_a_cell_is_taken_where_its_whole_sequence_of_tokens_is_a_name(recall: Recall) -> None:
    stack = effective_model(recall, [(4, 0)], START, STOP)
    own = set(zip(stack.entities.first.tolist(), stack.entities.last.tolist(), strict=True))
    assert own <= stack.entities.taken
    product = Product.of(recall, THREE)
    words = product.first_tokens[0].tolist(), product.last_tokens[0].tolist()
    assert product.taken([(*words[0], *words[1])]) == {(0, 0)}
    # the same tokens as a name of two words whose parts are cut elsewhere: no cell of this product
    assert product.taken([(words[0][0], words[1][0])]) == set()


def test_resampled_values_come_from_names_of_the_same_stratum(recall: Recall) -> None:
    lengths = np.array([len(name.split()) for name in recall.names])
    for draw in recall.others.numpy():
        assert (recall.cls[draw] != recall.cls).all()
        assert (lengths[draw] == lengths)[lengths > 1].all()
