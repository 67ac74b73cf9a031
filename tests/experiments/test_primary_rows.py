"""The overall rows of the stack experiments, the cap on products, and the conditions that are asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from circuit_world import PAIRS, SETTINGS, value

from rote.errors import InputError
from rote.experiments import LayerProbes, LinearStructure, PathAblation
from rote.experiments.linear_structure import measure as linear_structure
from rote.experiments.linear_structure.measure import CONDITIONS, broken_fractions, draw_pairs
from rote.experiments.populations import bootstrap, within_product
from rote.records import Record, Row
from rote.stack import Stack, product

CAPPED = replace(SETTINGS, product_names=12)


def only(record: Record, statistic: str, **key: object) -> list[Row]:
    return [
        r
        for r in record.rows
        if r.statistic == statistic and all(getattr(r, name) == want for name, want in key.items())
    ]


# ------------------------------------------------------------------ interaction_share


@pytest.fixture(scope="module")
def linear(sample: Stack) -> Record:
    return LinearStructure(conditions=("real",))(sample, SETTINGS)


def squares(stack: Stack) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(cells, ‖interaction‖², ‖out − grand‖²): names, and [layer, cell] by loops over the product."""
    firsts, lasts = np.unique(stack.entities.first), np.unique(stack.entities.last)
    cells = np.array([(a, b) for a in firsts for b in lasts])
    outputs = [x.double().numpy() for x in stack.run(stack.inputs(cells[:, 0], cells[:, 1])).mlp_out]
    interaction, total = np.zeros((2, len(outputs), len(cells)))
    for layer, x in enumerate(outputs):
        grand = x.mean(0)
        of_first = {a: x[cells[:, 0] == a].mean(0) - grand for a in firsts}
        of_last = {b: x[cells[:, 1] == b].mean(0) - grand for b in lasts}
        for k, (a, b) in enumerate(cells):
            interaction[layer, k] = np.square(x[k] - grand - of_first[a] - of_last[b]).sum()
            total[layer, k] = np.square(x[k] - grand).sum()
    return cells, interaction, total


def test_interaction_shares_and_their_intervals_are_weighted_sums_over_cells(sample: Stack, linear: Record) -> None:
    cells, interaction, total = squares(sample)
    e = sample.entities
    # a level named twice counts once; named once, places equal by chance would pass for names of one token
    first, last = cells[:, :1], cells[:, [1, 1]]
    resamples = bootstrap(e.first, e.last, SETTINGS, "sport").observations(first, last).weights
    layers = {number: [index] for index, number in enumerate(sample.numbers)}
    for layer, members in (layers | {None: list(range(len(layers)))}).items():
        above, below = interaction[members].sum(0), total[members].sum(0)
        (row,) = only(linear, "interaction_share", site="mlp_out", layer=layer)
        assert row.value == pytest.approx(np.sqrt(above.sum() / below.sum()), rel=1e-5)
        shares = [np.sqrt((w * above).sum() / (w * below).sum()) for w in resamples]
        assert (row.ci_low, row.ci_high) == pytest.approx(tuple(np.percentile(shares, (2.5, 97.5))), rel=1e-5)
        assert row.ci_low < row.value < row.ci_high
        assert row.n == len(cells)
    overall = value(linear, "interaction_share", site="mlp_out", layer=None)
    each = [value(linear, "interaction_share", site="mlp_out", layer=n) for n in sample.numbers]
    assert min(each) < overall < max(each)


def test_constant_layers_have_no_share_and_no_say_in_the_overall_one(sample: Stack, linear: Record) -> None:
    """The last MLP silenced: its share is absent, the overall one is that of the others; all silenced, it is absent."""

    def silent(stack: Stack, which: set[int]) -> Stack:
        layers = [
            replace(y, mlp=replace(y.mlp, w_out=0 * y.mlp.w_out)) if k in which else y
            for k, y in enumerate(stack.layers)
        ]
        return stack.with_layers(tuple(layers), stack.name)

    last = len(sample.layers) - 1
    one = LinearStructure(conditions=("real",))(silent(sample, {last}), SETTINGS)
    _, interaction, total = squares(sample)
    wanted = np.sqrt(interaction[:last].sum() / total[:last].sum())
    assert value(one, "interaction_share", site="mlp_out", layer=None) == pytest.approx(wanted, rel=1e-5)
    gone = {(a.site, a.layer) for a in one.absent if a.statistic == "interaction_share"}
    assert gone == {("mlp_out", sample.numbers[-1])}
    none = LinearStructure(conditions=("real",))(silent(sample, set(range(last + 1))), SETTINGS)
    assert ("mlp_out", None) in {(a.site, a.layer) for a in none.absent if a.statistic == "interaction_share"}
    assert not only(none, "interaction_share", site="mlp_out")


def test_a_product_too_large_to_keep_gives_the_same(sample: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    firsts, lasts = np.unique(sample.entities.first), np.unique(sample.entities.last)
    kept = product.product_effects(sample, firsts, lasts)
    monkeypatch.setattr(product, "KEPT_BYTES", 0)
    monkeypatch.setattr(product, "BLOCK_CELLS", 3 * len(lasts))
    again = product.product_effects(sample, firsts, lasts)
    for one, two in zip(kept[0] + kept[1], again[0] + again[1], strict=True):
        np.testing.assert_allclose(one.interaction, two.interaction, rtol=1e-4)
        np.testing.assert_allclose(one.total, two.total, rtol=1e-4)


# ------------------------------------------------------------------ conditions and pairs


def test_conditions_asked_for_are_those_of_all(sample: Stack, linear: Record) -> None:
    whole = LinearStructure()(sample, SETTINGS)
    assert [c for c in CONDITIONS if only(whole, "broken_fraction", condition=c)] == list(CONDITIONS)
    assert {r.condition for r in only(linear, "broken_fraction")} == {"real"}
    assert only(linear, "broken_fraction") == only(whole, "broken_fraction", condition="real")
    assert only(linear, "interaction_share") == only(whole, "interaction_share")
    assert linear.tables["pairs"].equals(whole.tables["pairs"])
    for wrong in (("real", "mixed"), ()):
        with pytest.raises(InputError, match="expected some of real, shuffled, shuffled_matched, unknown_pairs"):
            LinearStructure(conditions=wrong)


def test_pairs_run_in_blocks_break_as_much(sample: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = draw_pairs(sample, np.random.default_rng(0), known=True, **PAIRS)
    at_once = broken_fractions(sample, pairs)
    monkeypatch.setattr(linear_structure, "BLOCK_NAMES", 1)
    for key, fractions in broken_fractions(sample, pairs).items():
        np.testing.assert_allclose(fractions, at_once[key], rtol=1e-4)


def test_pairs_are_different_and_drawn_from_all_names(sample: Stack) -> None:
    wide = {**PAIRS, "n_pairs": 200}
    for known in (True, False):
        pairs = draw_pairs(sample, np.random.default_rng(0), known=known, **wide)
        assert len({frozenset((p.a, p.b)) for p in pairs}) == len(pairs) > PAIRS["n_pairs"]
        again = draw_pairs(sample, np.random.default_rng(0), known=known, **wide)
        assert again == pairs
        drawn = {name for p in pairs for draw in p.draws for name in draw}
        assert {a for a, _ in drawn} == set(sample.entities.first.tolist())
        assert {b for _, b in drawn} == set(sample.entities.last.tolist())


def test_too_few_tokens_for_unrelated_names_give_no_pairs(sample: Stack) -> None:
    """Four first names are needed for A, B, C′, D′."""
    firsts = np.unique(sample.entities.first)
    few = sample.with_entities(sample.entities.take(np.flatnonzero(np.isin(sample.entities.first, firsts[:3]))))
    assert draw_pairs(few, np.random.default_rng(0), known=True, **PAIRS) == ()


# ------------------------------------------------------------------ caps


def test_the_cap_restricts_products_and_nothing_else(sample: Stack) -> None:
    """What is capped equals the experiment on the entities that fit; the rest equals the experiment uncapped."""
    fit = within_product(sample, CAPPED)
    assert len(fit.entities) < len(sample.entities)
    capped, whole, small = (PathAblation()(*args) for args in ((sample, CAPPED), (sample, SETTINGS), (fit, SETTINGS)))
    assert only(capped, "path_share", condition="additive") == only(small, "path_share", condition="additive")
    assert {r.n for r in capped.rows if r.condition == "additive"} == {len(fit.entities)}
    for how in ("mean", "resample"):
        assert [r for r in capped.rows if r.condition == how] == [r for r in whole.rows if r.condition == how]
        assert {r.n for r in capped.rows if r.condition == how} == {len(sample.entities)}
    capped, whole, small = (
        LinearStructure(conditions=("real",))(*args) for args in ((sample, CAPPED), (sample, SETTINGS), (fit, SETTINGS))
    )
    assert only(capped, "interaction_share") == only(small, "interaction_share")
    assert only(capped, "interaction_share") != only(whole, "interaction_share")
    assert only(capped, "broken_fraction") == only(whole, "broken_fraction")


# ------------------------------------------------------------------ other overall rows


def test_a_window_of_one_layer_has_no_paths(sample: Stack) -> None:
    record = PathAblation()(sample.with_layers(sample.layers[:1], sample.name), SETTINGS)
    assert not record.rows
    assert {(a.statistic, a.condition, a.layer) for a in record.absent} == {
        ("path_share", how, None) for how in ("mean", "resample", "additive")
    }
    assert all("one layer" in a.reason for a in record.absent)


def test_every_stack_has_its_primary_rows(sample: Stack, linear: Record) -> None:
    """One row each, with an interval, under the stack's own name."""
    renamed = sample.with_layers(sample.layers, "additive")
    records = {
        "path_share": (PathAblation()(renamed, SETTINGS), {"condition": "additive", "site": None}),
        "layer_alone": (LayerProbes()(renamed, SETTINGS), {"condition": "least", "site": None}),
        "interaction_share": (LinearStructure(conditions=("real",))(renamed, SETTINGS), {"site": "mlp_out"}),
    }
    for statistic, (record, key) in records.items():
        (row,) = only(record, statistic, layer=None, **key)
        assert row.stack == "additive"
        assert row.ci_low is not None and row.ci_high is not None
        assert row.ci_low <= row.value <= row.ci_high
