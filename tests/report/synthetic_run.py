"""Whole run folders of known content, written through the records' own code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from synthetic_world import World

from rote.experiments import ENTRIES
from rote.records import Absent, Record, RunFolder, Shard

CARDS = tuple(entry.card for entry in ENTRIES)

HOSTILE = (
    "</script><script>document.title='broken'</script>",
    "<img src=http://evil.example/x.png onerror=\"document.title='broken'\">",
    "{{ 7 * 7 }}{% raw %}%{x} & <b>bold</b>",
    "]]>--><!--\u2028 \"quoted\" 'single' `tick`",
)

BUNDLED = World()
PYTHIA = World(model="EleutherAI/pythia-2.8b", n_layers=32, n_heads=32)
HOSTILE_WORLD = World(
    model=f"models/{HOSTILE[1]}",
    relation=HOSTILE[0],
    classes=HOSTILE[:3],
    first_names=HOSTILE,
    extra_study={"note": HOSTILE[0], HOSTILE[1]: HOSTILE[3]},
)


def full_run(folder: Path, world: World = BUNDLED) -> Path:
    """Everything measured, a few values absent."""
    return write_run(folder, world, {card.name: world.record(card.name) for card in CARDS})


def text_run(folder: Path, world: World = BUNDLED) -> Path:
    """No facts asked, a text read."""
    world = replace(world, extra_study={"facts": None, "text": "valid.txt", **world.extra_study})
    return write_run(folder, world, {card.name: world.record(card.name) for card in CARDS if not card.needs_facts})


def run_that_knows(folder: Path, share: float, world: World = BUNDLED) -> Path:
    """None or too few known: known_facts has rows, everything else is absent with that reason."""
    world = replace(world, known_share=share)
    n_known = round(share * world.n_facts)
    reason = f"the model knows {n_known} of {world.n_facts} facts; at least 24 are needed"
    asked = world.record("known_facts")
    counts = {"n_known": float(n_known), "accuracy": share, "accuracy_cls": max(share, 0.34)}
    known = [
        replace(r, value=counts[r.statistic], ci_low=None, ci_high=None) if r.statistic in counts else r
        for r in asked.rows
    ]
    records = {"known_facts": replace(asked, rows=tuple(known))}
    for card in CARDS[1:]:
        gone = tuple(
            Absent(experiment=card.name, stack=card.applies_to[0], statistic=s.name, reason=reason)
            for s in card.statistics
        )
        records[card.name] = Record(absent=gone)
    return write_run(folder, world, records)


NO_WINDOW = "with attention at the last name token ablated from layer 0 on, the readout keeps 41 % of its accuracy."
NEEDS_WINDOW = "there is no MLP window"


def run_without_window(folder: Path, world: World = BUNDLED) -> Path:
    """The facts are known, the window is not found, and what needs it is absent."""
    records = {card.name: world.record(card.name) for card in CARDS if "lookup_window" not in card.needs}
    found = records["lookup_window"]
    gone = tuple(
        Absent(experiment="lookup_window", stack="model", statistic=s, relation=world.relation, reason=NO_WINDOW)
        for s in ("lookup_start", "lookup_stop")
    )
    kept = tuple(r for r in found.rows if r.statistic not in ("lookup_start", "lookup_stop"))
    records["lookup_window"] = Record(rows=kept, absent=gone)
    for card in CARDS:
        if "lookup_window" in card.needs:
            records[card.name] = Record(
                absent=tuple(
                    Absent(experiment=card.name, stack=card.applies_to[0], statistic=s.name, reason=NEEDS_WINDOW)
                    for s in card.statistics
                )
            )
    return write_run(folder, world, records)


NO_READOUT = "There is no readout at the name: 5.0% of the answers become that entity's."


def run_without_readout(folder: Path, world: World = BUNDLED) -> Path:
    """The facts are known, and nothing reads the name: all that follows is absent."""
    records = {}
    for card in CARDS:
        record = world.record(card.name)
        lost = {s.name for s in card.statistics} if card.needs_circuit else set()
        lost = {"readout_head"} if card.name == "direct_effects" else lost
        records[card.name] = Record(
            rows=tuple(r for r in record.rows if r.statistic not in lost),
            absent=tuple(
                Absent(experiment=card.name, stack="model", statistic=s, relation=world.relation, reason=NO_READOUT)
                for s in sorted(lost)
            ),
            tables=record.tables,
        )
    return write_run(folder, world, records)


def run_of_only(folder: Path, *experiments: str, world: World = BUNDLED) -> Path:
    """Only some experiments were asked for."""
    return write_run(folder, world, {name: world.record(name) for name in experiments})


def write_run(folder: Path, world: World, records: dict[str, Record]) -> Path:
    """A finished run folder holding these records, one shard for each experiment."""
    study = {
        "model": world.model,
        "revision": "main",
        "weights_sha256": "0f" * 32,
        "facts": {"name": "athletes", "sha256": "ab" * 32},
        "seed": world.shift,
        "versions": {"rote": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
        "settings": {"known_probability": 0.5, "n_bootstrap": 2000, "batch_size": 256},
        **world.extra_study,
    }
    run = RunFolder.open(folder, study)
    shards = []
    for name, record in records.items():
        shards.append(Shard(name))
        run.write(shards[-1], record)
    run.assemble(shards)
    return folder
