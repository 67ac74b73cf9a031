"""examples/nano.py, which imports nothing of rote, comes to the library's figures when given the same chance."""

from __future__ import annotations

import ast
import importlib.util
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from rote.circuit.direct_effects import direct_effects
from rote.circuit.extraction import head_readouts
from rote.circuit.product import Product
from rote.experiments.linear_structure.measure import broken_fractions, draw_pairs
from rote.experiments.populations import reported
from rote.facts import read_facts
from rote.facts.read import SPORT_PREFIX, SPORT_TEMPLATE
from rote.model import load_model
from rote.organisms import BUNDLED
from rote.pipeline.questions import Questions
from rote.pipeline.study import find_circuit
from rote.settings import Settings
from rote.statistics import rng

NANO = Path(__file__).parents[1] / "examples" / "nano.py"
TABLE = BUNDLED.parents[1] / "facts" / "athletes.csv"


@pytest.fixture(scope="module")
def nano():
    spec = importlib.util.spec_from_file_location("nano", NANO)
    module = importlib.util.module_from_spec(spec)
    sys.modules["nano"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["nano"]


@pytest.fixture(scope="module")
def library():
    """Every ninth athlete: known facts, circuit and effective model."""
    settings = Settings()
    table = pd.read_csv(TABLE).iloc[::9]
    facts = read_facts(table, relation="sport", template=SPORT_TEMPLATE, prefix=SPORT_PREFIX)
    model = load_model(BUNDLED, check=False)
    circuit, recall = find_circuit(model, facts, settings=settings)
    return SimpleNamespace(
        table=table,
        prompts=Questions(model=model, table=facts, settings=settings).of("sport"),
        settings=settings,
        model=model,
        circuit=circuit,
        recall=recall,
        stack=circuit.effective_model(recall),
    )


@pytest.fixture(scope="module")
def own(nano, library, tmp_path_factory):
    """nano's model, facts and clean run on the same athletes, halved in the same way."""
    path = tmp_path_factory.mktemp("nano") / "athletes.csv"
    library.table.to_csv(path, index=False)
    model, tokenizer = nano.load(BUNDLED)
    everyone = nano.read_facts(path, tokenizer)
    known, correct = nano.ask(model, everyone)
    facts = everyone.take(known)
    clean = nano.watch(model, facts.tokens, nano.points(model, "resid", "z", "pattern", "attn_out"))
    return SimpleNamespace(
        path=path,
        model=model,
        everyone=everyone,
        known=known,
        correct=correct,
        facts=facts,
        clean=clean,
        selection=torch.as_tensor(library.recall.selection),
        heads=list(library.circuit.readout_heads),
    )


@pytest.fixture(scope="module")
def own_stack(nano, library, own):
    start, stop = library.circuit.lookup_start, library.circuit.lookup_stop
    cells = [torch.as_tensor(x) for x in Product.all(library.recall)[0].sample(library.recall)]
    return nano.effective_model(own.model, own.facts, start, stop, cells)


def relative(found, expected) -> float:
    """The largest difference in units of the largest expected value."""
    found, expected = torch.as_tensor(found).double(), torch.as_tensor(expected).double()
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


def test_it_is_one_short_file_on_torch_and_transformers_alone():
    text = NANO.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 400
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module.split(".")[0])
    assert imported - sys.stdlib_module_names == {"torch", "transformers"}


def test_the_same_prompts_and_known_facts(library, own):
    prompts, recall = library.prompts, library.recall
    assert np.array_equal(own.everyone.tokens, prompts.tokens[:, : prompts.length.max()])
    assert np.array_equal(own.everyone.cls, prompts.cls)
    assert np.array_equal(own.everyone.class_tokens, prompts.class_tokens)
    assert own.facts.at == recall.prompts.subject_last[0]
    assert np.array_equal(own.facts.tokens, recall.prompts.tokens)
    scores = library.recall.clean.scores
    assert len(own.facts.cls) >= 140 and bool(own.known.all())
    assert float(own.correct.float().mean()) == float(scores.correct.float().mean())


def test_the_same_direct_effects_and_heads(nano, library, own):
    found = nano.direct_effects(own.model, own.facts, own.clean, library.recall.others)
    expected = direct_effects(library.recall)
    assert relative(found, expected.heads) < 1e-5
    assert relative(found.mean(0), expected.heads.mean(0)) < 1e-5
    assert tuple(nano.rank_heads(found[own.selection])[:6]) == library.circuit.top_heads


@pytest.mark.parametrize("n_heads", [1, 3])
def test_the_same_readout(nano, library, own, n_heads):
    heads = library.circuit.top_heads[:n_heads]
    found = nano.readout(own.model, own.facts, own.clean, heads, own.selection)
    assert relative(found, head_readouts(library.recall, heads)[-1].weight) < 1e-5


def test_the_same_window(nano, library, own):
    circuit = library.circuit
    found = nano.window(own.model, own.facts, own.clean, own.heads, own.selection)
    assert found == (circuit.lookup_start, circuit.lookup_stop)


def test_the_same_effective_model(nano, library, own, own_stack):
    stack = library.stack
    _, _, first, last = own.facts.tables()
    assert np.array_equal(first, stack.entities.first) and np.array_equal(last, stack.entities.last)
    seen, run = own_stack.run(first, last), stack.run_entities()
    for index, number in enumerate(stack.numbers):
        assert relative(seen["mlp_out", number], run.mlp_out[index]) < 1e-4
        assert relative(seen["resid_post", number], run.resid[index + 1]) < 1e-4
    weight = nano.readout(own.model, own.facts, own.clean, own.heads, own.selection)
    predicted = nano.predict(seen["resid_post", stack.numbers[-1]], weight, run.output[own.selection].mean(0))
    expected = stack.readouts["sport"].predict(run.output)
    assert np.array_equal(predicted, expected)
    report = ~library.recall.selection
    accuracy = (expected == library.recall.cls)[report].mean()
    assert nano.share(predicted == own.facts.cls, ~own.selection) == accuracy > 0.9


def test_tables_of_main_effects_are_those_of_the_library_up_to_a_shift(library, own_stack):
    for name in ("first", "last"):
        found, expected = getattr(own_stack, name), getattr(library.stack, name)
        assert relative(found - found.mean(0), expected - expected.mean(0)) < 1e-4


@pytest.mark.parametrize("known", [True, False])
def test_the_same_broken_fractions(nano, library, own_stack, known):
    sample = reported(library.stack, library.settings)
    pairs = draw_pairs(sample, rng(0, "test_nano", str(known)), known=known, n_pairs=60, n_draws=16)
    assert len(pairs) == 60
    found = nano.broken_fractions(own_stack, [(p.a, p.b, p.draws) for p in pairs])
    expected = broken_fractions(sample, pairs)
    assert len(found) == len(expected)
    for (site, index), values in expected.items():
        here = found[site, sample.numbers[index]]
        assert relative(here, values) < 1e-5
        assert float(here.median()) == pytest.approx(np.sort(values)[(len(values) - 1) // 2], rel=1e-5)


def test_its_own_pairs_keep_their_promise(nano, library):
    entities = library.stack.entities
    names = list(zip(entities.first.tolist(), entities.last.tolist(), strict=True))
    for known in (True, False):
        pairs = nano.draw_pairs(names, set(names), 20, random.Random(0), known)
        assert len(pairs) == 20
        for a, b, draws in pairs:
            assert len(draws) == 16 and ({a, b} <= set(names)) == known
            assert not {(a[0], b[1]), (b[0], a[1])} & set(names)
            for c, d in draws:
                assert not {c, d} & set(names)
                assert all(len({name[i] for name in (a, b, c, d)}) == 4 for i in (0, 1))


def test_shuffling_moves_weights_and_leaves_the_model_alone(nano, own_stack):
    before = [p.clone() for *_, mlp in own_stack.layers for p in mlp.parameters()]
    null = nano.shuffled(own_stack, torch.Generator().manual_seed(0))
    after = [p for *_, mlp in own_stack.layers for p in mlp.parameters()]
    moved = [p for *_, mlp in null.layers for p in mlp.parameters()]
    for old, same, new in zip(before, after, moved, strict=True):
        assert torch.equal(old, same) and not torch.equal(old, new)
        assert torch.equal(old.flatten().sort().values, new.flatten().sort().values)


def test_run_by_itself_it_makes_the_same_choices_twice(nano, library, own, capsys):
    circuit = library.circuit
    nano.main(BUNDLED, own.path)
    first = capsys.readouterr().out
    nano.main(BUNDLED, own.path)
    assert capsys.readouterr().out == first
    assert f"window     MLPs {circuit.lookup_start}..{circuit.lookup_stop}\n" in first
    assert "156 of 156 facts" in first and len(first.splitlines()) == 8 + 2 * len(library.stack.numbers)
