"""Shared neurons: literal ablations name by name, stacks whose sharing is known, and the model's own passes."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from circuit_world import SETTINGS, World, model, plain
from plain_neox import add
from plain_neurons import PlainNeurons, make, pair_detectors
from stack_maker import KINDS

from rote.circuit import Recall, ask, search
from rote.errors import NotApplicable
from rote.experiments import Study
from rote.experiments.shared_neurons import SharedNeurons
from rote.experiments.shared_neurons_facts import choose, determines, linked_pairs
from rote.experiments.shared_neurons_model import model_effects
from rote.experiments.shared_neurons_stack import Ablation, exact_effects, first_order_effects
from rote.facts import build_prompts, read_facts
from rote.organisms import BUNDLED
from rote.records import Record
from rote.settings import Settings
from rote.stack import Stack
from rote.statistics import rng

QUICK = Settings(n_bootstrap=50)


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


def test_first_order_mode_reports_its_agreement_with_exact_values() -> None:
    stack = make(n_relations=5)
    exact, first = SharedNeurons()(stack, QUICK), SharedNeurons(first_order=True, n_checked=48)(stack, QUICK)
    found = [[r.value for r in record.rows if r.statistic == "first_order_agreement"] for record in (exact, first)]
    assert found[0] == pytest.approx(found[1])  # on all 48 neurons it is the same figure
    assert 0.3 < found[0][0] < 1
    assert mean_abs(exact, "unlinked") != pytest.approx(mean_abs(first, "unlinked"), abs=1e-6)
    part = SharedNeurons(first_order=True, n_checked=10)(stack, QUICK)
    (row,) = [r for r in part.rows if r.statistic == "first_order_agreement"]
    assert row.n == 10


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
    assert {a.statistic for a in record.absent} == {"mean_abs_correlation", "first_order_agreement"}


# ---------------------------------------------------------------------- the model


@cache
def people() -> Study:
    """60 people of whom seven things are known, with a readout per relation in the effective model's place."""
    table = read_facts(BUNDLED / "facts.json")
    entities = set([e for e in table.entities if sum(f.entity == e for f in table.facts) == 7][:60])
    table = replace(table, facts=tuple(f for f in table.facts if f.entity in entities), left_out=(), fiction=())
    prompts = {r.name: build_prompts(table, r.name, model().tokenizer) for r in table.relations}
    known = {name: ask(model(), p, SETTINGS) for name, p in prompts.items()}
    recall = Recall.of(model(), prompts["sport"], known["sport"].known, SETTINGS)
    asked = [
        build_prompts(table, "sport", model().tokenizer, asked_as=r).take(known["sport"].known)
        for r in table.relations
        if r.name != "sport"
    ]
    study = Study(
        prompts=prompts["sport"],
        known=known["sport"],
        recall=recall,
        circuit=search(recall),
        asked_otherwise=tuple(asked),
    )
    study.__dict__["stack"] = _with_every_relation(study.stack, prompts, known)
    return study


def _with_every_relation(stack: Stack, prompts: dict, known: dict) -> Stack:  # type: ignore[type-arg]
    """The attributes of every relation; the readouts' weights are not used on the model."""
    readouts, cls = dict(stack.readouts), dict(stack.entities.cls)
    for name, p in prompts.items():
        if name != "sport":
            of = {e: int(c) for e, c, k in zip(p.entities, p.cls, known[name].known, strict=True) if k}
            weight = torch.zeros(len(stack.constant), len(p.classes), dtype=torch.float64)
            readouts[name] = replace(stack.readouts["sport"], relation=name, classes=p.classes, weight=weight)
            cls[name] = np.array([of.get(e, -1) for e in stack.entities.names])
    return replace(stack, readouts=readouts, entities=replace(stack.entities, cls=cls))


def test_on_the_model_effects_are_those_of_its_own_forward_passes() -> None:
    study, twin = people(), plain()
    found = model_effects(study, count=2, pool=8, draws=1)
    assert set(found.relations) == {"sport", "league", "instrument", "pet", "hand", "colour", "city"}
    layers, table = study.circuit.window.layers, read_facts(BUNDLED / "facts.json")
    names = list(study.stack.entities.names)
    report = [names[i] for i in np.flatnonzero(~study.stack.entities.selection)][: SETTINGS.max_entities]
    entities = study.stack.entities
    where = np.array([n in set(report) for n in names])
    assert where.sum() <= SETTINGS.max_entities  # so every reported entity is a candidate
    known = np.stack([c >= 0 for c in entities.cls.values()], axis=1)
    chosen = choose(known[where], entities.first[where], entities.last[where], where=np.ones(where.sum(), bool),
                    count=2, settings=SETTINGS, relation="sport")  # fmt: skip
    assert found.effects["mean"].shape == (2, 7, 80 * len(layers))
    width = 80
    for relation in ("sport", "city"):
        template = table.relation(relation).template
        attribute = {f.entity: f.attribute for f in table.of(relation)}

        def traced(name: str, changes: dict | None = None, template: str = template):  # type: ignore[no-untyped-def, type-arg]
            ids = twin.tokenizer.encode(template.replace("{}", name))
            last = len(twin.tokenizer.encode(f"Fact: {name}")) - 1
            return twin.run(ids, changes), last

        def post(name: str, layer: int, neuron: int) -> float:
            trace, last = traced(name)
            x = twin.layer_norm(layer, "post_attention_layernorm", trace["mlp_in", layer][last])
            pre = x @ twin.block(layer, "mlp.dense_h_to_4h.weight")[neuron]
            return float(torch.nn.functional.gelu(pre + twin.block(layer, "mlp.dense_h_to_4h.bias")[neuron]))

        for k, i in enumerate(chosen):
            name = report[i]
            token = twin.tokenizer.encode(f" {attribute[name]}", add_special_tokens=False)[0]
            for layer, neuron in ((layers[0], 3), (layers[-1], 61)):
                posts = [post(other, layer, neuron) for other in report]
                out = twin.block(layer, "mlp.dense_4h_to_h.weight")[:, neuron]
                shift = (np.mean(posts) - posts[i]) * out
                clean, last = traced(name)
                changed, _ = traced(name, {("mlp_out", layer): add(last, shift)})
                logs = [float(torch.log_softmax(t["logits"][-1], -1)[token]) for t in (changed, clean)]
                place = layers.index(layer) * width + neuron
                effect = found.effects["mean"][k, found.relations.index(relation), place]
                assert effect == pytest.approx(logs[0] - logs[1], rel=1e-5, abs=1e-9)


def test_on_the_model_the_rows_stand_beside_the_reason_for_what_it_does_not_measure() -> None:
    record = SharedNeurons(n_entities=2, n_resamples=4, n_model_resamples=1)._on_model(people())
    assert {r.stack for r in record.rows} == {"model"}
    linked = [r for r in record.rows if r.statistic == "fact_correlation" and r.condition == "linked"]
    assert [json.loads(r.parameters)["relations"] for r in linked] == [["league", "sport"]]
    assert mean_abs(record, "linked") > mean_abs(record, "unlinked")
    assert mean_abs(record, "linked_resample") > mean_abs(record, "unlinked_resample")
    assert [a.statistic for a in record.absent] == ["first_order_agreement"]


def test_one_relation_alone_leaves_every_statistic_absent_on_model_and_stack(world: World) -> None:
    record = SharedNeurons().measure(world.study)
    assert not record.rows
    assert {(a.stack, a.statistic) for a in record.absent} == {
        (stack, statistic)
        for stack in ("model", "effective")
        for statistic in ("fact_correlation", "mean_abs_correlation", "first_order_agreement")
    }
    assert {"1 known relation at most" in a.reason for a in record.absent} == {True}
