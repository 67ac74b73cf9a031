"""Class neurons: a literal search over neurons, what chance finds, and neurons that were planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from circuit_world import SETTINGS, World, value
from plain_neox import add
from plain_neurons import PlainNeurons, cosine, gram_schmidt, loop_auc, make, with_classes, with_mlp
from scipy.stats import mannwhitneyu
from stack_maker import KINDS

from rote.errors import NotApplicable
from rote.experiments.class_neurons.measure import ClassNeurons
from rote.experiments.class_neurons.search import halves, sampled_halves
from rote.records import Record
from rote.settings import Settings
from rote.stack import Stack
from rote.statistics import rng

QUICK = Settings(n_bootstrap=50)
EXPERIMENT = ClassNeurons(n_permutations=3)
CLASSES = ("a", "b", "c")


def best(record: Record, cls: str, condition: str = "best"):  # type: ignore[no-untyped-def]
    (row,) = [
        r
        for r in record.rows
        if (r.statistic, r.condition, r.cls) == ("neuron_auc", condition, cls) and r.neuron is not None
    ]
    return row


# ------------------------------------------------------------------------ the twin


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_equals_a_loop_over_names_and_neurons(kind: str) -> None:
    stack = make(kind)
    record, plain = EXPERIMENT(stack, QUICK), PlainNeurons(stack)
    cls, selection = stack.entities.cls["sport"], stack.entities.selection
    runs = [plain.run(i) for i in range(len(cls))]
    names = [(layer, n) for layer in range(3) for n in range(16)]
    posts = {(layer, n): np.array([r[1][layer][n] for r in runs]) for layer, n in names}

    def search(on: np.ndarray, labels: np.ndarray, c: int) -> tuple[tuple[int, int], float]:
        """The neuron of highest AUC on one half, the first of equals."""
        aucs = [loop_auc(posts[name][on], labels == c) for name in names]
        return names[int(np.argmax(aucs))], max(aucs)

    found, p = [search(selection, cls[selection], c) for c in range(3)], []
    for c, (name, auc) in enumerate(found):
        row, report = best(record, CLASSES[c]), posts[name][~selection]
        assert (row.layer, row.neuron) == (4 + name[0], name[1])
        assert row.value == pytest.approx(loop_auc(report, cls[~selection] == c), abs=1e-9)
        assert best(record, CLASSES[c], "in_sample").value == pytest.approx(auc, abs=1e-9)
        own = cls[~selection] == c
        test = mannwhitneyu(report[own], report[~own], alternative="greater", method="asymptotic", use_continuity=False)
        p.append(test.pvalue)
    for c, own_p in enumerate(p):  # Benjamini and Hochberg (1995): the least p·m/rank of those not below it
        adjusted = min(min(1.0, q * len(p) / sum(r <= q for r in p)) for q in p if q >= own_p)
        assert best(record, CLASSES[c]).p_adjusted == pytest.approx(adjusted, rel=1e-6)
    mean = np.mean([best(record, name).value for name in CLASSES])
    assert value(record, "neuron_auc", condition="best", cls=None) == pytest.approx(mean)

    generator, permuted = rng(0, "class_neurons", "sport"), []
    for _ in range(3):
        drawn = [generator.permutation(cls[half]) for half in (selection, ~selection)]
        again = [search(selection, drawn[0], c) for c in range(3)]
        held = [loop_auc(posts[name][~selection], drawn[1] == c) for c, (name, _) in enumerate(again)]
        permuted.append(([auc for _, auc in again], held))
    for k, condition in enumerate(("in_sample_permuted", "permuted")):
        values = np.array([pair[k] for pair in permuted])
        for c in range(3):
            row = value(record, "neuron_auc", condition=condition, cls=CLASSES[c])
            assert row == pytest.approx(values[:, c].mean(), abs=1e-9)
        assert value(record, "neuron_auc", condition=condition, cls=None) == pytest.approx(values.mean(), abs=1e-9)

    weights(record, stack, plain, runs, [name for name, _ in found])


def weights(record: Record, stack: Stack, plain: PlainNeurons, runs: list, chosen: list[tuple[int, int]]) -> None:  # type: ignore[type-arg]
    """Losses, cosines, AUC without the directions, direct effect of the chosen neurons."""
    cls, report = stack.entities.cls["sport"], np.flatnonzero(~stack.entities.selection)
    readout = stack.readouts["sport"].weight.numpy()
    without = []
    for c, (layer, n) in enumerate(chosen):
        at, own = stack.layers[layer], [i for i in report if cls[i] == c]
        post = np.array([runs[i][1][layer][n] for i in report])
        for condition, change in (("kept", {}), ("mean", {(layer, n): post.mean()}), ("zero", {(layer, n): 0.0})):
            loss = np.mean([-plain.answer("sport", i, plain.run(i, change)[2]) for i in own])
            key = {"condition": condition, "cls": CLASSES[c]}
            assert value(record, "class_loss_nats", **key) == pytest.approx(loss, rel=1e-5, abs=1e-6)

        def fold(w: np.ndarray, layer: int = layer) -> np.ndarray:
            norm = stack.layers[layer].norm
            return w if norm is None else plain.seen(layer, norm.weight.numpy() * w)

        ins = [(at.mlp.w_in if at.mlp.w_gate is None else at.mlp.w_gate)[:, n].numpy(), at.mlp.w_in[:, n].numpy()]
        written = at.mlp.w_out[n].numpy()
        if at.out_norm is not None:
            written = written * at.out_norm.weight.numpy()
        others = np.mean([readout[:, k] for k in range(3) if k != c], axis=0)
        difference = readout[:, c] - others
        three = [plain.seen(layer, d) for d in (written, readout[:, c], difference)]
        for condition, direction in zip(("output", "readout", "readout_difference"), three, strict=True):
            key = {"condition": condition, "cls": CLASSES[c]}
            assert value(record, "cosine", **key) == pytest.approx(cosine(fold(ins[0]), direction), abs=1e-9)
        basis, left = gram_schmidt(three), []
        for i in report:
            x = runs[i][0][layer]
            pres = [pre[n] for pre in plain.pres(layer, x)]
            for k, w in enumerate(ins[: len(pres)]):
                removed = sum((fold(w) @ b) * b for b in basis)
                pres[k] = pres[k] - plain.seen(layer, x) @ removed / plain.scale(layer, x)
            left.append(float(plain.post_of(layer, [np.array(p) for p in pres])))
        without.append(loop_auc(np.array(left), cls[report] == c))
        assert value(record, "auc_without_directions", cls=CLASSES[c]) == pytest.approx(without[-1], abs=1e-9)
        if at.out_norm is not None:
            every = [plain.run(i)[1][layer] @ at.mlp.w_out.numpy() + at.mlp.b_out.numpy() for i in range(len(cls))]
            written = written / np.mean([np.sqrt((y**2).mean() + at.out_norm.eps) for y in every])
        effect = written @ difference * post.std()
        assert value(record, "direct_effect", cls=CLASSES[c]) == pytest.approx(effect, rel=1e-6)
    assert value(record, "auc_without_directions", cls=None) == pytest.approx(np.mean(without), abs=1e-9)


# ------------------------------------------------------------------------ theorems


def planted(stack: Stack, layer: int, neuron: int) -> Stack:
    """Classes that are the thirds of one neuron's activation, class 2 highest; the neuron writes class 2's readout."""
    readout, written = stack.readouts["sport"].weight, stack.layers[layer].mlp.w_out.clone()
    written[neuron] = 1.5 * (readout[:, 2] - readout[:, :2].mean(1))
    stack = with_mlp(stack, layer, w_out=written)
    run = stack.run_entities()
    centred = replace(stack.readouts["sport"].centred_on(run.output), temperature=4.0)
    post = stack.layers[layer].post(run.mlp_in[layer])[:, neuron].numpy()
    stack = replace(stack, readouts={"sport": centred})
    return with_classes(stack, np.searchsorted(np.quantile(post, [1 / 3, 2 / 3]), post))


def test_permuted_labels_show_the_selection_effect_in_sample_only_and_a_planted_neuron_stands_out() -> None:
    stack = make("parallel LayerNorm")
    record = ClassNeurons(n_permutations=20)(stack, QUICK)  # its classes are random: nothing is to be found
    for condition, lowest in (("permuted", None), ("in_sample_permuted", 0.55)):
        (row,) = [r for r in record.rows if r.condition == condition and r.cls is None]
        if lowest is None:
            assert row.ci_low < 0.5 < row.ci_high
        else:
            assert row.ci_low > lowest
    (row,) = [r for r in record.rows if (r.statistic, r.condition, r.cls) == ("neuron_auc", "best", None)]
    assert row.ci_low < 0.5 < row.ci_high
    assert value(record, "neuron_auc", condition="in_sample", cls=None) > 0.6

    record = ClassNeurons(n_permutations=20)(planted(stack, 1, 5), QUICK)
    row = best(record, "c")
    assert (row.layer, row.neuron) == (5, 5)
    assert row.value == 1.0
    assert row.p_adjusted < 1e-4
    (null,) = [r for r in record.rows if (r.condition, r.cls) == ("permuted", "c")]
    assert null.ci_high < 1.0


def test_ablating_the_planted_neuron_costs_its_class_and_a_random_one_little() -> None:
    stack = make("sequential LayerNorm")
    awake = with_mlp(stack, 2, b_in=stack.layers[2].mlp.b_in.index_fill(0, torch.tensor([7]), 3.0))
    stack = planted(awake, 2, 7)
    record = EXPERIMENT(stack, QUICK)
    kept, mean, zero = (value(record, "class_loss_nats", condition=c, cls="c") for c in ("kept", "mean", "zero"))
    assert kept + 0.1 < mean < zero
    assert value(record, "direct_effect", cls="c") > 1
    silent = with_mlp(stack, 2, w_out=stack.layers[2].mlp.w_out.index_fill(0, torch.tensor([7]), 0.0))
    record = EXPERIMENT(silent, QUICK)
    kept, zero = (value(record, "class_loss_nats", condition=c, cls="c") for c in ("kept", "zero"))
    assert kept == pytest.approx(zero)
    assert [a.statistic for a in record.absent if a.cls == "c"] == ["cosine"]  # it writes nothing


def test_scaling_the_residual_stream_changes_no_auc_and_no_cosine() -> None:
    stack = make("parallel LayerNorm")
    layers = tuple(
        replace(
            layer,
            attention=3 * layer.attention,
            norm=replace(layer.norm, eps=9 * layer.norm.eps),
            mlp=replace(layer.mlp, w_out=3 * layer.mlp.w_out, b_out=3 * layer.mlp.b_out),
        )
        for layer in stack.layers
    )
    scaled = replace(stack, first=3 * stack.first, last=3 * stack.last, constant=3 * stack.constant, layers=layers)
    before, after = EXPERIMENT(stack, QUICK), EXPERIMENT(scaled, QUICK)
    for old, new in zip(before.rows, after.rows, strict=True):
        assert old.key == new.key
        if old.statistic in ("neuron_auc", "cosine", "auc_without_directions"):
            assert new.value == pytest.approx(old.value, abs=1e-9)
        elif old.statistic == "direct_effect":  # what is scaled does change
            assert new.value == pytest.approx(3 * old.value)


@pytest.mark.parametrize("kind", ["parallel LayerNorm", "parallel gated", "sequential without norm and bias"])
def test_a_neuron_that_reads_only_the_three_directions_knows_nothing_without_them(kind: str) -> None:
    stack = make(kind)
    readout, mlp, norm = stack.readouts["sport"].weight, stack.layers[0].mlp, stack.layers[0].norm
    reads = mlp.w_out[3] + 2 * readout[:, 2] + readout @ torch.tensor([0.0, 0.0, 1.0]).double()
    reads = (reads if norm is None else reads / norm.weight)[:, None]
    change = {name: getattr(mlp, name).index_copy(1, torch.tensor([3]), reads)
              for name in ("w_in", "w_gate") if getattr(mlp, name) is not None}  # fmt: skip
    booster = with_mlp(stack, 0, **change)
    post = booster.layers[0].post(booster.run_entities().mlp_in[0])[:, 3].numpy()
    booster = with_classes(booster, np.searchsorted(np.quantile(post, [1 / 3, 2 / 3]), post))
    record = EXPERIMENT(booster, QUICK)
    assert (best(record, "c").layer, best(record, "c").neuron) == (4, 3)
    assert best(record, "c").value == 1.0
    assert value(record, "auc_without_directions", cls="c") == 0.5
    reader = planted(stack, 0, 3)  # the positive control reads other directions too
    assert value(EXPERIMENT(reader, QUICK), "auc_without_directions", cls="c") > 0.6


def test_constant_neurons_tell_nothing_and_nothing_is_nan() -> None:
    stack = make("parallel LayerNorm")
    for layer in range(3):
        stack = with_mlp(stack, layer, w_in=torch.zeros_like(stack.layers[layer].mlp.w_in))
    record = EXPERIMENT(stack, QUICK)
    aucs = [r for r in record.rows if r.statistic in ("neuron_auc", "auc_without_directions")]
    assert {r.value for r in aucs} == {0.5}
    assert {r.p_adjusted for r in aucs if r.p_adjusted is not None} == {1.0}
    assert {r.value for r in record.rows if r.statistic == "direct_effect"} == {0.0}
    assert {a.statistic for a in record.absent} == {"cosine"}
    assert not [r for r in record.rows if r.statistic == "cosine"]


def test_on_controls_the_rows_of_a_class_are_the_same_for_every_member() -> None:
    records = [EXPERIMENT.for_controls()(make(seed=seed), QUICK) for seed in (0, 1)]
    keys = [[(r.statistic, r.condition, r.cls, r.layer, r.neuron) for r in record.rows] for record in records]
    assert keys[0] == keys[1]
    assert {r.neuron for r in records[0].rows} == {None}
    whole = EXPERIMENT(make(), QUICK)  # the positive control names them, and finds the same
    assert [r.value for r in whole.rows if r.condition == "best"] == [
        r.value for r in records[0].rows if r.condition == "best"
    ]


# ------------------------------------------------------------------------- halves


def test_halves_are_the_stacks_own_or_drawn_anew_where_one_is_too_small() -> None:
    entities = make().entities
    assert np.array_equal(halves(entities, "sport", QUICK), entities.selection)
    for selection in (np.zeros(72, bool), np.arange(72) < 11, np.ones(72, bool)):
        new = halves(replace(entities, selection=selection), "sport", QUICK)
        for c in range(3):
            of_class = entities.cls["sport"] == c
            assert abs(int(new[of_class].sum()) - int((~new[of_class]).sum())) <= 1
    some = sampled_halves(entities.cls["sport"], entities.selection, "sport", Settings(max_entities=20))
    assert [int(entities.selection[some].sum()), int((~entities.selection[some]).sum())] == [20, 20]


def test_a_class_that_is_too_rare_is_absent_with_its_reason_and_one_class_alone_is_no_task() -> None:
    stack = make()
    rare = np.where(np.arange(72) == 0, 2, np.arange(72) // 2 % 2)
    record = EXPERIMENT(with_classes(stack, rare), QUICK)
    assert {a.cls for a in record.absent} == {"c"}
    assert "at least 2 of each are needed" in record.absent[0].reason
    assert {r.cls for r in record.rows} == {"a", "b", None}
    with pytest.raises(NotApplicable, match="no class"):
        EXPERIMENT(with_classes(stack, np.zeros(72, int)), QUICK)


# ---------------------------------------------------------------------- the model


def test_on_the_model_neurons_are_ablated_in_its_own_forward_passes(world: World) -> None:
    record = Record(rows=tuple(r for r in EXPERIMENT.record(world.study).rows if r.stack == "model"))
    chosen = sampled_halves(world.recall.cls, world.recall.selection, "sport", SETTINGS)
    report = [i for i in chosen if not world.recall.selection[i]]
    for c, name in enumerate(world.recall.prompts.classes):
        row = best(record, name)
        layer, n = row.layer, row.neuron
        weight = world.plain.block(layer, "mlp.dense_h_to_4h.weight")[n]
        bias = world.plain.block(layer, "mlp.dense_h_to_4h.bias")[n]
        out = world.plain.block(layer, "mlp.dense_4h_to_h.weight")[:, n]
        normed = [world.plain.layer_norm(layer, "post_attention_layernorm", x) for x in world.at_name("mlp_in", layer)]
        post = np.array([float(torch.nn.functional.gelu(x @ weight + bias)) for x in normed])
        own = np.array([world.cls[i] == c for i in report])
        assert row.value == pytest.approx(loop_auc(post[report], own), abs=1e-9)
        for condition, put in (("kept", None), ("mean", post[report].mean()), ("zero", 0.0)):
            losses = []
            for i in np.array(report)[own]:
                shift = 0 * out if put is None else (put - post[i]) * out
                trace = world.plain.run(world.full[i], {("mlp_out", layer): add(world.last[i], shift)})
                losses.append(-float(torch.log_softmax(trace["logits"][-1], -1)[world.class_tokens[c]]))
            found = value(record, "class_loss_nats", condition=condition, cls=name)
            assert found == pytest.approx(np.mean(losses), rel=1e-5, abs=1e-6)
