"""truncated_cosine is what a plain loop finds; it is 1 from where a planted model sees no further, and not before."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from model_zoo import N_LAYERS, place, shared
from reading_world import SETTINGS, SMALL, loaded, looking_back, make_text, sliding, tokenizer, without_bos

from rote.errors import NotApplicable
from rote.experiments import LocalProcessing, Reading
from rote.experiments.local_processing import measure as local_processing
from rote.experiments.local_processing.contexts import Contexts, cosines
from rote.experiments.local_processing.measure import sampled_places
from rote.model import Model
from rote.records import Record, summary_frame
from rote.settings import Settings
from rote.statistics import PigeonholeBootstrap, rng


def read(model: Model, experiment: LocalProcessing = SMALL, settings: Settings = SETTINGS, **text: Any) -> Record:
    return experiment.record(Reading(model=model, words=make_text(**text), settings=settings))


def per_token(record: Record) -> pd.DataFrame:
    """Cosines by (layer, length), one column per token."""
    return record.tables["cosines"].pivot(index=["layer", "length"], columns="token", values="cosine")


# ---------------------------------------------------------------- planted


def test_a_sliding_window_reads_what_its_layers_reach_and_no_more() -> None:
    window = 4
    found = per_token(read(sliding(window)))
    for (layer, length), values in found.iterrows():
        reached = (layer + 1) * (window - 1) + 1
        if length >= reached:
            assert (values - 1).abs().max() < 1e-5, (layer, length)
        else:
            assert values.max() < 1 - 1e-5, (layer, length)


def test_with_full_attention_no_length_is_enough() -> None:
    """The control: the same weights, and attention that reaches everything."""
    found = per_token(read(sliding(None)))
    assert found.to_numpy().max() < 1 - 1e-5


SEES = {0: 3, 1: 10}  # tokens that looking_back's layers depend on: 1 + 2, and 7 more


def test_hand_set_heads_read_the_last_tokens_with_learned_positions_kept() -> None:
    found = per_token(read(looking_back()))
    for (layer, length), values in found.iterrows():
        if length >= SEES[layer]:
            assert (values - 1).abs().max() < 1e-5, (layer, length)
        else:
            assert values.max() < 1 - 1e-5, (layer, length)


def test_with_positions_reset_learned_positions_show() -> None:
    found = per_token(read(looking_back(), replace(SMALL, positions="reset")))
    assert found.to_numpy().max() < 1 - 1e-5


def test_without_hand_set_heads_no_length_is_enough() -> None:
    found = per_token(read(looking_back(force=False)))
    assert found.to_numpy().max() < 1 - 1e-5


# ---------------------------------------------------------------- invariants


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("make", [tokenizer, without_bos])
def test_a_length_that_leaves_nothing_out_gives_one(kept: bool, make: Any) -> None:
    model = loaded(shared("llama"), make())
    strings = torch.randint(3, 50, (4, 12), generator=torch.Generator().manual_seed(0))
    places = torch.tensor([[0, 5], [3, 11], [10, 11], [7, 8]])
    contexts = Contexts(model=model, strings=strings, places=places, batch_tokens=40)
    found = cosines(contexts, (5, 12, 50), kept=kept)
    whole = (places.flatten()[:, None] + 1 <= torch.tensor([5, 12, 50]))[:, None].expand_as(found)
    assert whole.any() and not whole.all()
    assert (found[whole] - 1).abs().max() < 1e-5
    assert found[~whole].max() < 1 - 1e-5


def test_batches_change_nothing() -> None:
    model = loaded(shared("gpt_neox"))
    strings = torch.randint(3, 50, (6, 20), generator=torch.Generator().manual_seed(0))
    places = torch.randint(10, 20, (6, 3), generator=torch.Generator().manual_seed(1))
    one, all_ = (
        cosines(Contexts(model=model, strings=strings, places=places, batch_tokens=n), (1, 4, 9), kept=True)
        for n in (1, 10_000)
    )
    assert torch.allclose(one, all_, atol=1e-5)


# ---------------------------------------------------------------- the slow twin


def plain_residuals(module: Any, name: str, ids: list[int], positions: list[int]) -> np.ndarray:
    """The last token's residual stream after every block, one row at a time, by plain hooks."""
    seen: list[torch.Tensor] = []
    handles = []
    for layer in range(N_LAYERS):
        where, _ = place(name, "resid_post", layer)
        block = module.get_submodule(where)
        handles.append(block.register_forward_hook(lambda m, a, o: seen.append(o[0] if isinstance(o, tuple) else o)))
    with torch.no_grad():
        tokens = torch.tensor([ids])
        module(tokens, attention_mask=torch.ones_like(tokens), position_ids=torch.tensor([positions]), use_cache=False)
    for handle in handles:
        handle.remove()
    return torch.stack(seen)[:, 0, -1].double().numpy()


@pytest.mark.parametrize("name", ["gpt_neox", "gpt2", "llama", "gemma2"])
@pytest.mark.parametrize("positions", ["kept", "reset"])
@pytest.mark.parametrize("make", [tokenizer, without_bos])
def test_it_is_what_a_plain_loop_finds(name: str, positions: str, make: Any) -> None:
    experiment = replace(SMALL, n_strings=4, n_tokens=3, context=24, lengths=(1, 3, 10), positions=positions)
    module, model = shared(name), loaded(shared(name), make())
    reading = Reading(model=model, words=make_text(), settings=replace(SETTINGS, n_bootstrap=20))
    record = experiment.record(reading)
    strings, bos = experiment.strings(reading), model.tokenizer.bos_token_id
    front = [] if bos is None else [bos]
    full, truncated, label, kinds = [], {k: [] for k in (1, 3, 10)}, [], []
    for s, row in enumerate(sampled_places(strings, 10, 3, SETTINGS.seed)):
        for p in row:
            ids = [int(t) for t in strings.tokens[s]]
            whole = front + ids[: p + 1]
            full.append(plain_residuals(module, name, whole, list(range(len(whole)))))
            label.append(s)
            kinds.append(strings.category[s, p])
            for k, found in truncated.items():
                last = list(range(len(whole)))[-k:]
                row_positions = ([0] if front else []) + last
                short = front + ids[p + 1 - k : p + 1]
                found.append(
                    plain_residuals(
                        module, name, short, row_positions if positions == "kept" else list(range(len(short)))
                    )
                )
    mean = np.mean(full, axis=0)
    summary = summary_frame(record.rows)
    for k, found in truncated.items():
        a, b = np.array(found) - mean, np.array(full) - mean
        cos = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
        for layer in range(N_LAYERS):
            rows = summary[(summary.layer == layer) & summary.parameters.str.contains(f'"length":{k},', na=False)]
            for condition in rows.condition.unique():
                where = np.ones(len(kinds), bool) if condition == "all" else np.array(kinds) == condition
                here = rows[rows.condition == condition].set_index("statistic").value
                assert here["truncated_cosine"] == pytest.approx(np.median(cos[where, layer]), abs=1e-5)
                squared = np.median(cos[where, layer] ** 2)
                assert here["truncated_cosine_squared"] == pytest.approx(squared, abs=1e-5)


# ---------------------------------------------------------------- the table


def test_intervals_come_from_whole_strings() -> None:
    """A string's tokens are drawn together: the interval is that of a bootstrap over strings, not over tokens."""
    record = read(sliding(None), settings=replace(SETTINGS, n_bootstrap=500))
    tokens = record.tables["tokens"]
    cos = per_token(record).loc[(2, 5)].to_numpy(dtype=float)
    string = tokens["string"].to_numpy()
    draws = np.random.default_rng(1).integers(0, 10, (2000, 10))
    medians = [np.median(np.concatenate([cos[string == s] for s in draw])) for draw in draws]
    (row,) = [
        r for r in record.rows
        if r.statistic == "truncated_cosine" and r.layer == 2 and r.condition == "all" and '"length":5,' in r.parameters
    ]  # fmt: skip
    low, high = np.percentile(medians, [2.5, 97.5])
    width = high - low
    assert abs(row.ci_low - low) < width / 4 and abs(row.ci_high - high) < width / 4
    boot = PigeonholeBootstrap(string, string, n_resamples=50, generator=rng(0, "x"))
    assert all(len({float(w) for w in boot.weights[0][string == s]}) == 1 for s in range(10))


def test_every_token_is_in_one_category_and_lengths_share_their_tokens() -> None:
    record = read(sliding(4))
    counts = {r.condition: r.value for r in record.rows if r.statistic == "n_tokens"}
    assert sum(v for k, v in counts.items() if k != "all") == counts["all"] == 40
    assert counts["common_word"] > 3 and counts["alphabetic"] > 3
    every = [r.n for r in record.rows if r.statistic == "truncated_cosine" and r.condition == "all"]
    assert set(every) == {40}
    assert (record.tables["tokens"]["place"] >= 20).all()  # each is longer than every truncated context


def test_lengths_beyond_the_string_and_missing_categories_are_absent_with_their_reason() -> None:
    record = read(sliding(4), replace(SMALL, lengths=(1, 5, 40, 60)), n_words=3000)
    reasons = {(a.parameters, a.reason) for a in record.absent if a.statistic == "truncated_cosine" and not a.condition}
    assert {p for p, _ in reasons} == {f'{{"length":{k},"positions":"kept"}}' for k in (40, 60)}
    assert all("40 tokens" in reason for _, reason in reasons)
    few = read(sliding(4), replace(SMALL, n_strings=2, n_tokens=1))
    gone = {a.condition for a in few.absent}
    counts = {r.condition: r.value for r in few.rows if r.statistic == "n_tokens"}
    assert gone and gone == {c for c, n in counts.items() if n == 0}


def test_the_model_s_own_positions_bound_the_context() -> None:
    record = read(loaded(shared("gpt2")), replace(SMALL, context=256, lengths=(1, 20)))
    (row,) = [r for r in record.rows if r.statistic == "n_strings"]
    assert row.parameters == '{"bos":true,"tokens":31}'  # 32 positions, one of them for the beginning of text


def test_a_family_without_positions_is_absent_unless_they_are_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(base: object) -> None:
        raise NotApplicable("tokens cannot be given positions in models of family 'odd'")

    monkeypatch.setattr(local_processing, "require_positions", refuse)
    record = read(sliding(4))
    assert not record.rows and {a.statistic for a in record.absent} == {s.name for s in LocalProcessing.card.statistics}
    (reason,) = {a.reason for a in record.absent}
    assert re.search(r"family 'odd'.*local_processing\.positions=reset", reason)
    assert read(sliding(4), replace(SMALL, positions="reset")).rows
