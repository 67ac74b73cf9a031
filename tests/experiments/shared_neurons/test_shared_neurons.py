"""Shared neurons: literal ablations name by name, stacks whose sharing is known, and the model's own passes."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from circuit_world import SETTINGS, World, model, plain
from plain_neox import add
from plain_neurons import PlainNeurons, make, pair_detectors
from stack_maker import KINDS

from rote.asking import Recall, ask
from rote.circuit import OtherRelation, reading_heads, search
from rote.errors import NotApplicable
from rote.experiments import Study
from rote.experiments.shared_neurons.facts import choose, determines, linked_pairs
from rote.experiments.shared_neurons.measure import SharedNeurons
from rote.experiments.shared_neurons.model import model_effects, sources_of
from rote.experiments.shared_neurons.stack import Ablation, exact_effects, first_order_effects
from rote.experiments.sweeps import is_first_order
from rote.facts import build_prompts, read_facts
from rote.organisms import BUNDLED
from rote.records import Record
from rote.settings import Settings
from rote.statistics import rng

QUICK = Settings(n_bootstrap=50)
ASKED = ("sport", "league", "pet", "hand", "city")


def mean_abs(record: Record, condition: str) -> float:
    (row,) = [r for r in record.rows if (r.statistic, r.condition) == ("mean_abs_correlation", condition)]
    assert (row.layer, row.site, row.parameters) == (None, None, None)
    return row.value


# ------------------------------------------------------------------------ the twin


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_equals_a_loop_over_entities_facts_and_neurons(kind: str) -> None:
    stack = make(kind, n_relations=6, n_entities=40)
    record = SharedNeurons(n_entities=4, n_resamples=3)(stack, QUICK)
    plain_stack, entities, relations = PlainNeurons(stack), stack.entities, sorted(stack.readouts)
    report = np.flatnonzero(~entities.selection)
    known = np.stack([entities.cls[name] >= 0 for name in stack.readouts], axis=1)
    chosen = choose(
        known, entities.first, entities.last, where=~entities.selection, count=4, settings=QUICK, relation="sport"
    )
    runs = {i: plain_stack.run(i) for i in report}
    generator = rng(0, "shared_neurons/resample", "sport")
    cls = entities.cls["sport"][report]
    sources = [
        report[generator.choice(np.flatnonzero(cls != entities.cls["sport"][i]), size=3, replace=False)] for i in chosen
    ]
    correlations: dict[str, dict[tuple[str, str], list[float]]] = {"": {}, "_resample": {}}
    sizes: dict[str, list[float]] = {"": [], "_resample": []}
    for i, source in zip(chosen, sources, strict=True):
        for how, others in (("", [None]), ("_resample", list(source))):
            effects = {name: [] for name in relations}
            for layer in range(3):
                for n in range(16):
                    outputs = []
                    for j in others:
                        put = np.mean([runs[k][1][layer][n] for k in report]) if j is None else runs[j][1][layer][n]
                        outputs.append(plain_stack.run(i, {(layer, n): put})[2])
                    for name in relations:
                        before = plain_stack.answer(name, i, runs[i][2])
                        effects[name].append(np.mean([plain_stack.answer(name, i, x) - before for x in outputs]))
            of_entity = []
            for a in range(6):
                for b in range(a + 1, 6):
                    r = np.corrcoef(effects[relations[a]], effects[relations[b]])[0, 1]
                    if np.isfinite(r):
                        correlations[how].setdefault((relations[a], relations[b]), []).append(r)
                        of_entity.append(abs(r))
            sizes[how].append(np.mean(of_entity))
    for how in ("", "_resample"):
        assert mean_abs(record, "unlinked" + how) == pytest.approx(np.mean(sizes[how]), abs=1e-5)
        rows = [r for r in record.rows if (r.statistic, r.condition) == ("fact_correlation", "unlinked" + how)]
        assert len(rows) == len(correlations[how])
        for row in rows:
            pair = tuple(json.loads(row.parameters)["relations"])
            assert row.value == pytest.approx(np.mean(correlations[how][pair]), abs=1e-5)
            assert row.n == len(correlations[how][pair])
    assert [a.condition for a in record.absent] == ["linked", "linked_resample"]  # random facts are not linked


@pytest.mark.parametrize("kind", KINDS)
def test_first_order_effects_are_the_limit_of_small_exact_ones(kind: str) -> None:
    stack = make(kind, n_relations=5, n_entities=20)
    posts = [layer.post(x) for layer, x in zip(stack.layers, stack.run_entities().mlp_in, strict=True)]
    generator = torch.Generator().manual_seed(0)
    steps = [torch.randn(p.shape, generator=generator).double() for p in posts]
    tiny = Ablation(values=[(p + 1e-6 * s)[:, None] for p, s in zip(posts, steps, strict=True)])
    whole = Ablation(values=[(p + s)[:, None] for p, s in zip(posts, steps, strict=True)])
    small, slope = exact_effects(stack, tiny) / 1e-6, first_order_effects(stack, whole)
    assert np.array_equal(np.isnan(small), np.isnan(slope))
    assert np.nanmax(np.abs(small - slope)) < 1e-4 * np.nanmax(np.abs(slope))


def agreements(record: Record, stack: str = "random") -> dict[str, tuple[float, int | None]]:
    rows = [r for r in record.rows if r.statistic == "first_order_correlation" and r.stack == stack]
    return {r.condition or "": (r.value, r.n) for r in rows}


def test_first_order_mode_reports_its_agreement_with_exact_values() -> None:
    stack = make(n_relations=5)
    exact, first = SharedNeurons()(stack, QUICK), SharedNeurons(first_order=True, n_checked=48)(stack, QUICK)
    found = [agreements(record, stack.name)["random"][0] for record in (exact, first)]
    assert found[0] == pytest.approx(found[1])  # on all 48 neurons it is the same figure
    assert 0.3 < found[0] < 1
    assert mean_abs(exact, "unlinked") != pytest.approx(mean_abs(first, "unlinked"), abs=1e-6)
    part = agreements(SharedNeurons(first_order=True, n_checked=10)(stack, QUICK), stack.name)
    assert {name: n for name, (_, n) in part.items()} == {"random": 10, "top": 10}
    assert part["random"][0] != part["top"][0]


def test_the_setting_decides_between_exact_and_first_order() -> None:
    stack = make(n_relations=5)
    by_setting = {
        sweeps: mean_abs(SharedNeurons()(stack, replace(QUICK, sweeps=sweeps)), "unlinked")
        for sweeps in ("auto", "exact", "first_order")
    }
    exact = mean_abs(SharedNeurons(first_order=False)(stack, QUICK), "unlinked")
    assert by_setting["auto"] == by_setting["exact"] == exact
    assert by_setting["first_order"] == mean_abs(SharedNeurons(first_order=True)(stack, QUICK), "unlinked")
    assert is_first_order(QUICK, 1e20, "cpu") and not is_first_order(QUICK, 1e9, "cpu")
    assert not is_first_order(replace(QUICK, sweeps="exact"), 1e20, "cpu")


# ------------------------------------------------------------------------ theorems


@pytest.mark.parametrize("first_order", [False, True])
def test_detectors_of_names_are_shared_by_all_facts_and_neurons_of_their_own_by_none(first_order: bool) -> None:
    measure = SharedNeurons(first_order=first_order)
    shared = measure(pair_detectors(24, 5, shared=True), QUICK)
    apart = measure(pair_detectors(24, 5, shared=False), QUICK)
    assert mean_abs(shared, "unlinked") > 0.95
    assert mean_abs(apart, "unlinked") < 0.05
    assert mean_abs(shared, "unlinked_resample") > 0.9
    assert mean_abs(apart, "unlinked_resample") < 0.05


def test_linked_relations_stand_apart() -> None:
    stack = pair_detectors(40, 5, shared=False)
    cls = dict(stack.entities.cls)
    cls["r1"] = (cls["r0"] + 1) % 3  # league follows sport; each still has neurons of its own
    stack = replace(stack, entities=replace(stack.entities, cls=cls))
    record = SharedNeurons()(stack, QUICK)
    linked = [r for r in record.rows if r.statistic == "fact_correlation" and r.condition == "linked"]
    assert [json.loads(r.parameters)["relations"] for r in linked] == [["r0", "r1"]]
    unlinked = [r for r in record.rows if r.statistic == "fact_correlation" and r.condition == "unlinked"]
    assert len(unlinked) == 9
    assert not record.absent


def test_what_determines_what() -> None:
    generator = np.random.default_rng(0)
    sport, pet = generator.integers(0, 3, 200), generator.integers(0, 4, 200)
    league = np.array([2, 0, 1])[sport]
    cls = {"sport": sport, "league": league, "pet": pet}
    assert linked_pairs(cls) == {("league", "sport")}
    for share, expected in ((0.02, True), (0.2, False)):  # exceptions
        mostly = np.where(generator.random(200) < share, (league + 1) % 3, league)
        assert determines(sport, mostly) is expected
    team = 10 * sport + generator.integers(0, 10, 200)  # tells the sport, but no sport tells the team
    assert determines(team, sport)
    assert not determines(sport, team)
    hand = (np.arange(200) < 6).astype(int)  # 97 % are right-handed: whatever is guessed from is right that often
    assert not determines(pet, hand)
    assert not determines(np.arange(200), pet)  # a class for everyone: nobody to go by
    half = np.where(generator.random(200) < 0.5, league, -1)
    assert determines(sport, half)  # where it is not known it does not count
    assert not determines(sport, np.full(200, -1))


def test_the_chosen_have_four_facts_and_no_name_in_common() -> None:
    stack = make(n_relations=6)
    entities = stack.entities
    known = np.stack([entities.cls[name] >= 0 for name in stack.readouts], axis=1)
    known[::3, 2:] = False
    key = {"where": ~entities.selection, "count": 8, "settings": QUICK, "relation": "sport"}
    chosen = choose(known, entities.first, entities.last, **key)
    assert 2 <= len(chosen) <= 8
    assert (known[chosen].sum(axis=1) >= 4).all()
    assert not entities.selection[chosen].any()
    for tokens in (entities.first[chosen], entities.last[chosen]):
        assert len(set(tokens.tolist())) == len(chosen)


@pytest.mark.parametrize("n_relations", [1, 3])
def test_fewer_than_four_relations_are_no_task(n_relations: int) -> None:
    word = "relation" if n_relations == 1 else "relations"
    with pytest.raises(NotApplicable, match=f"{n_relations} known {word} at most; at least 4 are needed"):
        SharedNeurons()(make(n_relations=n_relations), QUICK)


def test_neurons_that_write_nothing_leave_no_correlation_and_no_nan() -> None:
    stack = pair_detectors(24, 5, shared=True)
    (layer,) = stack.layers
    silent = replace(stack, layers=(replace(layer, mlp=replace(layer.mlp, w_out=0 * layer.mlp.w_out)),))
    record = SharedNeurons()(silent, QUICK)
    assert not record.rows
    assert {a.statistic for a in record.absent} == {"mean_abs_correlation", "first_order_correlation"}


# ---------------------------------------------------------------------- the model


@cache
def people() -> Study:
    """60 people of whom five things are known."""
    table = read_facts(BUNDLED / "facts.json").select(ASKED)
    count = Counter(fact.entity for fact in table.facts)
    entities = set([e for e in table.entities if count[e] == len(ASKED)][:60])
    table = replace(table, facts=tuple(f for f in table.facts if f.entity in entities), left_out=(), fiction=())
    recalls = {}
    for relation in table.relations:
        prompts = build_prompts(table, relation.name, model().tokenizer)
        recalls[relation.name] = Recall.of(model(), prompts, ask(model(), prompts, SETTINGS).known, SETTINGS)
    recall, others = recalls.pop("sport"), recalls.values()
    asked = [build_prompts(table, "sport", model().tokenizer, asked_as=r.prompts.relation) for r in others]
    known = set(recall.names)
    return Study(
        prompts=build_prompts(table, "sport", model().tokenizer),
        known=ask(model(), recall.prompts, SETTINGS),
        recall=recall,
        circuit=search(recall),
        asked_otherwise=tuple(p.take([i for i, e in enumerate(p.entities) if e in known]) for p in asked),
        others=tuple(OtherRelation(recall=r, heads=reading_heads(r)) for r in others),
    )


def test_on_the_model_effects_are_those_of_its_own_forward_passes() -> None:
    study, twin = people(), plain()
    found = model_effects(study, count=2, pool=8, draws=1)
    assert set(found.relations) == set(ASKED)
    layers, table, entities = study.circuit.window.layers, read_facts(BUNDLED / "facts.json"), study.stack.entities
    where = ~entities.selection
    assert where.sum() <= SETTINGS.max_entities  # so every reported entity is a candidate
    names, known = np.array(entities.names)[where], np.stack([c[where] >= 0 for c in entities.cls.values()], axis=1)
    everyone = np.ones(len(names), dtype=bool)
    first, last, sport = entities.first[where], entities.last[where], entities.cls["sport"][where]
    chosen = choose(known, first, last, where=everyone, count=2, settings=SETTINGS, relation="sport")
    width = twin.hf.config.intermediate_size
    sources = sources_of(sport, chosen, 8, 1, width * len(layers), SETTINGS, "sport")
    assert all((sport[source] != sport[i]).all() for i, source in zip(chosen, sources, strict=True))
    for relation in ("sport", "city"):
        template = table.relation(relation).template
        attribute = {f.entity: f.attribute for f in table.of(relation)}
        ids = [twin.tokenizer.encode(template.replace("{}", name)) for name in names]
        ends = [len(twin.tokenizer.encode(f"Fact: {name}")) - 1 for name in names]
        traces = [twin.run(tokens) for tokens in ids]
        for layer, neuron in ((layers[0], 3), (layers[-1], 61)):
            weight = twin.block(layer, "mlp.dense_h_to_4h.weight")[neuron]
            bias = twin.block(layer, "mlp.dense_h_to_4h.bias")[neuron]
            read = [trace["mlp_in", layer][end] for trace, end in zip(traces, ends, strict=True)]
            normed = [twin.layer_norm(layer, "post_attention_layernorm", x) for x in read]
            posts = [float(torch.nn.functional.gelu(x @ weight + bias)) for x in normed]
            out, place = twin.block(layer, "mlp.dense_4h_to_h.weight")[:, neuron], layers.index(layer) * width + neuron
            for k, i in enumerate(chosen):
                token = twin.tokenizer.encode(f" {attribute[names[i]]}", add_special_tokens=False)[0]
                for how, put in (("mean", np.mean(posts)), ("resample", posts[sources[k][0, place]])):
                    shift = add(ends[i], (put - posts[i]) * out)
                    changed = twin.run(ids[i], {("mlp_out", layer): shift})
                    logs = [float(torch.log_softmax(t["logits"][-1], -1)[token]) for t in (changed, traces[i])]
                    effect = found.effects[how][k, found.relations.index(relation), place]
                    assert effect == pytest.approx(logs[0] - logs[1], rel=1e-5, abs=1e-9)


def test_on_model_and_effective_model_the_rows_stand_beside_the_reason_for_what_it_does_not_measure() -> None:
    whole = SharedNeurons(n_entities=2, n_resamples=4, n_model_resamples=1).record(people())
    assert not whole.absent
    for stack in ("model", "effective"):
        assert all(0.5 < value <= 1 for value, _ in agreements(whole, stack).values())
    for stack in ("model", "effective"):
        record = Record(rows=tuple(r for r in whole.rows if r.stack == stack))
        linked = [r for r in record.rows if r.statistic == "fact_correlation" and r.condition == "linked"]
        assert [json.loads(r.parameters)["relations"] for r in linked] == [["league", "sport"]]
        assert mean_abs(record, "linked") > mean_abs(record, "unlinked")
        assert mean_abs(record, "linked_resample") > mean_abs(record, "unlinked_resample")


def test_on_the_model_first_order_effects_resemble_the_exact_ones() -> None:
    exact, first = (model_effects(people(), count=2, pool=4, draws=1, first_order=f) for f in (False, True))
    assert np.array_equal(exact.first, first.first, equal_nan=True)
    assert np.array_equal(first.effects["mean"], first.first, equal_nan=True)
    some = np.array([0, 5, 77])
    np.testing.assert_allclose(first.exact(some), exact.effects["mean"][:, :, some], rtol=1e-4, atol=1e-7)
    for how, least in (("mean", 0.5), ("resample", 0.3)):  # a random value is further away than the mean
        correlation = np.corrcoef(exact.effects[how].ravel(), first.effects[how].ravel())[0, 1]
        assert least < correlation < 0.9999, how


def test_one_relation_alone_leaves_every_statistic_absent_on_model_and_stack(world: World) -> None:
    record = SharedNeurons().record(world.study)
    assert not record.rows
    assert {(a.stack, a.statistic) for a in record.absent} == {
        (stack, statistic)
        for stack in ("model", "effective")
        for statistic in ("fact_correlation", "mean_abs_correlation", "first_order_correlation")
    }
    assert {"1 known relation at most" in a.reason for a in record.absent} == {True}
