"""Rows of the public format (version 1): a value, or the reason why there is none."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

TEXT_FIELDS = (
    "experiment",
    "stack",
    "statistic",
    "condition",
    "relation",
    "site",
    "source",
    "cls",
    "position",
)
INDEX_FIELDS = ("layer", "head", "neuron")
KEY_FIELDS = (
    "experiment", "stack", "statistic", "condition", "relation", "site", "source",
    "layer", "head", "neuron", "cls", "position", "parameters", "unit", "seed",
)  # fmt: skip
SUMMARY_FIELDS = (
    "experiment", "stack", "statistic", "condition", "relation", "site", "source",
    "layer", "head", "neuron", "cls", "position", "parameters",
    "value", "ci_low", "ci_high", "n", "unit", "p_adjusted", "seed",
)  # fmt: skip
ABSENT_FIELDS = (*KEY_FIELDS, "reason")
INTEGER_FIELDS = frozenset({*INDEX_FIELDS, "n", "seed"})
FLOAT_FIELDS = frozenset({"value", "ci_low", "ci_high", "p_adjusted"})


def canonical_json(value: object) -> str:
    """The one JSON text of a value: sorted keys, no spaces, shortest floats, UTF-8 left as it is.

    Tuples become lists, numpy scalars and arrays Python numbers and lists. Raises ValueError for a non-finite
    number and TypeError for anything that JSON cannot hold, with the place where it stands.
    """
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def plain(value: object, where: str = "value") -> Any:
    """A value made of dicts, lists, text, numbers, booleans, None; ValueError and TypeError, naming `where`, if not."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _utf8(str(value), where)
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return _finite(value, where)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{where} has the key {key!r}: expected strings as keys")
        return {str(key): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), where)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise TypeError(
        f"{where} is {value!r} of type {type(value).__name__}: expected None, a boolean, a number, a string, "
        "a list or a mapping; convert it first (paths and data types with str, data classes with asdict)"
    )


def _finite(value: object, where: str) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(
            f"{where} is {value!r} of type {type(value).__name__}: expected a number; "
            "take .item() of a tensor, and give an Absent with its reason where there is no number"
        )
    number = float(value) + 0.0  # no negative zero
    if not math.isfinite(number):
        raise ValueError(
            f"{where} is {number}: expected a finite number; what is undefined is an Absent with its reason"
        )
    return number


def _integer(value: object, where: str) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{where} is {value!r} of type {type(value).__name__}: expected an integer or None")
    return int(value)


def _utf8(value: str, where: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{where} is {value!r}, which is no valid Unicode text: replace its lone surrogates"
        ) from error
    return value


def _text(value: object, where: str, *, required: bool) -> str | None:
    if value is None and not required:
        return None
    if not isinstance(value, str) or not value:
        raise TypeError(f"{where} is {value!r}: expected a non-empty string" + ("" if required else " or None"))
    return _utf8(str(value), where)


def _parameters(value: object, where: str) -> str | None:
    """None for nothing, otherwise the canonical JSON of a mapping (given as such or as its JSON text)."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"{where} is {value!r}: expected a mapping or the JSON text of one") from error
    if value is None or value == {}:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(f"{where} is {value!r}: expected a mapping, its JSON text, or None")
    return canonical_json(value)


@dataclass(frozen=True, kw_only=True)
class _Key:
    """What a value is the value of. `parameters` takes a mapping and holds its canonical JSON."""

    experiment: str
    stack: str
    statistic: str
    condition: str | None = None
    relation: str | None = None
    site: str | None = None
    source: str | None = None
    layer: int | None = None
    head: int | None = None
    neuron: int | None = None
    cls: str | None = None
    position: str | None = None
    parameters: Mapping[str, object] | str | None = None
    unit: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        where = f"{type(self).__name__}({self.experiment}, {self.statistic})"
        for name in (*TEXT_FIELDS, "unit"):
            required = name in ("experiment", "stack", "statistic")
            self._set(name, _text(getattr(self, name), f"{where}.{name}", required=required))
        for name in (*INDEX_FIELDS, "seed"):
            if getattr(self, name) is not None:
                self._set(name, _integer(getattr(self, name), f"{where}.{name}"))
        self._set("parameters", _parameters(self.parameters, f"{where}.parameters"))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the only way to normalise a field of a frozen dataclass

    @property
    def key(self) -> tuple[str | int | None, ...]:
        """The values of `KEY_FIELDS`; a run has at most one value for each key."""
        return tuple(getattr(self, name) for name in KEY_FIELDS)


@dataclass(frozen=True, kw_only=True)
class Row(_Key):
    """One value of the summary, with its 95 % interval and the number of independent things behind it.

    `value`, `ci_low`, `ci_high` in `unit`; `n` a count; `p_adjusted` in [0, 1]. numpy scalars become Python
    numbers. Raises TypeError for what is no number, ValueError for a non-finite one, for one end of an
    interval without the other, and for an interval turned round. Source: public format, version 1.
    """

    value: float
    ci_low: float | None = None
    ci_high: float | None = None
    n: int | None = None
    p_adjusted: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        where = f"Row({self.experiment}, {self.statistic})"
        for name in ("value", "ci_low", "ci_high", "p_adjusted"):
            given = getattr(self, name)
            if given is not None or name == "value":
                self._set(name, _finite(given, f"{where}.{name}"))
        if self.n is not None:
            self._set("n", _integer(self.n, f"{where}.n"))
        self._check(where)

    def _check(self, where: str) -> None:
        if (self.ci_low is None) != (self.ci_high is None):
            raise ValueError(f"{where} has the interval ({self.ci_low}, {self.ci_high}): expected both ends or neither")
        if self.ci_low is not None and self.ci_high is not None and self.ci_low > self.ci_high:
            raise ValueError(f"{where} has ci_low {self.ci_low} above ci_high {self.ci_high}")
        if self.n is not None and self.n < 0:
            raise ValueError(f"{where} has n = {self.n}: expected a count")
        if self.p_adjusted is not None and not 0 <= self.p_adjusted <= 1:
            raise ValueError(f"{where} has p_adjusted = {self.p_adjusted}: expected a probability")


@dataclass(frozen=True, kw_only=True)
class Absent(_Key):
    """A value that cannot be computed, and why ("names have one token"). Raises TypeError and ValueError as `Row`."""

    reason: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("reason", _text(self.reason, f"Absent({self.experiment}, {self.statistic}).reason", required=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class Observations:
    """The values behind means: one row per fact, one column per mean; `keys` say what each column is the value of.

    Raises ValueError where these do not fit together.
    """

    entities: tuple[str, ...]
    keys: tuple[Mapping[str, Any], ...]
    values: Float[np.ndarray, "fact column"]  # float32

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.entities), len(self.keys)):
            raise ValueError(
                f"{self.values.shape} values of {len(self.entities)} facts and {len(self.keys)} means: expected a row "
                "for each fact and a column for each mean"
            )

    def frame(self) -> pd.DataFrame:
        """One row per fact and mean: `entity`, the key fields of the public format, and `value`."""
        keys = [{name: key.get(name) for name in KEY_FIELDS} for key in self.keys]
        told = pd.DataFrame(keys, columns=list(KEY_FIELDS)).astype({n: column_dtype(n) for n in KEY_FIELDS})
        told["parameters"] = [_parameters(key["parameters"], "parameters") for key in keys]
        n_facts, n_means = self.values.shape
        entity = np.tile(np.array(self.entities, dtype=object), n_means)
        found = told.loc[np.repeat(np.arange(n_means), n_facts)].reset_index(drop=True)
        found.insert(0, "entity", entity)
        return found.assign(value=self.values.T.ravel())


@dataclass(frozen=True, eq=False)
class Record:
    """What one shard of work yields: rows, absent values, long tables and arrays by name, values behind means.

    Raises ValueError where two rows have one key, where a table's column names repeat, or where a table holds
    an infinite number (a missing value in a table is None or NaN and is stored as null).
    """

    rows: tuple[Row, ...] = ()
    absent: tuple[Absent, ...] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    observations: tuple[Observations, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(self.rows))
        object.__setattr__(self, "absent", tuple(self.absent))
        object.__setattr__(self, "tables", {str(name): _table(name, frame) for name, frame in self.tables.items()})
        refuse_repeated_keys(self.rows)


def refuse_repeated_keys(rows: Iterable[Row]) -> None:
    """Raise ValueError where two rows say what the same value is."""
    seen: dict[tuple[str | int | None, ...], Row] = {}
    for row in rows:
        other = seen.setdefault(row.key, row)
        if other is not row:
            given = {name: value for name, value in zip(KEY_FIELDS, row.key, strict=True) if value is not None}
            raise ValueError(
                f"two values for one key: {canonical_json(given)} has {other.value} and {row.value}; "
                "tell them apart by condition, source or parameters"
            )


def _table(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    columns = [str(column) for column in frame.columns]
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise ValueError(f"table {name!r} has several columns named {', '.join(repeated)}")
    copy = frame.reset_index(drop=True)
    copy.columns = pd.Index(columns, dtype=object)
    infinite = [column for column in columns if _holds_infinity(copy[column])]
    if infinite:
        raise ValueError(f"table {name!r} holds infinite numbers in {', '.join(infinite)}: leave undefined values out")
    return copy


def _holds_infinity(column: pd.Series[Any]) -> bool:
    return bool(column.dtype.kind == "f" and np.isinf(column.to_numpy(dtype=float, na_value=np.nan)).any())


def row_dict(row: Row | Absent) -> dict[str, Any]:
    """A row's columns in the order of the public format."""
    names = SUMMARY_FIELDS if isinstance(row, Row) else ABSENT_FIELDS
    return {name: getattr(row, name) for name in names}


def row_from_dict(values: Mapping[str, Any]) -> Row:
    """The row of a mapping such as `row_dict` makes; KeyError where a field is missing, else as `Row`."""
    return Row(**{spec.name: values[spec.name] for spec in dataclasses.fields(Row)})


def absent_from_dict(values: Mapping[str, Any]) -> Absent:
    """The absent value of a mapping such as `row_dict` makes; KeyError where a field is missing, else as `Absent`."""
    return Absent(**{spec.name: values[spec.name] for spec in dataclasses.fields(Absent)})


def summary_frame(rows: Iterable[Row]) -> pd.DataFrame:
    """The summary as a DataFrame: text as str or None, integers Int64, numbers float64 (missing: NaN)."""
    return _frame(rows, SUMMARY_FIELDS)


def absent_frame(rows: Iterable[Absent]) -> pd.DataFrame:
    """The absent values as a DataFrame, with the types of `summary_frame`."""
    return _frame(rows, ABSENT_FIELDS)


def column_dtype(name: str) -> str:
    """The pandas type of a column of the public format."""
    return "Int64" if name in INTEGER_FIELDS else "float64" if name in FLOAT_FIELDS else "object"


def _frame(rows: Iterable[Row | Absent], names: tuple[str, ...]) -> pd.DataFrame:
    listed = list(rows)
    columns = {name: pd.Series([getattr(row, name) for row in listed], dtype=column_dtype(name)) for name in names}
    return pd.DataFrame(columns, columns=list(names))
