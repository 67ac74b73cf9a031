"""Which cells may decide: read from certification.json, which the calibration writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What planted worlds said of one cell: wrong in `wrong` of `n` decided cases, an error rate in [low, high].

    `power` is the share of full-strength plants that were judged rightly, `reach` how far the cell's controls reach
    into the gap between them (see `judge.decide`), tuned on worlds that certify nothing. `certified` is decided by the
    calibration and only read here. Numbers are None where the calibration had no case.
    """

    certified: bool
    wrong: int
    n: int
    low: float | None
    high: float | None
    power: float | None
    note: str
    reach: float

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Certificate:
        """From one entry of certification.json; KeyError where a field is missing."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})


def certificates() -> dict[str, Certificate]:
    """The certified and refused cells of this version of rote, by `Prediction.cell`; a missing cell is refused."""
    text = files("rote.catalog").joinpath("certification.json").read_text(encoding="utf-8")
    return {cell: Certificate.of(values) for cell, values in json.loads(text)["cells"].items()}
