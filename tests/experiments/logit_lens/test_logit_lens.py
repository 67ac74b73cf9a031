"""The logit lens is what a plain loop over Hugging Face's hidden states finds; at the last layer it is the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from circuit_world import SETTINGS, cut, facts, model
from model_zoo import shared
from reading_world import loaded

from rote.asking import ask
from rote.errors import NotApplicable
from rote.experiments.base import Facts
from rote.experiments.logit_lens import measure
from rote.experiments.logit_lens.measure import LogitLens
from rote.facts import build_prompts
from rote.model import Model, Read, Site
from rote.records import Record


def given(model: Model) -> Facts:
    prompts = build_prompts(cut(facts(), 12), "sport", model.tokenizer)
    return Facts(model=model, prompts=prompts, known=ask(model, prompts, SETTINGS), settings=SETTINGS)


def values(record: Record, statistic: str) -> dict[int | None, float]:
    return {row.layer: row.value for row in record.rows if row.statistic == statistic}


@pytest.fixture(scope="module")
def asked() -> Facts:
    return given(model())


@pytest.fixture(scope="module")
def record(asked: Facts) -> Record:
    return LogitLens().record(asked)


def test_it_is_what_a_plain_loop_over_hidden_states_finds(asked: Facts, record: Record) -> None:
    """Written from the definition: one prompt at a time, the final norm and unembedding on each hidden state."""
    module, prompts = asked.model.module, asked.prompts
    known = np.flatnonzero(asked.known.known)
    found: dict[str, list[list[float]]] = {"lens_accuracy": [], "lens_accuracy_cls": [], "lens_loss_nats": []}
    for i in known:
        ids = torch.as_tensor(prompts.tokens[i][: prompts.length[i]])[None]
        with torch.no_grad():
            states = module(ids, output_hidden_states=True).hidden_states
        rows: dict[str, list[float]] = {name: [] for name in found}
        for n, state in enumerate(states):
            x = state[0, -1]
            if n < len(states) - 1:  # Hugging Face's last hidden state has passed the final norm already
                x = module.gpt_neox.final_layer_norm(x)
            p = module.lm_head(x).log_softmax(-1).detach()
            token = int(prompts.class_tokens[prompts.cls[i]])
            rows["lens_accuracy"].append(float(int(p.argmax()) == token))
            among = [float(p[int(t)]) for t in prompts.class_tokens]
            rows["lens_accuracy_cls"].append(float(int(np.argmax(among)) == prompts.cls[i]))
            rows["lens_loss_nats"].append(-float(p[token]))
        for name in found:
            found[name].append(rows[name])
    for name, each in found.items():
        expected = dict(enumerate(np.mean(each, axis=0), start=-1))
        assert values(record, name) == pytest.approx(expected, abs=1e-5)


def test_at_the_last_layer_it_is_the_model_itself(asked: Facts, record: Record) -> None:
    known = asked.known.known
    last = asked.model.n_layers - 1
    assert values(record, "lens_loss_nats")[last] == pytest.approx(-asked.known.log_prob[known].mean(), abs=1e-5)
    assert values(record, "lens_accuracy")[last] == asked.known.correct[known].mean() == 1.0


def test_before_the_first_block_nothing_of_the_name_is_there(record: Record) -> None:
    """Every prompt ends in the same word, so the embedding says the same of all: right for one class at most."""
    assert values(record, "lens_accuracy_cls")[-1] == pytest.approx(1 / 3, abs=0.08)
    assert values(record, "lens_loss_nats")[-1] > values(record, "lens_loss_nats")[5] + 1


@pytest.mark.parametrize("name", ["gpt_neox", "gpt2", "llama", "gemma2"])
def test_in_every_layout_the_last_lens_is_the_model_s_own_logits(name: str) -> None:
    one = loaded(shared(name))
    tokens = torch.arange(3, 11)[None]
    last = Site("resid_post", one.n_layers - 1)
    x = one.run(tokens, read=[Read(site=last)])[last][:, -1]
    lens = measure._log_probs(replace(given_of(one)), x)
    with torch.no_grad():
        own = one.module(tokens).logits[:, -1].log_softmax(-1)
    torch.testing.assert_close(lens, own.float(), atol=1e-5, rtol=1e-5)
    first = measure._log_probs(given_of(one), one.run(tokens, read=[Site("resid_pre", 0)])[Site("resid_pre", 0)][:, -1])
    assert (first - own).abs().max() > 1e-2, "the control: before the first block it is not"


def given_of(one: Model) -> Facts:
    return Facts(model=one, prompts=None, known=None, settings=SETTINGS)  # type: ignore[arg-type]


def test_where_nothing_is_known_it_is_absent(asked: Facts) -> None:
    nothing = replace(asked, known=replace(asked.known, known=np.zeros_like(asked.known.known)))
    with pytest.raises(NotApplicable, match="knows none"):
        LogitLens().measure(nothing, LogitLens().tabulator("model", "sport", SETTINGS))
    absent = LogitLens().record(nothing)
    assert not absent.rows and {a.statistic for a in absent.absent} == {s.name for s in LogitLens.card.statistics}
