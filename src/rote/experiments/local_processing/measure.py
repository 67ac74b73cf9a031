"""How much of the residual stream the last few tokens account for, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int

from rote.errors import NotApplicable
from rote.experiments.base import Experiment, Reading
from rote.experiments.cost import Cost, Sizes
from rote.experiments.local_processing.card import CARD
from rote.experiments.local_processing.contexts import Contexts, cosines
from rote.experiments.parameters import checked
from rote.experiments.tabulator import Population, Tabulator
from rote.model import Model
from rote.model.placing import require_positions
from rote.settings import Settings
from rote.statistics import PigeonholeBootstrap, rng
from rote.text import CATEGORIES, Strings, Text, cut_strings

POSITIONS = ("kept", "reset")
MEDIANS_S = 1.5e-8  # all medians of one layer and length, per resample and token, as measured
TOKENS_PER_PROMPT = 16  # batch_size counts prompts of facts; a batch of strings has as many tokens as those
ALL = "all"


@dataclass(frozen=True, kw_only=True)
class LocalProcessing(Experiment):
    """Cosine between the residual stream with full context and with the last few tokens, both minus the mean.

    Strings are cut by `cut_strings`; the places looked at are drawn from those whose full context is longer than
    every truncated one, so that all lengths speak of the same tokens. NotApplicable without a text, and with
    positions "kept" where a family's tokens cannot be told where they stand. Source: Fact Finding, post 5.

    Attributes:
        n_strings, n_tokens: random strings of the text, and tokens looked at in each.
        context: tokens of a string, so of a full context; fewer where the model takes fewer.
        lengths: how many last tokens, the one looked at among them, a truncated context keeps.
        positions: "kept" leaves the tokens of a truncated context where they stood in the string, "reset" puts them
            right behind the beginning of text.
        n_common_words: how many of the text's commonest words count as common.
    """

    card = CARD
    n_strings: int = 200
    n_tokens: int = 8
    context: int = 256
    lengths: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 50, 100)
    positions: str = "kept"
    n_common_words: int = 50

    def __post_init__(self) -> None:
        rising = bool(self.lengths) and list(self.lengths) == sorted(set(self.lengths)) and self.lengths[0] >= 1
        checked(
            self,
            lengths=(rising, "rising whole numbers from 1, such as 1,2,10"),
            positions=(self.positions in POSITIONS, " or ".join(POSITIONS)),
        )

    def check(self, model: Model, text: Text | None, settings: Settings) -> None:
        """TextError where the text is too short."""
        if text is not None:
            self.strings(Reading(model=model, words=text, settings=settings))

    def cost(self, sizes: Sizes) -> Cost:
        strings = self.strings(sizes.reading)
        lengths = [k for k in self.lengths if k < strings.length]
        looked_at = len(strings) * min(self.n_tokens, strings.length - max(lengths, default=0))
        medians = sizes.n_layers * len(lengths) * MEDIANS_S * sizes.settings.n_bootstrap * looked_at
        tokens = strings.tokens.size + looked_at * sum(k + 1 for k in lengths)
        return Cost(tokens=tokens, context=strings.length, seconds=medians)

    def measure(self, reading: Reading, out: Tabulator) -> None:
        model, settings = reading.model, reading.settings
        kept = self.positions == "kept"
        if kept:
            _require_positions(reading)
        strings = self.strings(reading)
        lengths = tuple(k for k in self.lengths if k < strings.length)
        places = sampled_places(strings, max(lengths, default=0), self.n_tokens, settings.seed)
        contexts = Contexts(
            model=model,
            strings=torch.as_tensor(strings.tokens),
            places=torch.as_tensor(places),
            batch_tokens=settings.batch_size * TOKENS_PER_PROMPT,
        )
        found = cosines(contexts, lengths, kept=kept).double().numpy()
        self._rows(out, strings, places, lengths, found, settings, bos=contexts.bos is not None)

    def strings(self, reading: Reading) -> Strings:
        """The strings that are read; TextError where the text is too short."""
        return cut_strings(
            reading.text,
            reading.model.tokenizer,
            length=context_length(reading.model, self.context),
            count=self.n_strings,
            n_common=self.n_common_words,
            generator=rng(reading.settings.seed, "strings", reading.text.hash),
        )

    def _rows(
        self,
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
        resamples = PigeonholeBootstrap(string, n_resamples=settings.n_bootstrap, generator=generator)
        out = out.over(Population(bootstrap=resamples))
        common: dict[str, object] = {"positions": self.positions}
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
        for length in self.lengths:
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


def context_length(model: Model, wanted: int) -> int:
    """Tokens of a string: as many as are wanted, or what the model's positions leave beside bos."""
    limit = getattr(model.config, "max_position_embeddings", None)
    return wanted if limit is None else min(wanted, int(limit) - (model.tokenizer.bos_token_id is not None))


def sampled_places(strings: Strings, longest: int, n_tokens: int, seed: int) -> Int[np.ndarray, "string taken"]:
    """At most n_tokens random places of every string, ascending, each behind at least `longest` others."""
    generator = rng(seed, "places", "local_processing")
    candidates = np.arange(longest, strings.length)
    taken = min(n_tokens, len(candidates))
    return np.stack([np.sort(generator.choice(candidates, taken, replace=False)) for _ in range(len(strings))])


def _require_positions(reading: Reading) -> None:
    try:
        require_positions(reading.model.module.base_model)  # type: ignore[arg-type]
    except NotApplicable as error:
        raise NotApplicable(f"{error.reason}; --set local_processing.positions=reset needs none") from error


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
