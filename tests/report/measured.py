"""Runs whose rows the experiments and toys wrote themselves: one small study, a text read, every toy in small.

The tests of the report draw from these, so that a condition that is renamed where it is measured is renamed here too.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

from circuit_world import SETTINGS, model
from reading_world import SMALL as READING
from reading_world import make_text, sliding

import rote
from rote.catalog import FACTS, ExperimentCard, StatisticCard
from rote.experiments import EXPERIMENTS, ClassNeurons, KnownNorms, LayerProbes, LinearStructure, SharedNeurons
from rote.experiments.base import Experiment, Facts
from rote.experiments.tabulator import Tabulator
from rote.facts import FactTable, read_facts
from rote.organisms import BUNDLED
from rote.organisms.capacity import CapacityGrid
from rote.page.view import Measured
from rote.pipeline.toys import run_toy
from rote.records import Record, RunFolder, Shard
from rote.toys.capacity.toy import CapacitySettings
from rote.toys.memorisation.toy import MemorisationSettings

_SETTINGS = replace(SETTINGS, max_entities=40, n_top_heads=2, n_resamples_ablation=1, n_bootstrap=50, min_known=20)
_SMALL = (
    LayerProbes(n_probe_seeds=2), LinearStructure(n_pairs=20), KnownNorms(n_unknown=100),
    ClassNeurons(n_permutations=2), SharedNeurons(n_resamples=2, n_model_resamples=1, n_checked=16),
)  # fmt: skip
_ASKED = ("sport", "league", "pet", "hand", "city")  # shared_neurons wants four relations of one entity
_N_ENTITIES = 120  # orthogonal_remainder projects off 75 others
TOYS = {
    "memorisation": MemorisationSettings(
        neurons=(12,), layers=(1, 2), embeddings=("trained",), activations=("relu",), n_integers=8, n_seeds=2,
        n_seeds_others=1, steps=20, level=0.05, n_null=199, n_dictionaries=1, picture_widths=(6,), picture_steps=20,
        picture_side=4,
    ),
    "capacity": CapacitySettings(
        neurons=(2, 4), d_models=(2, 4), layers=(1,), classes=(2,), trained_embeddings=(), longer=(), n_seeds=2,
        steps=40, precision=0.5, by_hand=(8,),
    ),
    "organism_capacity": CapacityGrid(
        widths=(4, 8, 12), n_heads=1, n_layers=1, n_facts=(16, 64), exposures=(20,), n_seeds=2, n_names=16, n_classes=4,
        batches=2, learning_rate=3e-2,
    ),
}  # fmt: skip


class Brought(Experiment):
    """A user's own: rows of every shape, without a drawing of its own."""

    card = ExperimentCard(
        name="brought",
        title="Is it as it should be?",
        question="Does what a user measures reach the report?",
        method="Numbers are written that follow from their place.",
        source="a user's own",
        takes=(FACTS,),
        statistics=(
            StatisticCard(
                name="by_layer", unit="fraction", conditions=("clean", "cut"), shown="percent",
                titles={"cut": ("with one edge cut", "")}, meaning="Over the layers.", formula="layer / 10",
            ),
            StatisticCard(name="by_head", unit="logit", meaning="Of every head.", formula="layer − head"),
            StatisticCard(name="by_class", unit="nats", meaning="Of every class.", formula="its place"),
            StatisticCard(name="alone", unit="count", meaning="One number.", formula="one"),
            StatisticCard(name="not_here", unit="ratio", meaning="Never there.", formula="none"),
        ),
    )  # fmt: skip

    def measure(self, given: Facts, out: Tabulator) -> None:
        for layer in range(4):
            for condition in ("clean", "cut"):
                out.value("by_layer", layer / 10, condition=condition, layer=layer, parameters={"rank": [layer, 1]})
            for head in range(3):
                out.value("by_head", layer - head, layer=layer, head=head)
        for i, cls in enumerate(given.prompts.classes):
            out.value("by_class", i + 0.5, cls=cls)
        out.value("alone", 41)
        out.absent("not_here", "nobody has looked")


def bare(row: Measured) -> str:
    """The number as it stands in a column whose title names the unit."""
    return row.number if row.form.suffix == " %" else row.number.removesuffix(row.form.suffix)


@cache
def _root() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="rote_measured_")


def table() -> FactTable:
    """The first entities of which all relations are in the file: invented people."""
    every = read_facts(BUNDLED / "facts.json").select(_ASKED)
    count = Counter(fact.entity for fact in every.facts)
    chosen = [entity for entity in every.entities if count[entity] == len(_ASKED)][:_N_ENTITIES]
    return replace(every, facts=tuple(fact for fact in every.facts if fact.entity in chosen), left_out=())


@cache
def study() -> Path:
    """Every experiment that asks facts, on sport, and one of a user's own."""
    small = {e.name: e for e in _SMALL}
    experiments = [small.get(e.name, e) for e in EXPERIMENTS if e.card.needs_facts]
    run = rote.study(
        model(), table(), folder=Path(_root().name) / "study", settings=_SETTINGS, relation="sport",
        experiments=(*experiments, Brought()), controls=(),
    )  # fmt: skip
    return run.path


@cache
def reading() -> Path:
    """A text read by a small model whose layers see two more tokens each."""
    run = rote.study(
        sliding(3), None, folder=Path(_root().name) / "reading", text=make_text(), settings=SETTINGS,
        experiments=(replace(READING, n_strings=20, n_tokens=12),), controls=(),
    )  # fmt: skip
    return run.path


@cache
def toy(name: str) -> Path:
    return run_toy(name, TOYS[name], folder=Path(_root().name) / name).path


@cache
def records() -> dict[str, Record]:
    """What each of rote's experiments wrote, by its name."""
    found = {}
    for path in (study(), reading()):
        run = RunFolder.read_only(path)
        for experiment in dict.fromkeys((*run.summary["experiment"], *run.absent["experiment"])):
            item = "all" if path == reading() else "sport"
            found[str(experiment)] = run.read(Shard(str(experiment), item))
    return found
