"""Parameters of experiments: read from words, checked, and put into the experiments that have them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from rote.errors import SettingsError
from rote.experiments.base import Experiment

_E = TypeVar("_E", bound=Experiment)


def parameters_of(experiment: Experiment) -> dict[str, Any]:
    """Name and value of each; none where the class is no data class."""
    return {f.name: getattr(experiment, f.name) for f in fields(experiment)} if is_dataclass(experiment) else {}


def checked(experiment: Experiment, **more: tuple[bool, str]) -> None:
    """Refuse whole numbers below 1, and what of `more` does not hold: by parameter, whether, and what was expected.

    Raises SettingsError with every problem.
    """
    found = parameters_of(experiment)
    problems = [
        f"{experiment.name}.{name} is {value}; expected at least 1"
        for name, value in found.items()
        if isinstance(value, int) and not isinstance(value, bool) and value < 1
    ]
    problems += [
        f"{experiment.name}.{name} is {found[name]!r}; expected {expected}"
        for name, (holds, expected) in more.items()
        if not holds
    ]
    if problems:
        raise SettingsError(problems)


def with_parameters(experiments: Sequence[_E], changes: Mapping[str, Any]) -> tuple[_E, ...]:
    """The experiments with some parameters changed, `experiment.name` by value or by the words of one.

    Raises SettingsError for names that nobody has, and for values of another kind, all at once.
    """
    problems: list[str] = []
    named = {e.name: e for e in experiments}
    for place, value in changes.items():
        name, _, parameter = place.partition(".")
        there = parameters_of(named[name]) if name in named else {}
        if parameter not in there:
            known = [f"{e.name}.{p}" for e in experiments for p in parameters_of(e)]
            problems.append(f"no experiment chosen has the parameter {place}; there are {', '.join(known)}")
            continue
        try:
            given = read_value(value, there[parameter]) if isinstance(value, str) else value
            named[name] = replace(named[name], **{parameter: given})  # type: ignore[type-var]
        except SettingsError as error:
            problems += error.problems
        except (KeyError, ValueError, TypeError):
            problems.append(f"{place} is {value!r}; expected a value such as {shown(there[parameter])}")
    if problems:
        raise SettingsError(problems)
    return tuple(named[e.name] for e in experiments)


def read_changes(words: Sequence[str]) -> dict[str, str]:
    """`name=value` as (name, value); SettingsError for words without an equals sign."""
    parts = [word.partition("=") for word in words]
    lacking = [f"{name!r}: expected NAME=VALUE" for name, equals, _ in parts if not equals]
    if lacking:
        raise SettingsError(lacking)
    return {name: value for name, _, value in parts}


def read_value(text: str, default: Any) -> Any:
    """A value of the kind of a default: words separated by commas for a tuple, JSON for a tuple of tuples or for None.

    Raises ValueError, KeyError or TypeError for words that are none.
    """
    if isinstance(default, tuple):
        if text.lstrip().startswith("[") or any(isinstance(v, tuple) for v in default):
            return tuple(tuple(v) if isinstance(v, list) else v for v in json.loads(text))
        kind = type(default[0]) if default else str
        return tuple(kind(word.strip()) for word in text.split(",") if word.strip())
    if isinstance(default, bool):
        return {"true": True, "false": False}[text.lower()]
    return json.loads(text) if default is None else type(default)(text)


def shown(value: Any) -> str:
    """A value in the words that `read_value` reads."""
    flat = isinstance(value, tuple) and not any(isinstance(v, tuple) for v in value)
    return ",".join(map(str, value)) if flat else value if isinstance(value, str) else json.dumps(value)
