"""How much of the residual stream the last few tokens account for, layer by layer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int

from rote.errors import NotApplicable
from rote.experiments.base import Experiment, Reading
from rote.experiments.cost import Cost, Sizes
from rote.experiments.local_processing.card import CARD
from rote.experiments.local_processing.contexts import Contexts, cosines
from rote.experiments.tabulator import Population, Tabulator
from rote.model import Model
from rote.model.placing import require_positions
from rote.settings import Settings
from rote.statistics import PigeonholeBootstrap, rng
from rote.text import CATEGORIES, Strings, Text, cut_strings

MEDIANS_S = 1.5e-8  # all medians of one layer and length, per resample and token, as measured
TOKENS_PER_PROMPT = 16  # batch_size counts prompts of facts; a batch of strings has as many tokens as those
ALL = "all"


class LocalProcessing(Experiment):
    """Cosine between the residual stream with full context and with the last few tokens, both minus the mean.

    Strings are cut by `cut_strings`; the places looked at are drawn from those whose full context is longer than
    every truncated one, so that all lengths speak of the same tokens. Source: Fact Finding, post 5.
    """

    card = CARD

    def check(self, model: Model, text: Text | None, settings: Settings) -> None:
        """TextError where the text is too short."""
        if text is not None:
            strings_of(Reading(model=model, words=text, settings=settings))

    def cost(self, sizes: Sizes) -> Cost:
        reading, settings = sizes.reading, sizes.settings
        strings = strings_of(reading)
        lengths = [k for k in settings.text_lengths if k < strings.length]
        looked_at = len(strings) * min(settings.text_tokens, strings.length - max(lengths, default=0))
        medians = sizes.n_layers * len(lengths) * MEDIANS_S * settings.n_bootstrap * looked_at
        return Cost(tokens=strings.tokens.size + looked_at * sum(k + 1 for k in lengths), seconds=medians)

    def measure(self, reading: Reading, out: Tabulator) -> None:
        model, settings = reading.model, reading.settings
        kept = settings.text_positions == "kept"
        if kept:
            _require_positions(reading)
        strings = strings_of(reading)
        lengths = tuple(k for k in settings.text_lengths if k < strings.length)
        places = sampled_places(strings, max(lengths, default=0), settings)
        contexts = Contexts(
            model=model,
            strings=torch.as_tensor(strings.tokens),
            places=torch.as_tensor(places),
            batch_tokens=settings.batch_size * TOKENS_PER_PROMPT,
        )
        found = cosines(contexts, lengths, kept=kept).double().numpy()
        _rows(out, strings, places, lengths, found, settings, bos=contexts.bos is not None)


def strings_of(reading: Reading) -> Strings:
    """The study's strings; TextError where the text is too short."""
    settings = reading.settings
    return cut_strings(
        reading.text,
        reading.model.tokenizer,
        length=context_length(reading),
        count=settings.text_strings,
        n_common=settings.text_common_words,
        generator=rng(settings.seed, "strings", reading.text.hash),
    )


def context_length(reading: Reading) -> int:
    """Tokens of a string: the setting, or what the model's positions leave beside bos."""
    limit = getattr(reading.model.config, "max_position_embeddings", None)
    if limit is None:
        return reading.settings.text_context
    return min(reading.settings.text_context, int(limit) - (reading.model.tokenizer.bos_token_id is not None))


def sampled_places(strings: Strings, longest: int, settings: Settings) -> Int[np.ndarray, "string taken"]:
    """At most text_tokens random places of every string, ascending, each behind at least `longest` others."""
    generator = rng(settings.seed, "places", "local_processing")
    candidates = np.arange(longest, strings.length)
    taken = min(settings.text_tokens, len(candidates))
    return np.stack([np.sort(generator.choice(candidates, taken, replace=False)) for _ in range(len(strings))])


def _require_positions(reading: Reading) -> None:
    try:
        require_positions(reading.model.module.base_model)  # type: ignore[arg-type]
    except NotApplicable as error:
        raise NotApplicable(f"{error.reason}; the setting text_positions = reset needs none") from error


def _rows(
    out: Tabulator,
    strings: Strings,
    places: Int[np.ndarray, "string taken"],
    lengths: tuple[int, ...],
    found: Float[np.ndarray, "token layer length"],
    settings: Settings,
    *,
    bos: bool,
) -> None:
    string = np.repeat(np.arange(len(strings)), places.shape[1])
    category = strings.category[string, places.ravel()]
    generator = rng(settings.seed, "bootstrap", "local_processing")
    # tokens of one string are not independent: strings are resampled whole
    resamples = PigeonholeBootstrap(string, string, n_resamples=settings.n_bootstrap, generator=generator)
    out = out.over(Population(bootstrap=resamples))
    common: dict[str, object] = {"positions": settings.text_positions}
    out.value("n_strings", len(strings), parameters={"tokens": strings.length, "bos": bos})
    for name in (ALL, *CATEGORIES):
        where = np.ones(len(string), dtype=bool) if name == ALL else category == name
        out.value("n_tokens", int(where.sum()), condition=name)
        if not where.any():
            reason = f"none of the {len(string):,} tokens looked at is of this category"
            for statistic in ("truncated_cosine", "truncated_cosine_squared"):
                out.absent(statistic, reason, condition=name, parameters=common)
            continue
        _medians(out, found, where, name, lengths, common)
    reason = f"a string has {strings.length} tokens, so no context of this length is truncated"
    for length in settings.text_lengths:
        if length not in lengths:
            for statistic in ("truncated_cosine", "truncated_cosine_squared"):
                out.absent(statistic, reason, parameters={"length": length, **common})
    tokens = pd.DataFrame(
        {
            "string": string,
            "place": places.ravel(),
            "token": strings.shown[string, places.ravel()],
            "category": category,
        }
    )
    out.table("tokens", tokens)
    out.table("cosines", _long(found, lengths))


def _medians(
    out: Tabulator,
    found: Float[np.ndarray, "token layer length"],
    where: Bool[np.ndarray, " token"],
    condition: str,
    lengths: tuple[int, ...],
    common: dict[str, object],
) -> None:
    """Both statistics for every layer and length; a layer whose stream is the same everywhere has none."""
    for layer in range(found.shape[1]):
        of_layer = found[:, layer]
        defined = where & np.isfinite(of_layer).all(axis=1)
        for statistic, values in (("truncated_cosine", of_layer), ("truncated_cosine_squared", of_layer**2)):
            keys = [{"layer": layer, "condition": condition, "parameters": {"length": k, **common}} for k in lengths]
            try:
                estimates = out.bootstrap.medians(np.where(defined[:, None], values, 0.0), where=defined)
            except NotApplicable:
                for key in keys:
                    out.absent(statistic, "the residual stream is the same at every token", site="resid_post", **key)
                continue
            for estimate, key in zip(estimates, keys, strict=True):
                out.estimate(statistic, estimate, site="resid_post", **key)


def _long(found: Float[np.ndarray, "token layer length"], lengths: tuple[int, ...]) -> pd.DataFrame:
    """One row per token, layer and length; `token` is the row of the table `tokens`."""
    token, layer, column = (index.ravel() for index in np.indices(found.shape))
    cosine = found.ravel().astype(np.float32)
    return pd.DataFrame(
        {"token": token, "layer": layer, "length": np.array(lengths, dtype=int)[column], "cosine": cosine}
    )
