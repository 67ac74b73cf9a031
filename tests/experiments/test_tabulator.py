"""The tabulator: what it refuses, and that the values it keeps are those that its means are the means of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from circuit_world import SETTINGS, World, measured

from rote.catalog import FACTS, ExperimentCard, StatisticCard
from rote.errors import ExperimentError
from rote.experiments import EXPERIMENTS
from rote.experiments.populations import bootstrap
from rote.experiments.tabulator import Population, Tabulator
from rote.records import Observations, Row

CARD = ExperimentCard(
    name="mine",
    title="Mine?",
    question="Is it so?",
    method="It is looked at.",
    source="a test",
    takes=(FACTS,),
    statistics=(
        StatisticCard(name="share", unit="fraction", conditions=("clean", "asked:*"), meaning="All.", formula="mean"),
        StatisticCard(name="depth", unit="layer", meaning="A layer.", formula="mean"),
    ),
)  # fmt: skip
N = 30
NAMES = tuple(f"Ann{i % 5} Lee{i // 5}" for i in range(N))
SHARES = np.linspace(0, 1, N)


def people(names: Sequence[str] | None = NAMES, where: np.ndarray | None = None) -> Population:
    resamples = bootstrap(np.arange(N) % 5, np.arange(N) // 5, replace(SETTINGS, n_bootstrap=20), "mine")
    return Population(bootstrap=resamples, where=where, names=names)


def tabulator(population: Population, *, keep: int = 100, seed: int = 0) -> Tabulator:
    return Tabulator(card=CARD, stack="model", relation="sport", seed=seed, population=population, keep=keep)


# ------------------------------------------------------------------ what is kept


@pytest.mark.parametrize(
    "name", ["known_facts", "direct_effects", "head_attention", "readout", "concatenation", "effective_model"]
)
def test_the_values_that_are_kept_are_those_behind_the_means(world: World, name: str) -> None:
    """No row is rounded to a value that is not there: every mean is the mean of what stands beside it."""
    (experiment,) = (e for e in EXPERIMENTS if e.name == name)
    recall = replace(world.recall, settings=replace(SETTINGS, max_entities=1000))  # so that every fact is kept
    record = measured(experiment, replace(world.study, recall=recall))
    rows = {row.key: row for row in record.rows}
    frames = [kept.frame() for kept in record.observations]
    n_means = 0
    for kept, frame in zip(record.observations, frames, strict=True):
        assert set(kept.entities) <= {fact.entity for fact in world.prompts.facts}
        for key in kept.keys:
            row = rows.pop(_row_key(key))
            values = kept.values[:, kept.keys.index(key)]
            assert row.n == len(values) == len(kept.entities), key
            assert row.value == pytest.approx(values.mean(dtype=float), rel=1e-5, abs=1e-6), key
            n_means += 1
        assert len(frame) == kept.values.size
    assert n_means > 3


def _row_key(key: dict[str, object]) -> tuple[object, ...]:
    return Row(value=0.0, **key).key  # type: ignore[arg-type]


def test_each_fact_has_its_own_value_under_its_own_name() -> None:
    out = tabulator(people())
    out.mean("share", SHARES, condition="clean")
    out.means(["depth", "depth"], np.stack([SHARES, 2 * SHARES], axis=1), [{"layer": 1}, {"layer": 2}])
    (kept,) = out.record().observations
    assert kept.entities == NAMES and [key["statistic"] for key in kept.keys] == ["share", "depth", "depth"]
    assert kept.values.dtype == np.float32
    np.testing.assert_allclose(kept.values, np.stack([SHARES, SHARES, 2 * SHARES], axis=1), rtol=1e-6)


def test_of_many_facts_the_same_ones_are_kept_whatever_is_measured() -> None:
    def kept(seed: int = 0, **key: object) -> Observations:
        out = tabulator(people(), keep=10, seed=seed)
        out.mean("share", SHARES, **key)
        (found,) = out.record().observations
        return found

    first = kept(condition="clean")
    assert len(first.entities) == 10 and set(first.entities) < set(NAMES)
    assert kept(condition="asked:league").entities == first.entities != kept(seed=1, condition="clean").entities
    expected = [SHARES[NAMES.index(name)] for name in first.entities]
    np.testing.assert_allclose(first.values[:, 0], expected, rtol=1e-6)


def test_what_is_not_reported_is_not_kept() -> None:
    half = np.arange(N) % 2 == 0
    out = tabulator(people(where=half))
    out.mean("share", SHARES)
    out.mean("share", SHARES, where=~half, condition="clean")
    reported, others = out.record().observations
    assert reported.entities == NAMES[::2] and others.entities == NAMES[1::2]
    assert [row.value for row in out.rows] == pytest.approx([SHARES[half].mean(), SHARES[~half].mean()])


@pytest.mark.parametrize(("names", "keep"), [(None, 100), (NAMES, 0)])
def test_without_names_or_where_nobody_asked_nothing_is_kept(names: Sequence[str] | None, keep: int) -> None:
    out = tabulator(people(names), keep=keep)
    out.mean("share", SHARES)
    assert out.record().rows and not out.record().observations


def test_stacks_and_populations_write_into_one_record() -> None:
    out = tabulator(people())
    out.over(people(where=np.arange(N) < 5), "effective").mean("share", SHARES)
    apart = out.on("model")
    apart.mean("share", SHARES)
    assert len(out.rows) == 1, "a record of its own until it is taken in"
    out.take(apart)
    record = out.record()
    assert [(row.stack, row.n) for row in record.rows] == [("effective", 5), ("model", N)]
    assert [(kept.keys[0]["stack"], len(kept.entities)) for kept in record.observations] == [
        ("effective", 5),
        ("model", N),
    ]


# --------------------------------------------------------------- what is refused


def test_units_are_the_cards_and_what_it_does_not_speak_of_is_refused() -> None:
    out = tabulator(people())
    out.value("depth", 3.0, n=1)
    out.absent("share", "nobody knows", condition="asked:league")
    assert (out.rows[0].unit, out.absents[0].unit) == ("layer", "fraction")
    for write in (
        lambda: out.value("shares", 0.5),
        lambda: out.mean("share", SHARES, condition="dirty"),
        lambda: out.absent("depth", "nobody knows", condition="clean"),
    ):
        with pytest.raises(ExperimentError, match=r"expected a StatisticCard|its card allows"):
            write()
    assert len(out.rows) == len(out.absents) == 1


def test_a_mean_of_nothing_is_absent_with_its_reason() -> None:
    out = tabulator(people())
    out.mean("share", SHARES, where=np.zeros(N, dtype=bool))
    record = out.record()
    assert not record.rows and not record.observations
    assert [a.statistic for a in record.absent] == ["share"] and record.absent[0].reason
    out.nothing("it never applies")
    assert {a.statistic for a in out.absents} == {"share", "depth"} and out.absents[-1].reason == "it never applies"
