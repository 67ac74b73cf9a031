"""A finished run as the sections see it: rows found by what they are, never by their place."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from rote.catalog import ExperimentCard
from rote.catalog.types import Shown
from rote.page import numbers
from rote.page.numbers import Form
from rote.records.outcomes import Outcome

INTEGER_KEYS = ("layer", "head", "neuron")
PLACE = ("stack", "condition", "relation", "site", "source", "layer", "head", "neuron", "cls", "position")
# what is studied; every other stack is a control of the line-up
STUDIED = ("model", "effective")
# the weights and the table that the published values were measured with
STUDYS_MODEL, STUDYS_FACTS, STUDYS_RELATION = "pythia-2.8b", "athletes", "sport"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One row: its value, interval, n and the key fields that the report uses."""

    experiment: str
    stack: str | None
    statistic: str
    condition: str | None
    relation: str | None
    site: str | None
    source: str | None
    layer: int | None
    head: int | None
    neuron: int | None
    cls: str | None
    position: str | None
    parameters: Mapping[str, Any]
    value: float
    low: float | None
    high: float | None
    n: int | None
    unit: str | None
    p_adjusted: float | None
    shown: Shown = "plain"

    @property
    def form(self) -> Form:
        return Form(unit=self.unit, shown=self.shown)

    @property
    def number(self) -> str:
        return numbers.number(self.form, self.value, self.low, self.high)

    @property
    def interval(self) -> str:
        return numbers.interval(self.form, self.value, self.low, self.high)

    @property
    def full(self) -> str:
        return numbers.full(self.form, self.value, self.low, self.high, self.n)

    @property
    def count(self) -> str:
        return "" if self.n is None else f"{self.n:,}"

    @property
    def where(self) -> str:
        """The key fields that it has."""
        return _placed({**{key: getattr(self, key) for key in PLACE}, **self.parameters})

    @property
    def name(self) -> str:
        """The node: L5H3, MLP 4, or what the row's source says."""
        return node_name(self.layer, self.head) if self.layer is not None else source_name(self.source)


def node_name(layer: int | None, head: int | None) -> str:
    """L5H3 for a head, "MLP 5" for a layer's MLP."""
    return f"L{layer}H{head}" if head is not None else f"MLP {layer}"


def source_name(source: str | None) -> str:
    """ "mlp.2" as "MLP 2"; anything else as it is."""
    if source and source.startswith("mlp."):
        return f"MLP {source.removeprefix('mlp.')}"
    return source or ""


def layer_name(layer: int) -> str:
    """Layers by number; −1 is the input of the first."""
    return "input" if layer < 0 else str(layer)


@dataclass(frozen=True, kw_only=True)
class Missing:
    """One absent value and why."""

    experiment: str
    statistic: str | None
    reason: str
    where: str


@dataclass(frozen=True, kw_only=True)
class View:
    """study.json, the summary, the absent table, the verdicts and the long tables (read when asked for).

    `table(experiment, name)` gives a DataFrame or None. Everything here speaks of the model and its
    effective model, except where a control's name is asked for as `stack`. `cards` are those of its experiments.
    """

    study: Mapping[str, Any]
    summary: pd.DataFrame
    absent: pd.DataFrame
    table: Callable[[str, str], pd.DataFrame | None] = field(repr=False)
    outcomes: tuple[Outcome, ...] = ()
    cards: Mapping[str, ExperimentCard] = field(default_factory=dict)

    def form(self, experiment: str, statistic: str) -> Form:
        """How a statistic's numbers are written; as they are where no card speaks of it."""
        card = self.cards.get(experiment)
        try:
            found = None if card is None else card.statistic(statistic)
        except KeyError:
            found = None
        return Form() if found is None else Form(unit=found.unit, shown=found.shown)

    def _measured(self, row: Mapping[Any, Any]) -> Measured:
        return _measured(row, self.form(str(row["experiment"]), str(row["statistic"])).shown)

    @cached_property
    def measured(self) -> tuple[Measured, ...]:
        return tuple(self._measured(row) for row in self.summary[_is_studied(self.summary)].to_dict("records"))

    @cached_property
    def missing(self) -> tuple[Missing, ...]:
        return tuple(_missing(row) for row in self.absent[_is_studied(self.absent)].to_dict("records"))

    @cached_property
    def controls(self) -> tuple[str, ...]:
        """The names of the line-up's controls that have values or reasons, in their order."""
        stacks = [*self.summary["stack"].unique(), *self.absent["stack"].unique()]
        return tuple(dict.fromkeys(str(s) for s in stacks if not pd.isna(s) and s not in STUDIED))

    @property
    def n_control_values(self) -> int:
        return int((~_is_studied(self.summary)).sum())

    def rows(self, experiment: str, *statistics: str, **where: Any) -> tuple[Measured, ...]:
        """The rows of an experiment with one of these statistics and exactly these key fields."""
        return tuple(
            row
            for row in self._pool(experiment, where.get("stack"))
            if (not statistics or row.statistic in statistics)
            and all(_matches(getattr(row, key), wanted) for key, wanted in where.items())
        )

    def one(self, experiment: str, statistic: str, **where: Any) -> Measured | None:
        """The first such row, None where there is none."""
        return next(iter(self.rows(experiment, statistic, **where)), None)

    def reasons(self, experiment: str, statistic: str | None = None) -> tuple[str, ...]:
        """Why values of an experiment are absent, each reason once."""
        found = (m.reason for m in self.missing if m.experiment == experiment)
        if statistic is not None:
            found = (m.reason for m in self.missing if m.experiment == experiment and m.statistic == statistic)
        return tuple(dict.fromkeys(found))

    def relations(self, experiment: str) -> tuple[str | None, ...]:
        """The relations of an experiment's rows, in order; (None,) where it does not tell them apart."""
        return tuple(dict.fromkeys(row.relation for row in self._by_experiment.get(experiment, ())))

    @property
    def is_toy(self) -> bool:
        """Whether `rote toy` made the run: small networks and no language model."""
        return "toy" in self.study

    @property
    def is_pythia(self) -> bool:
        """Whether model and facts (if any) are the study's own, so that its published values belong beside ours."""
        model = str(self.study.get("model", "")).lower().rstrip("/").rsplit("/", 1)[-1]
        facts = self.study.get("facts", "")
        name = str(facts.get("name", "") if isinstance(facts, Mapping) else facts)
        return model == STUDYS_MODEL and (facts is None or name == STUDYS_FACTS)

    def _pool(self, experiment: str, stack: Any) -> tuple[Measured, ...]:
        asked = stack if isinstance(stack, tuple) else (stack,)
        if all(s is None or s in STUDIED for s in asked):
            return self._by_experiment.get(experiment, ())
        return tuple(row for s in asked for row in self._of_stack(experiment, s))

    def _of_stack(self, experiment: str, stack: str | None) -> tuple[Measured, ...]:
        # one stack of one experiment at a time: a line-up multiplies the rows, and few of them are shown
        if (experiment, stack) not in self._found:
            same = self.summary["stack"].isna() if stack is None else self.summary["stack"] == stack
            frame = self.summary[same & (self.summary["experiment"] == experiment)]
            self._found[experiment, stack] = tuple(self._measured(row) for row in frame.to_dict("records"))
        return self._found[experiment, stack]

    @cached_property
    def _found(self) -> dict[tuple[str, str | None], tuple[Measured, ...]]:
        return {}

    @cached_property
    def _by_experiment(self) -> dict[str, tuple[Measured, ...]]:
        grouped: dict[str, list[Measured]] = {}
        for row in self.measured:
            grouped.setdefault(row.experiment, []).append(row)
        return {name: tuple(rows) for name, rows in grouped.items()}


def _is_studied(frame: pd.DataFrame) -> pd.Series[bool]:
    return frame["stack"].isna() | frame["stack"].isin(STUDIED)


def _matches(found: Any, wanted: Any) -> bool:
    return found in wanted if isinstance(wanted, tuple) else bool(found == wanted)


def _plain(value: Any) -> Any:
    return None if value is None or pd.isna(value) else value


def _text(value: Any) -> str | None:
    value = _plain(value)
    return None if value is None else str(value)


def _whole(value: Any) -> int | None:
    value = _plain(value)
    return None if value is None else int(value)


def _real(value: Any) -> float | None:
    value = _plain(value)
    return None if value is None else float(value)


def _parameters(value: Any) -> Mapping[str, Any]:
    text = _text(value)
    loaded = json.loads(text) if text else {}
    return loaded if isinstance(loaded, dict) else {}


def _measured(row: Mapping[Any, Any], shown: Shown) -> Measured:
    return Measured(
        experiment=str(row["experiment"]),
        stack=_text(row.get("stack")),
        statistic=str(row["statistic"]),
        condition=_text(row.get("condition")),
        relation=_text(row.get("relation")),
        site=_text(row.get("site")),
        source=_text(row.get("source")),
        layer=_whole(row.get("layer")),
        head=_whole(row.get("head")),
        neuron=_whole(row.get("neuron")),
        cls=_text(row.get("cls")),
        position=_text(row.get("position")),
        parameters=_parameters(row.get("parameters")),
        value=float(row["value"]),
        low=_real(row.get("ci_low")),
        high=_real(row.get("ci_high")),
        n=_whole(row.get("n")),
        unit=_text(row.get("unit")),
        p_adjusted=_real(row.get("p_adjusted")),
        shown=shown,
    )


def _missing(row: Mapping[Any, Any]) -> Missing:
    values = {key: _text(row.get(key)) for key in PLACE}
    for key in INTEGER_KEYS:
        if values.get(key) is not None:
            values[key] = str(_whole(row.get(key)))
    return Missing(
        experiment=str(row["experiment"]),
        statistic=_text(row.get("statistic")),
        reason=_text(row.get("reason")) or "no reason given",
        where=_placed(values),
    )


def _placed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items() if value is not None)
