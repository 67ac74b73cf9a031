"""Every documented threshold and size of a study, in one frozen object that is part of the run's identity."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rote.errors import SettingsError

_FRACTIONS = ("known_probability", "window_keep", "window_plateau", "window_drop", "window_least")
SPLITS = ("last_word", "first_word", "last_token")
SWEEPS = ("auto", "exact", "first_order")


KNOWN = ("probability", "top1", "among_answers")
ANSWERS = ("whole", "first_token")
BLANKS = ("auto", "always", "never")

MOST_SHOTS = 32
_FROM_ZERO = ("seed", "readout_tolerance", "shots")

_OF_WORDS: dict[str, tuple[str, ...]] = {
    "sweeps": SWEEPS,
    "split": SPLITS,
    "known": KNOWN,
    "answers": ANSWERS,
    "blank": BLANKS,
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Choices that the posts leave open, each with its default; changing one makes another study.

    Attributes:
        answers: an answer is scored `whole`, or by its `first_token` behind what all of them begin with.
        blank: put between question and answer: `auto`, where the characters at the joint ask for it, `always`, `never`.
        chat: put the question as a turn of the tokenizer's chat, examples as earlier turns.
        known: a fact is known by `probability`, where that of its answer exceeds known_probability, `top1`, where the
            likeliest tokens are the answer's, or `among_answers`, where it is the likeliest of the relation's answers.
        known_probability: a fact is known when the probability of its answer exceeds this.
        min_known: fewer known facts than this end the study early, with that finding.
        split: where names are cut in two: before the `last_word`, behind the `first_word`, before the `last_token`.
        stratum_parts, stratum_facts: names of one kind and length make a product where they have so many first parts
            and last parts, and are so many.
        n_top_heads: how many heads count as top heads.
        n_resamples_ablation: random facts of another class drawn for each resample ablation.
        readout_tolerance: the fewest heads whose readout is within this accuracy of the best are taken.
        window_keep: ablating attention at the name from a layer on must keep away this share of the loss that the name
            keeps away.
        window_plateau: the look-up ends where the readout reaches this share of its plateau.
        window_drop: of what a linear model on E_first + E_last loses more than the model, the model must lose this
            share without the window's MLPs, and the effective model must find it.
        window_least: that linear model must lose so many nats more than the model, else there is nothing to look up.
        product_side: names per side of the product on which main effects are measured for the model.
        product_partners: partners per name where the product is too large to be complete.
        max_entities: entities used by the stack experiments.
        product_names: first and last names per side of a complete product on a stack.
        n_members, n_trained_members: seeds of every control in the line-up, closed-form and trained by steps.
        n_member_bootstrap: resamples behind the interval of one member.
        n_refine_steps: the most gradient steps that a control gets to be matched.
        n_bootstrap: resamples behind every interval.
        batch_size: prompts per forward pass at most; part of the batch plan, so of the fingerprint.
        shots: facts of the relation that stand as examples before its question, and are not studied themselves.
        sweeps: how the effects of all neurons, heads and edges are taken: `exact`, `first_order` (slope × change), or
            `auto`, exact where the cost allows it; first order always reports its agreement with exact values.

    Shares, probabilities and accuracies are fractions. Raises SettingsError with every setting that is out of range.
    """

    answers: str = "whole"
    blank: str = "auto"
    chat: bool = False
    known: str = "probability"
    known_probability: float = 0.5
    min_known: int = 24
    split: str = "last_word"
    stratum_parts: int = 8
    stratum_facts: int = 16
    n_top_heads: int = 6
    n_resamples_ablation: int = 2
    readout_tolerance: float = 0.01
    window_keep: float = 0.9
    window_plateau: float = 0.9
    window_drop: float = 0.5
    window_least: float = 0.05
    product_side: int = 100
    product_partners: int = 16
    max_entities: int = 400
    product_names: int = 200
    n_members: int = 20
    n_trained_members: int = 5
    n_member_bootstrap: int = 200
    n_refine_steps: int = 600
    n_bootstrap: int = 2000
    batch_size: int = 256
    shots: int = 0
    sweeps: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, bool):
                if not isinstance(value, bool):
                    problems.append(f"setting {field.name} is {value!r}; expected true or false")
            elif field.name in _OF_WORDS:
                words = _OF_WORDS[field.name]
                if value not in words:
                    problems.append(f"setting {field.name} is {value!r}; expected one of {', '.join(words)}")
            elif isinstance(value, float) and not math.isfinite(value):
                problems.append(f"setting {field.name} is {value}; expected a finite number")
            elif isinstance(field.default, int) and (not isinstance(value, int) or isinstance(value, bool)):
                problems.append(f"setting {field.name} is {value!r}; expected a whole number")
            elif not isinstance(value, (int, float)) or isinstance(value, bool):
                problems.append(f"setting {field.name} is {value!r}; expected a number")
            elif field.name in _FRACTIONS and not 0 < value < 1:
                problems.append(f"setting {field.name} is {value}; expected a fraction between 0 and 1")
            elif field.name not in _FRACTIONS and field.name not in _FROM_ZERO and value < 1:
                problems.append(f"setting {field.name} is {value}; expected at least 1")
            elif value < 0:
                problems.append(f"setting {field.name} is {value}; expected 0 or more")
            elif field.name == "shots" and value > MOST_SHOTS:
                problems.append(f"setting shots is {value}; expected at most {MOST_SHOTS}")
        if problems:
            raise SettingsError(problems)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Settings:
        """Settings from a mapping; SettingsError for unknown names, with those that exist, and values out of range."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        problems = []
        if unknown:
            problems.append(
                f"unknown settings {', '.join(unknown)}; the settings are {', '.join(sorted(known))}; parameters of an "
                "experiment are set as --set EXPERIMENT.NAME=VALUE"
            )
        given: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if name in known
        }
        try:
            settings = cls(**given)
        except SettingsError as error:
            raise SettingsError([*problems, *error.problems]) from error
        if problems:
            raise SettingsError(problems)
        return settings

    @classmethod
    def read(cls, path: str | Path) -> Settings:
        """Settings from a JSON file that holds one object; SettingsError where it cannot be read, and as `of` says."""
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"), object_pairs_hook=_object)
        except (OSError, ValueError, RecursionError) as error:
            raise SettingsError(f"cannot read settings from {path}: {error}; expected a JSON object") from error
        if not isinstance(values, dict):
            raise SettingsError(f"{path} holds a {type(values).__name__}; expected one JSON object of settings")
        return cls.of(values)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's pairs; json alone would silently keep the last of two equal names."""
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands there more than once")
    return dict(pairs)
