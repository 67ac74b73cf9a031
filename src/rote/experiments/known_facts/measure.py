"""Which facts the model knows, beside what the name tokens alone would tell."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from rote.asking import KnownFacts
from rote.experiments.base import Experiment, Facts
from rote.experiments.cost import Cost, Sizes
from rote.experiments.known_facts.card import CARD
from rote.experiments.tabulator import Tabulator
from rote.facts import RelationPrompts, Tokenizer
from rote.facts.parts import KINDS, NO_PART
from rote.settings import KNOWN, Settings
from rote.statistics import additive_fit, baseline_first, baseline_last, baseline_majority


class KnownFactsExperiment(Experiment):
    """Accuracy, loss and baselines of parts alone, of all names, those of two tokens, of two parts, and by length."""

    card = CARD

    def cost(self, sizes: Sizes) -> Cost:
        return Cost(blocks=sizes.n_facts * sizes.n_layers)

    def measure(self, given: Facts, out: Tabulator) -> None:
        prompts, known = given.prompts, given.known
        two = prompts.n_name_tokens == 2
        every = np.ones(len(prompts), dtype=bool)
        for condition, where in (("all", every), ("two_token", two)):
            if where.any():
                _rows(out, prompts, known, given.settings, condition, where)
            else:
                out.absent("accuracy", "no name in the table has exactly two tokens", condition=condition)
        parts = prompts.has_first
        if (parts & ~two).any():  # else they are the two-token names, whose parts are tokens
            _rows(out, prompts, known, given.settings, "two_part", parts)
            _over_tokens(out, prompts, "all_over_tokens", every)
            _over_tokens(out, prompts, "two_part_over_tokens", parts)
        _by_length(out, prompts, known, given.settings)
        out.table("facts", _table(prompts, known, given.model.tokenizer))
        out.table("left_out", _left_out(prompts))
        merged = prompts.merged()
        out.value("n_answers", len(prompts.classes), n=len(prompts))
        out.value("n_circuit_classes", len(merged.classes), n=len(prompts))
        out.table("answers", _answers(prompts, merged, given.model.tokenizer))


def _rows(
    out: Tabulator,
    prompts: RelationPrompts,
    known: KnownFacts,
    settings: Settings,
    condition: str,
    where: np.ndarray,
) -> None:
    n, cls, some = int(where.sum()), prompts.cls[where], prompts.take(where)
    first, last, has_first = some.first, some.last, some.has_first
    out.value("n_facts", n, condition=condition, n=n)
    out.value("n_known", int(known.known[where].sum()), condition=condition, n=n)
    for how in KNOWN:
        out.value(f"n_known_{how}", int(known.by(how, prompts.cls, settings)[where].sum()), condition=condition, n=n)
    shares_first, shares_last = _shared(first) & has_first, _shared(last)
    values = {
        "accuracy": known.correct[where],
        "accuracy_cls": known.predicted_cls[where] == cls,
        "baseline_majority": baseline_majority(cls),
        "baseline_last": baseline_last(cls, last),
        "baseline_first": baseline_first(cls, first, has_first),
        "baseline_additive_fit": additive_fit(cls, first, last, has_first),
        "shared_first": shares_first,
        "shared_last": shares_last,
        "shared_both": shares_first & shares_last,
    }
    for statistic, value in values.items():
        out.mean(statistic, _spread(value, where), where=where, condition=condition)
    out.mean("loss_nats", -known.log_prob, where=where, condition=condition)
    for index, name in enumerate(prompts.classes):
        members = where & (prompts.cls == index)
        out.mean("loss_nats", -known.log_prob, where=members, condition=condition, cls=name)


def _over_tokens(out: Tabulator, prompts: RelationPrompts, condition: str, where: Bool[np.ndarray, " fact"]) -> None:
    """The baselines over the first and the last token of a name; one of one token has a last token only."""
    cls, several = prompts.cls[where], prompts.n_name_tokens[where] > 1
    names = [name for name, there in zip(prompts.name_tokens, where.tolist(), strict=True) if there]
    first = np.array([name[0] if len(name) > 1 else NO_PART for name in names])
    last = np.array([name[-1] for name in names])
    right = {"baseline_last": baseline_last(cls, last), "baseline_first": baseline_first(cls, first, several)}
    for statistic, value in right.items():
        out.mean(statistic, _spread(value, where), where=where, condition=condition)


def _by_length(out: Tabulator, prompts: RelationPrompts, known: KnownFacts, settings: Settings) -> None:
    """What is known by words and by tokens of the names, where these differ; small groups are counted as absent."""
    for unit, lengths in (("words", _words(prompts)), ("tokens", prompts.n_name_tokens)):
        groups = np.unique(lengths).tolist()
        if len(groups) < 2:
            continue
        large = [length for length in groups if (lengths == length).sum() >= settings.stratum_facts]
        for length in large:
            key = {"condition": f"by_{unit}", "parameters": {unit: length}}
            where = lengths == length
            out.value("n_known", int(known.known[where].sum()), n=int(where.sum()), **key)
            out.mean("accuracy", known.correct, where=where, **key)
        if small := [length for length in groups if length not in large]:
            n = int(np.isin(lengths, small).sum())
            reason = f"{n} names of {', '.join(map(str, small))} {unit}: fewer than {settings.stratum_facts} of each"
            out.absent("accuracy", reason, condition=f"by_{unit}")


def _words(prompts: RelationPrompts) -> Int[np.ndarray, " fact"]:
    return np.array([len(entity.split()) for entity in prompts.entities])


def _spread(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Values of the chosen facts, in an array over all facts."""
    spread = np.zeros(len(where))
    spread[where] = values
    return spread


def _shared(tokens: np.ndarray) -> np.ndarray:
    _, index, counts = np.unique(tokens, return_inverse=True, return_counts=True)
    shared: np.ndarray = counts[index] > 1
    return shared


def _table(prompts: RelationPrompts, known: KnownFacts, tokenizer: Tokenizer) -> pd.DataFrame:
    parts = [(name[:cut], name[cut:]) for name, cut in zip(prompts.name_tokens, prompts.cut.tolist(), strict=True)]
    text = {part: tokenizer.decode(list(part)) for part in set(chain.from_iterable(parts))}
    return pd.DataFrame(
        {
            "entity": [fact.entity for fact in prompts.facts],
            "relation": prompts.relation.name,
            "attribute": [fact.attribute for fact in prompts.facts],
            "cls": [prompts.classes[c] for c in prompts.cls],
            "n_name_words": _words(prompts),
            "n_name_tokens": prompts.n_name_tokens,
            "cut": [KINDS[kind] for kind in prompts.kind],
            "log_prob": known.log_prob,
            "prob": np.exp(known.log_prob),
            "rank": known.rank,
            "token_log_prob": known.token_log_prob,
            "token_rank": known.token_rank,
            "prediction_cls": [prompts.classes[c] for c in known.predicted_cls],
            "correct": known.correct,
            "known": known.known,
            "first": [text[first] for first, _ in parts],
            "last": [text[last] for _, last in parts],
        }
    )


def _answers(prompts: RelationPrompts, merged: RelationPrompts, tokenizer: Tokenizer) -> pd.DataFrame:
    """Every class: its facts, spellings and tokens, its class token, and the circuit's class that it is part of."""
    circuit = {int(token): name for token, name in zip(merged.class_tokens, merged.classes, strict=True)}
    return pd.DataFrame(
        {
            "relation": prompts.relation.name,
            "cls": prompts.classes,
            "n_facts": np.bincount(prompts.cls, minlength=len(prompts.classes)),
            "n_spellings": [len(spellings) for spellings in prompts.answers],
            "n_tokens": [len(spellings[0]) for spellings in prompts.answers],
            "class_token": [tokenizer.decode([int(token)]) for token in prompts.class_tokens],
            "circuit_cls": [circuit[int(token)] for token in prompts.class_tokens],
        }
    )


def _left_out(prompts: RelationPrompts) -> pd.DataFrame:
    """Every fact of the source that was not asked, with the reason."""
    rows = [(left.entity, left.relation, left.reason) for left in prompts.left_out]
    return pd.DataFrame(rows, columns=["entity", "relation", "reason"], dtype="str")


def from_table(table: pd.DataFrame, prompts: RelationPrompts) -> KnownFacts:
    """What was measured, read back from the record of an earlier run of the same study."""
    order = {name: index for index, name in enumerate(prompts.classes)}
    return KnownFacts(
        log_prob=table["log_prob"].to_numpy(dtype=float),
        rank=table["rank"].to_numpy(),
        correct=table["correct"].to_numpy(dtype=bool),
        predicted_cls=table["prediction_cls"].map(order).to_numpy(),
        known=table["known"].to_numpy(dtype=bool),
        token_log_prob=table["token_log_prob"].to_numpy(dtype=float),
        token_rank=table["token_rank"].to_numpy(),
    )
