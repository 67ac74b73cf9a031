"""Rows of known content for local_processing: cosines that fall with the layer and rise with the length."""

from __future__ import annotations

import numpy as np
from synthetic_world import World, row

from rote.records import Record, Row

LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 50, 100)
CATEGORIES = ("all", "newline", "full_stop", "comma", "common_word", "alphabetic", "other")
NAME = "local_processing"


def cosine(layer: int, length: int) -> float:
    return float(1 - 0.5 * (0.4 + 0.6 * min(layer, 10) / 10) / np.sqrt(length))


def local_processing(world: World) -> Record:
    common = {"experiment": NAME, "stack": "model"}
    rows = [
        Row(**common, statistic="n_strings", value=200, unit="count", parameters={"tokens": 256, "bos": True}),
        *(Row(**common, statistic="n_tokens", value=1600 // (i + 1), unit="count", condition=name)
          for i, name in enumerate(CATEGORIES)),
    ]  # fmt: skip
    for i, name in enumerate(CATEGORIES):
        for layer in range(world.n_layers):
            for length in LENGTHS:
                key = {
                    "condition": name, "layer": layer, "site": "resid_post", "unit": "ratio", "n": 1600 // (i + 1),
                    "parameters": {"length": length, "positions": "kept"},
                }  # fmt: skip
                value = cosine(layer, length) - 0.01 * i
                rows.append(row(NAME, "truncated_cosine", value, width=0.01, **key))
                rows.append(row(NAME, "truncated_cosine_squared", value**2, width=0.02, **key))
    return Record(rows=tuple(rows))
