"""Rows of known content for each experiment, for a world of any size and with any strings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from synthetic_text import local_processing
from synthetic_world import World, random_of, rising, row

from rote.catalog import ExperimentCard
from rote.experiments import ENTRIES
from rote.records import Absent, Record, Row

CARDS = tuple(entry.card for entry in ENTRIES)


def _facts(world: World) -> pd.DataFrame:
    random = random_of(world, "facts")
    n = world.n_facts
    known = np.arange(n) < round(world.known_share * n)
    prob = np.where(known, random.uniform(0.55, 1, n), random.uniform(0, 0.45, n))
    last = [f"Lastname{i}" for i in range(n)]
    first = [world.first_names[i % len(world.first_names)] for i in range(n)]
    cls = [world.classes[i % len(world.classes)] for i in random.integers(0, 100, n)]
    return pd.DataFrame(
        {
            "entity": [f"{a} {b}" for a, b in zip(first, last, strict=True)],
            "relation": world.relation or "sport",
            "attribute": cls,
            "cls": cls,
            "n_name_tokens": 2,
            "log_prob": np.log(prob),
            "prob": prob,
            "rank": np.where(known, 1, 2),
            "prediction_cls": cls,
            "known": known,
            "half": np.where(np.arange(n) % 2 == 0, "selection", "report"),
            "first": first,
            "last": last,
        }
    )


def _known_facts(world: World) -> Record:
    name, rows = "known_facts", []
    for condition in ("all", "two_token"):
        key = {"relation": world.relation, "condition": condition, "n": world.n_facts}
        rows += [
            Row(
                experiment=name,
                stack="model",
                statistic=s,
                value=v,
                unit="count",
                relation=world.relation,
                condition=condition,
            )
            for s, v in (("n_facts", world.n_facts), ("n_known", round(world.known_share * world.n_facts)))
        ]
        shares = {"accuracy": world.known_share, "accuracy_cls": max(world.known_share, 0.34)}
        guesses = {"majority": 0.412, "last": 0.455, "first": 0.391, "additive_fit": 1.0}
        shares |= {f"baseline_{guess}": value for guess, value in guesses.items()}
        shares |= {"shared_first": 0.9, "shared_last": 0.3, "shared_both": 0.28}
        rows += [row(name, statistic, value, **key) for statistic, value in shares.items()]
        rows.append(row(name, "loss_nats", 0.108, **key | {"unit": "nats"}))
        rows += [
            row(name, "loss_nats", 0.1 + 0.02 * i, cls=c, **key | {"unit": "nats"}) for i, c in enumerate(world.classes)
        ]
    return Record(rows=tuple(rows), tables={"facts": _facts(world)})


def _direct_effects(world: World) -> Record:
    name, random = "direct_effects", random_of(world, "direct_effects")
    rows = []
    key = {"relation": world.relation, "unit": "logit", "position": "end"}
    for condition in ("selection", "report"):
        for layer in range(world.n_layers):
            for head in range(world.n_heads):
                top = (layer, head) in world.top_heads
                size = 4.2 / (1 + world.top_heads.index((layer, head))) if top else 0.06 * random.normal()
                rows.append(
                    row(
                        name,
                        "direct_effect",
                        size,
                        width=0.1,
                        layer=layer,
                        head=head,
                        site="z",
                        condition=condition,
                        **key,
                    )
                )
            rows.append(
                row(
                    name,
                    "direct_effect",
                    0.1 * random.normal(),
                    width=0.1,
                    layer=layer,
                    site="mlp_out",
                    condition=condition,
                    **key,
                )
            )
    rows += [
        Row(
            experiment=name,
            stack="model",
            statistic="top_head",
            value=rank + 1,
            layer=layer,
            head=head,
            unit="rank",
            relation=world.relation,
        )
        for rank, (layer, head) in enumerate(world.top_heads)
    ]
    return Record(rows=tuple(rows))


def _head_attention(world: World) -> Record:
    random, rows = random_of(world, "head_attention"), []
    positions = ("bos", "prefix", "name_early", "subject_last", "relation_words", "end")
    for asked in world.asked if world.relation is not None else (None,):
        for layer, head in world.top_heads:
            share = random.dirichlet([2, 1, 0.6, 9, 0.8, 0.4])
            rows += [
                row(
                    "head_attention",
                    "attention",
                    float(v),
                    width=0.01,
                    layer=layer,
                    head=head,
                    position=p,
                    relation=world.relation,
                    condition=None if asked is None else f"asked:{asked}",
                )
                for p, v in zip(positions, share, strict=True)
            ]
    return Record(rows=tuple(rows))


def _value_inputs(world: World) -> Record:
    random, rows = random_of(world, "value_inputs"), []
    boosted = f"mlp.{world.window[0]}"
    for layer, head in world.top_heads:
        sources = [
            "embed",
            *(f"mlp.{i}" for i in range(layer)),
            *(f"L{i}H{h}" for i in range(layer) for h in range(2)),
        ]
        rows += [
            row(
                "value_inputs",
                "value_effect",
                random.exponential(0.9 if source == boosted else 0.3),
                layer=layer,
                head=head,
                source=source,
                position="subject_last",
                unit="logit",
                relation=world.relation,
            )
            for source in sources
        ]
    return Record(rows=tuple(rows))


def _key_or_value(world: World) -> Record:
    rows = []
    for statistic, clean in (("accuracy", 0.97), ("accuracy_cls", 0.98)):
        key = {"relation": world.relation}
        rows.append(row("key_or_value", statistic, clean, condition="clean", **key))
        for i in range(world.window[1] + 1):
            for condition, loss in (
                ("key:mean", 0.3 * (i == 1)),
                ("key:resample", 0.35 * (i == 1)),
                ("value:mean", 0.4 * (i >= world.window[0])),
                ("value:resample", 0.5 * (i >= 2)),
            ):
                rows.append(row("key_or_value", statistic, clean - loss, condition=condition, source=f"mlp.{i}", **key))
    return Record(rows=tuple(rows))


def _readout(world: World) -> Record:
    rows, key = [], {"relation": world.relation}
    for readout, gain in (("heads", 0.0), ("logistic", 0.01)):
        for condition, top in (
            ("full", 0.98),
            ("name_only", 0.97),
            ("late_attention_ablated", 0.96),
            ("both", 0.95),
            ("both_first_mlps_ablated", 0.88),
        ):
            ablations = (None,) if condition in ("full", "name_only") else ("mean", "resample")
            for ablation in ablations:
                parameters = {"readout": readout} | ({"ablation": ablation} if ablation else {})
                for layer in range(-1, world.n_layers):
                    value = rising(world, layer, 0.42, top + gain) - (0.02 if ablation == "resample" else 0)
                    rows.append(
                        row(
                            "readout",
                            "readout_accuracy",
                            value,
                            layer=layer,
                            condition=condition,
                            parameters=parameters,
                            site="resid_post",
                            position="subject_last",
                            **key,
                        )
                    )
    rows += [
        Row(experiment="readout", stack="model", statistic="n_readout_heads", value=2, unit="count", **key),
        Row(experiment="readout", stack="model", statistic="temperature", value=1.37, unit="ratio", **key),
        row("readout", "subspace_flip", 0.91, condition="readout_subspace", **key),
        row("readout", "subspace_flip", 0.02, width=0.01, condition="random_subspace", **key),
    ]
    return Record(rows=tuple(rows))


def _concatenation(world: World) -> Record:
    random, rows, key = random_of(world, "concatenation"), [], {"relation": world.relation}
    for layer in range(world.n_layers):
        for head in range(world.n_heads):
            size = 2.5 - 0.5 * layer if layer < world.window[0] and head == 1 else 0.05 * random.normal()
            rows.append(
                row(
                    "concatenation",
                    "total_effect",
                    float(size),
                    width=0.12,
                    layer=layer,
                    head=head,
                    unit="logit",
                    position="subject_last",
                    **key,
                )
            )
        for condition, more in (("mean", 0.0), ("resample", -0.06)):
            value = (0.5 + 0.1 * layer if layer < world.window[0] else 0.96) + more
            rows.append(
                row(
                    "concatenation",
                    "attention_ablated_accuracy",
                    value,
                    layer=layer,
                    condition=condition,
                    **key,
                )
            )
    rows += [
        row("concatenation", "concatenation_r2", 0.987, width=0.004, unit="fraction", **key),
        row("concatenation", "patterns_frozen_accuracy", 0.965, **key),
        row("concatenation", "self_attention_forbidden_accuracy", 0.951, layer=1, **key),
    ]
    gone = Absent(
        experiment="concatenation",
        stack="model",
        statistic="closed_form_difference",
        relation=world.relation,
        reason="blocks are sequential",
    )
    return Record(rows=tuple(rows), absent=(gone,))


def _lookup_window(world: World) -> Record:
    rows, key = [], {"relation": world.relation}
    for statistic, layer in zip(("lookup_start", "lookup_stop"), world.window, strict=True):
        rows.append(
            Row(
                experiment="lookup_window",
                stack="model",
                statistic=statistic,
                value=layer,
                unit="layer",
                **key,
            )
        )
    for condition, more in (("mean", 0.0), ("resample", -0.03)):
        for layer in range(world.n_layers):
            kept = 0.96 if layer >= world.window[0] else 0.45 + 0.1 * layer
            inside = world.window[0] <= layer <= world.window[1]
            rows.append(
                row(
                    "lookup_window",
                    "attention_kept_accuracy",
                    kept + more,
                    layer=layer,
                    condition=condition,
                    **key,
                )
            )
            rows.append(
                row(
                    "lookup_window",
                    "mlp_ablated_accuracy",
                    (0.7 if inside else 0.95) + more,
                    layer=layer,
                    condition=condition,
                    **key,
                )
            )
        rows.append(row("lookup_window", "window_mlps_ablated_accuracy", 0.44 + more, condition=condition, **key))
    rows.append(row("lookup_window", "additive_accuracy_held_out", 0.47, **key))
    return Record(rows=tuple(rows))


def _effective_model(world: World) -> Record:
    rows, key = [], {"relation": world.relation, "stack": "effective"}
    for condition, accuracy in (
        ("report", 0.943),
        ("selection", 0.95),
        ("shared", 0.93),
        ("shuffled", 0.402),
    ):
        rows.append(row("effective_model", "effective_accuracy", accuracy, condition=condition, **key))
    rows += [
        row("effective_model", "effective_loss_nats", 0.21, condition="report", **key | {"unit": "nats"}),
        row("effective_model", "effective_agreement", 0.948, condition="report", **key),
        row("effective_model", "effective_balanced_accuracy", 0.939, condition="report", **key),
    ]
    return Record(rows=tuple(rows))


def _layer_probes(world: World) -> Record:
    rows = []
    start, stop = world.window
    for stack, gain in (("model", 0.0), ("effective", -0.03)):
        key = {"relation": world.relation, "stack": stack}
        for layer, site in (
            (start, "resid_pre"),
            *((layer, "resid_post") for layer in range(start, stop + 1)),
        ):
            value = rising(world, layer if site == "resid_post" else start - 1, 0.52, 0.97) + gain
            place = {"layer": layer, "site": site}
            rows.append(row("layer_probes", "probe_accuracy", value, **place, **key))
            rows.append(row("layer_probes", "probe_balanced_accuracy", value - 0.02, **place, **key))
            rows.append(row("layer_probes", "readout_loss_nats", 1.3 - value, **place, **key | {"unit": "nats"}))
            if site == "resid_post":
                rows.append(row("layer_probes", "layer_alone", 0.5 + 0.05 * (layer - start), **place, **key))
        rows.append(row("layer_probes", "early_rise", 0.48, width=0.1, **key))
    return Record(rows=tuple(rows))


def _path_ablation(world: World) -> Record:
    rows = []
    start, stop = world.window
    for stack in ("model", "effective"):
        for condition, scale in (("mean", 1.0), ("resample", 1.2), ("additive", 0.4)):
            key = {"relation": world.relation, "stack": stack, "condition": condition}
            for i in range(start, stop):
                for j in range(i + 1, stop + 1):
                    size = scale * 0.12 / (1 + i - start)
                    place = {"source": f"mlp.{i}", "layer": j}
                    rows += list(_path_rows(stack, size, place | key))
                rows.append(
                    row(
                        "path_ablation",
                        "path_share",
                        scale * 0.5,
                        width=0.08,
                        layer=i,
                        **key | {"unit": "ratio"},
                    )
                )
    return Record(rows=tuple(rows))


def _path_rows(stack: str, size: float, key: dict[str, Any]) -> Iterator[Row]:
    yield row("path_ablation", "path_delta_accuracy_cls", -size / 2, width=0.02, **key)
    yield row("path_ablation", "path_delta_loss_nats", size, width=0.02, **key | {"unit": "nats"})
    yield row("path_ablation", "path_delta_kl_nats", 1.1 * size, width=0.02, **key | {"unit": "nats"})
    if stack == "model":
        yield row("path_ablation", "path_delta_accuracy", -size / 2, width=0.02, **key)
        yield row("path_ablation", "path_delta_readout_accuracy", -size / 3, width=0.02, **key)


def _linear_structure(world: World) -> Record:
    rows = []
    start, stop = world.window
    key = {"relation": world.relation, "stack": "effective", "unit": "ratio"}
    for site, base in (("mlp_out", 0.65), ("resid_post", 0.35)):
        for layer in range(start, stop + 1):
            for condition, factor in (
                ("real", 1),
                ("unknown_pairs", 0.98),
                ("shuffled", 0.5),
                ("shuffled_matched", 0.8),
            ):
                value = factor * base + 0.03 * (layer - start)
                rows.append(
                    row(
                        "linear_structure",
                        "broken_fraction",
                        value,
                        layer=layer,
                        site=site,
                        condition=condition,
                        **key,
                    )
                )
            rows.append(row("linear_structure", "interaction_share", base - 0.1, layer=layer, site=site, **key))
    return Record(rows=tuple(rows))


def _known_norms(world: World) -> Record:
    rows = []
    for stack in ("model", "effective"):
        for condition, factor in (("raw", 1.0), ("adjusted", 0.4)):
            for layer in range(world.window[0], world.window[1] + 1):
                d = factor * 0.25 * (layer - world.window[0] + 1)
                key = {"relation": world.relation, "stack": stack, "condition": condition, "layer": layer}
                rows.append(row("known_norms", "norm_d", d, width=0.08, unit="SD", **key))
                rows.append(row("known_norms", "norm_auc", 0.5 + 0.25 * d, width=0.02, **key))
    return Record(rows=tuple(rows))


def _shared_neurons(world: World) -> Record:
    """The first two relations are linked, each of the others to none."""
    rows, pairs = [], tuple(combinations(world.asked, 2))
    for stack, more in (("model", 0.0), ("effective", 0.04)):
        key = {"relation": world.relation, "stack": stack, "unit": "ratio"}
        for suffix, less in (("", 0.0), ("_resample", 0.02)):
            for i, pair in enumerate(pairs):
                condition = ("unlinked" if i else "linked") + suffix
                size = (0.1 * i if i else 0.8) + more - less
                place = {"condition": condition, "parameters": {"relations": list(pair)}}
                rows.append(row("shared_neurons", "fact_correlation", size, **place, **key))
            for kind, size in (("linked", 0.8), ("unlinked", 0.15)):
                found = size + more - less
                rows.append(row("shared_neurons", "mean_abs_correlation", found, condition=kind + suffix, **key))
        rows += [row("shared_neurons", "first_order_correlation", 0.9, condition=c, **key) for c in ("random", "top")]
    return Record(rows=tuple(rows))


def _plain(card: ExperimentCard) -> Callable[[World], Record]:
    """An experiment without rows of its own here: one value for each statistic and stack."""

    def record(world: World) -> Record:
        return Record(
            rows=tuple(
                row(
                    card.name,
                    s.name,
                    0.4,
                    stack=stack,
                    unit=s.unit,
                    relation=world.relation,
                )
                for stack in card.applies_to
                for s in card.statistics
            )
        )

    return record


_RECORDS = {
    "known_facts": _known_facts,
    "direct_effects": _direct_effects,
    "head_attention": _head_attention,
    "value_inputs": _value_inputs,
    "key_or_value": _key_or_value,
    "readout": _readout,
    "concatenation": _concatenation,
    "lookup_window": _lookup_window,
    "effective_model": _effective_model,
    "layer_probes": _layer_probes,
    "path_ablation": _path_ablation,
    "linear_structure": _linear_structure,
    "known_norms": _known_norms,
    "shared_neurons": _shared_neurons,
    "local_processing": local_processing,
}
RECORDS = {card.name: _RECORDS.get(card.name, _plain(card)) for card in CARDS}
