"""The look-up window and the effective model, against hooks and against a loop over names in numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from circuit_world import CLASSES, SETTINGS, World, model
from plain_neox import Trace, chain, put
from scipy.special import erf
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from test_circuit_readout import literal_weight
from torch import Tensor

from rote.asking import Recall
from rote.circuit import window
from rote.circuit.at_name import name_ablations, silenced
from rote.circuit.evidence import ClassAnswers, WindowEvidence, bootstrap_of, shares, window_evidence
from rote.circuit.window import Window, attention_curve, judge
from rote.facts import Fact, FactTable, build_prompts
from rote.facts.parts import NO_PART


def literal_attention_kept(world: World, start: int, draw: list[int] | None) -> np.ndarray:
    """Right or not through the readout when attention from a layer on is ablated at the name."""
    layer = world.circuit.readout_heads[0][0]  # the head reads what enters its block
    clean = {n: world.at_name("attn_out", n) for n in range(start, 6)}
    streams = []
    for i, ids in enumerate(world.full):
        changes = {
            ("attn_out", n): put(world.last[i], torch.stack(x).mean(0) if draw is None else x[draw[i]])
            for n, x in clean.items()
        }
        streams.append(world.plain.run(ids, changes)["resid_pre", layer][world.last[i]].double())
    x = torch.stack(streams)
    scores = (x - x.mean(0)) @ literal_weight(world, world.circuit.readout_heads)
    return np.array([int(s.argmax()) == c for s, c in zip(scores, world.cls, strict=True)])


def test_the_attention_curve_is_the_readouts_accuracy_without_attention_at_the_name(world: World) -> None:
    found = attention_curve(world.recall, world.circuit.readout_heads, "mean")
    n = world.circuit.readout_heads[0][0] + 1
    literal = np.array([literal_attention_kept(world, start, None) for start in range(n)])
    assert found.shape == literal.shape
    assert np.abs(found - literal).max() < 1e-9


def literal_loss(world: World, trace: Trace, i: int) -> float:
    """−log p of the class token, in the whole vocabulary."""
    return -float(torch.log_softmax(trace["logits"][-1].double(), -1)[world.class_tokens[world.cls[i]]])


def literal_increase(
    world: World, outputs: list[tuple[str, int]], draw: list[int] | None, *, everywhere: bool
) -> np.ndarray:
    """Rise of the loss with some outputs at the name's last token, or at both of its tokens, replaced one by one."""
    rises = []
    backs = (0, 1) if everywhere else (0,)
    values = {
        (part, back): [trace[part][s - back] for trace, s in zip(world.clean, world.last, strict=True)]
        for part in outputs
        for back in backs
    }
    for i, ids in enumerate(world.full):
        changes = {}
        for part in outputs:
            puts = []
            for back in backs:
                x = values[part, back]
                puts.append(put(world.last[i] - back, torch.stack(x).mean(0) if draw is None else x[draw[i]]))
            changes[part] = chain(*puts)
        rises.append(literal_loss(world, world.plain.run(ids, changes), i) - literal_loss(world, world.clean[i], i))
    return np.array(rises)


@pytest.mark.parametrize("where", ["subject_last", "name"])
def test_what_is_silenced_at_the_name_costs_what_hooks_say(world: World, where: str) -> None:
    parts, outputs = [("attn", 2), ("mlp", 1)], [("attn_out", 2), ("mlp_out", 1)]
    everywhere = where == "name"
    mean = literal_increase(world, outputs, None, everywhere=everywhere)
    found = silenced(world.recall, parts, "mean", where, kl=True)
    assert np.abs(found.increase - mean).max() < 1e-5 * max(1, np.abs(mean).max())
    draws = [literal_increase(world, outputs, draw, everywhere=everywhere) for draw in world.others]
    found = silenced(world.recall, parts, "resample", where)
    assert np.abs(found.increase - np.mean(draws, axis=0)).max() < 1e-5 * max(1, np.abs(draws).max())


BEFORE: dict[str, Callable[[int], int]] = {"last_word": lambda n: n - 1, "first_word": lambda n: min(1, n - 1)}


@pytest.mark.parametrize("split", BEFORE)
def test_tokens_are_ablated_by_their_role_the_last_part_from_its_end_the_first_from_its_start(
    world: World, split: str
) -> None:
    """Names of one to three words of one token each: every token takes the mean over the names that have its role."""
    words = [fact.entity.split() for fact in world.recall.prompts.facts[::3]]
    names = [f"{a} {b}" for a, b in words[:10]] + [f"{words[i][0]} {words[i + 1][0]} {words[i][1]}" for i in range(8)]
    names += [words[i][1] for i in range(3)]
    facts = tuple(Fact(entity=n, relation="sport", attribute=CLASSES[i % 3]) for i, n in enumerate(names))
    table = FactTable(name="lengths", relations=(world.prompts.relation,), facts=facts)
    prompts = build_prompts(table, "sport", model().tokenizer, split=split)
    recall = Recall.of(model(), prompts, np.ones(len(facts), dtype=bool), SETTINGS)

    values: dict[tuple[str, int], list[Tensor]] = {}
    roles: dict[tuple[int, int], tuple[str, int]] = {}  # of a fact's token, by its position
    for fact, name in enumerate(names):
        n, trace = len(name.split()), world.plain.run(world.ids(name))
        start = len(world.plain.tokenizer.encode(f"Fact: {name}")) - n
        for token in range(n):
            before = BEFORE[split](n)
            role = ("first", token) if token < before else ("last", n - 1 - token)
            values.setdefault(role, []).append(trace["mlp_out", 1][start + token])
            roles[fact, start + token] = role
    assert len(values) == 3  # two-token parts on one side, one-token parts on the other

    (edits,) = name_ablations(recall, [("mlp", 1)], "mean", "name")
    for (fact, position), role in roles.items():
        put = [
            e.value[fact]
            for e in edits
            if e.position is not None and e.value is not None and int(e.position[fact]) == position
        ]
        wanted = torch.stack(values[role]).mean(0)
        assert put and all(torch.allclose(value, wanted, rtol=1e-5, atol=1e-7) for value in put), (names[fact], role)
    touched = {(fact, int(e.position[fact])) for e in edits if e.position is not None for fact in range(len(names))}
    assert touched == set(roles)  # every token of every name, and nothing else


def test_the_window_begins_where_nearly_all_of_the_loss_is_kept_away(world: World) -> None:
    """kept(L) by its definition, on the selection half; on the organism no interval leaves anything open there."""
    half, layers = world.selection, range(6)
    every = [(part, layer) for part in ("attn_out", "mlp_out") for layer in layers]
    total = literal_increase(world, every, None, everywhere=False)
    kept = [
        1 - literal_increase(world, [("attn_out", n) for n in range(start, 6)], None, everywhere=False)[half].mean()
        / total[half].mean()
        for start in range(world.circuit.readout_heads[0][0] + 1)
    ]  # fmt: skip
    assert world.circuit.attention_from == next(layer for layer, share in enumerate(kept) if share > 0.9)
    assert kept[world.circuit.attention_from - 1] < 0.5


@pytest.mark.parametrize("start", [0, 1, 3])
def test_the_attention_curve_under_resampling_is_the_share_of_draws(world: World, start: int) -> None:
    found = attention_curve(world.recall, world.circuit.readout_heads, "resample")[start]
    literal = np.mean([literal_attention_kept(world, start, draw) for draw in world.others], axis=0)
    assert np.abs(found - literal).max() < 1e-9


def test_lookup_stop_is_where_the_readout_has_reached_its_plateau_for_certain(world: World) -> None:
    """On name-only prompts with late attention mean-ablated, on the selection half."""
    start, reads = world.circuit.window.start, world.circuit.readout_heads[0][0]
    names = [world.names[i] for i in world.selection]
    clean = [world.plain.run(ids) for ids in names]
    means = {
        n: torch.stack([t["attn_out", n][2] for t in clean]).mean(0) for n in range(world.circuit.attention_from, 6)
    }
    traces = [world.plain.run(ids, {("attn_out", n): put(2, value) for n, value in means.items()}) for ids in names]
    plateau = {}
    for layer in range(start, reads):
        x = torch.stack([t["resid_post", layer][2].double() for t in traces])
        scores = (x - x.mean(0)) @ literal_weight(world, world.circuit.readout_heads)
        plateau[layer] = np.mean(
            [int(s.argmax()) == world.cls[i] for s, i in zip(scores, world.selection, strict=True)]
        )
    stop = world.circuit.lookup_stop
    assert stop is not None and plateau[stop] > 0.9 * max(plateau.values())
    earlier = [layer for layer in plateau if layer < stop and plateau[layer] > 0.9 * max(plateau.values())]
    # a layer before it may have reached as much, where its interval does not say so for certain
    assert not earlier or "Where it ends is undecided" in str(world.circuit.borders)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + erf(x / np.sqrt(2))) / 2


def literal_effective(world: World, tables: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """The window's output for every known name, name by name in numpy, attention frozen at its mean."""
    plain, stack = world.plain, world.study.stack
    first, last, constant = tables
    outputs = []
    for i in range(len(world.recall)):
        x = first[stack.entities.first[i]] + last[stack.entities.last[i]] + constant
        for n in world.circuit.window.layers:
            norm = "post_attention_layernorm"
            weight, bias, w_in, b_in, w_out, b_out = (
                plain.block(n, name).numpy()
                for name in (
                    f"{norm}.weight", f"{norm}.bias",
                    "mlp.dense_h_to_4h.weight", "mlp.dense_h_to_4h.bias",
                    "mlp.dense_4h_to_h.weight", "mlp.dense_4h_to_h.bias",
                )
            )  # fmt: skip
            normed = (x - x.mean()) / np.sqrt(x.var() + plain.eps) * weight + bias
            mlp = w_out @ gelu(w_in @ normed + b_in) + b_out
            attention = torch.stack(world.at_name("attn_out", n, name_only=True)).double().mean(0).numpy()
            x = x + attention + mlp
        outputs.append(x)
    return np.array(outputs)


def test_the_effective_model_is_a_loop_over_names(world: World) -> None:
    stack = world.study.stack
    tables = tuple(x.double().numpy() for x in (stack.first, stack.last, stack.constant))
    literal = literal_effective(world, tables)
    found = stack.run_entities().output.double().numpy()
    assert np.abs(found - literal).max() < 1e-5 * np.abs(literal).max()
    weight = literal_weight(world, world.circuit.readout_heads).numpy()
    scores = (literal - literal[world.selection].mean(0)) @ weight
    predicted = scores.argmax(1)
    readout = stack.readouts["sport"]
    assert (readout.predict(stack.run_entities().output) == predicted).all()
    accuracy = (predicted == world.cls)[world.report].mean()
    assert accuracy > 0.9
    assert [world.entities.index(name) for name in stack.entities.names] == list(range(len(world.recall)))


def literal_logistic(x: np.ndarray, cls: np.ndarray, train: np.ndarray, strength: float) -> np.ndarray:
    scaler = StandardScaler().fit(x[train])
    fit = LogisticRegression(C=strength, max_iter=1000).fit(scaler.transform(x[train]), cls[train])
    return fit.predict(scaler.transform(x)) == cls


def test_the_additive_model_is_judged_on_entities_that_it_was_not_fitted_on(world: World) -> None:
    evidence = evidence_of(world)
    stack, cls, train = world.study.stack, np.array(world.cls), world.recall.selection
    e = stack.entities
    x = (stack.first[torch.as_tensor(e.first)] + stack.last[torch.as_tensor(e.last)] + stack.constant).double().numpy()
    options = [literal_logistic(x, cls, train, strength)[world.report] for strength in (0.001, 0.01, 0.1, 1.0)]
    assert any(np.mean(o != evidence.additive.correct[world.report]) < 0.03 for o in options)
    assert evidence.model.correct.tolist() == [world.right(t, i) for i, t in enumerate(world.clean)]
    losses = [-float(torch.log_softmax(t["logits"][-1][world.class_tokens].double(), -1)[c]) for t, c in
              zip(world.clean, world.cls, strict=True)]  # fmt: skip
    assert np.abs(evidence.model.loss - losses).max() < 1e-5


def evidence_of(world: World) -> WindowEvidence:
    window = world.circuit.window
    return window_evidence(world.recall, world.circuit.readout_heads, window.start, window.stop)


def test_the_deciding_shares_are_ratios_of_mean_losses(world: World) -> None:
    found, half = evidence_of(world), ~world.recall.selection
    resamples = bootstrap_of(world.recall, found.facts, "window_evidence")
    decided = shares(found, half, resamples)
    removable = (found.additive.loss - found.model.loss)[half].mean()
    assert decided.removable.value == pytest.approx(removable)
    for how, estimate in decided.needed.items():
        lost = (found.without[how].loss - found.model.loss)[half].mean()
        assert estimate.value == pytest.approx(lost / removable)
    assert decided.found.value == pytest.approx(
        (found.additive.loss - found.stack.loss)[half].mean() / (found.additive.loss - found.readable.loss)[half].mean()
    )
    assert decided.found.value > 0.9 and min(e.value for e in decided.needed.values()) > 0.9  # the planted look-up


def made(world: World, *, model: float, without: float, additive: float, stack: float, noise: float) -> WindowEvidence:
    """Evidence with these mean losses, which vary by `noise` from name to name."""
    n = len(world.recall)
    draw = np.random.default_rng(0)

    def answers(loss: float) -> ClassAnswers:
        return ClassAnswers(correct=np.ones(n), loss=loss + noise * draw.standard_normal(n))

    return WindowEvidence(
        facts=np.arange(n),
        exact=False,
        model=answers(model),
        without={"mean": answers(without), "resample": answers(without)},
        additive=answers(additive),
        stack=answers(stack),
        readable=answers(model),
    )


@pytest.mark.parametrize(
    ("losses", "words", "open_to"),
    [
        ({"model": 0.0, "without": 1.0, "additive": 1.0, "stack": 0.0}, None, None),
        ({"model": 0.0, "without": 1.0, "additive": 0.02, "stack": 0.0}, "next to nothing is left", "undecided"),
        ({"model": 0.0, "without": 0.2, "additive": 1.0, "stack": 0.0}, "does not need these MLPs", "undecided"),
        ({"model": 0.0, "without": 1.0, "additive": 1.0, "stack": 0.9}, "formed elsewhere", "undecided"),
    ],
)
def test_a_window_is_there_or_not_by_the_ends_of_intervals(
    world: World, losses: dict[str, float], words: str | None, open_to: str | None
) -> None:
    """Each case with its figures; the same means with wide intervals are undecided, never a word."""
    judged = judge(world.recall, made(world, **losses, noise=0.01))
    assert (judged.reason is None) == (words is None) and judged.doubt is None
    if words is not None:
        assert words in str(judged.reason) and "nats [" in str(judged.reason)
    vague = judge(world.recall, made(world, **losses, noise=30.0))
    assert vague.reason is None and "undecided" in str(vague.doubt)


def test_names_of_one_token_alone_decide_no_look_up(world: World) -> None:
    """What a single token brings along is told, and called so; the same evidence on names of two parts decides."""
    there = made(world, model=0.0, without=1.0, additive=1.0, stack=0.0, noise=0.01)
    assert judge(world.recall, there).doubt is None
    single = replace(world.recall.prompts, first=np.full(len(world.recall), NO_PART), cut=0 * world.recall.prompts.cut)
    judged = judge(replace(world.recall, prompts=single), there)
    assert judged.reason is None and "what a single token brings along" in str(judged.doubt)


def test_where_later_mlps_stand_in_for_the_first_all_of_them_are_the_window(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redundant layers: the model does without those up to the plateau, and not without all that the readout reads."""
    last = world.circuit.readout_heads[0][0] - 1
    small = Window(attention_from=1, start=1, stop=1)
    monkeypatch.setattr(window, "_plateau", lambda *_: window._Layer(layer=small.stop))

    def found(stop_needed: int) -> Window:
        def evidence(_: object, __: object, start: int, stop: int) -> WindowEvidence:
            without = 1.0 if stop >= stop_needed else 0.0
            return made(world, model=0.0, without=without, additive=1.0, stack=0.0, noise=0.01)

        monkeypatch.setattr(window, "window_evidence", evidence)
        return window.find_window(world.recall, world.circuit.readout_heads)

    assert found(last).layers == tuple(range(1, last + 1)) and "not without those up to" in str(found(last).borders)
    assert found(1).layers == (1,) and found(1).borders is None  # the control: the first are needed
    assert "does not need these MLPs" in str(found(last + 1).reason)  # and where none are


def test_where_earlier_mlps_have_done_it_all_these_are_the_window(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A beginning that its interval leaves open is taken where the model does without what lies behind it alone."""
    begins = window._Layer(layer=3, doubt="open between 1 and 3", possible=1)
    monkeypatch.setattr(window, "_attention", lambda *_: begins)
    monkeypatch.setattr(window, "_plateau", lambda _, __, ___, start, ____: window._Layer(layer=start))

    def found(needed: int) -> Window:
        def evidence(_: object, __: object, start: int, stop: int) -> WindowEvidence:
            without = 1.0 if start <= needed <= stop else 0.0
            return made(world, model=0.0, without=without, additive=1.0, stack=0.0, noise=0.01)

        monkeypatch.setattr(window, "window_evidence", evidence)
        return window.find_window(world.recall, world.circuit.readout_heads)

    assert found(1).layers == (1,) and found(1).attention_from == 1
    assert "open between 1 and 3" in str(found(1).borders) and "does without MLPs 3 to 3" in str(found(1).borders)
    assert found(3).layers == (3,) and found(3).borders == "open between 1 and 3"  # the control: the later is needed
    assert "does not need these MLPs" in str(found(0).reason)


def test_ablations_that_disagree_decide_nothing(world: World) -> None:
    one = made(world, model=0.0, without=1.0, additive=1.0, stack=0.0, noise=0.01)
    other = made(world, model=0.0, without=0.1, additive=1.0, stack=0.0, noise=0.01)
    both = replace(one, without={"mean": one.without["mean"], "resample": other.without["mean"]})
    assert judge(world.recall, both).reason is None
    assert "undecided" in str(judge(world.recall, both).doubt)


def test_shuffled_weights_look_nothing_up(world: World) -> None:
    """They do no better than chance, nor than the sum of the two names does without any MLP."""
    stack, cls = world.study.stack, np.array(world.cls)

    def accuracy(output: Tensor) -> float:
        right = stack.readouts["sport"].centred_on(output).predict(output) == cls
        return float(right[world.report].mean())

    shuffled = [accuracy(stack.shuffled(np.random.default_rng(seed)).run_entities().output) for seed in range(20)]
    assert np.mean(shuffled) < 1 / 3 + 0.05
    assert max(shuffled) < 0.6
    assert abs(np.mean(shuffled) - accuracy(stack.run_entities().resid[0])) < 0.1
    assert accuracy(stack.run_entities().output) > 0.9
