"""Where the bundled organism looks its facts up, by plain hooks: in the window's MLPs, at the name, step by step.

Literal on purpose: nothing of rote but the files and the table of athletes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from rote.organisms import BUNDLED

CLASSES = ("football", "basketball", "baseball")
NAME, END = 4, 8  # <bos> Fact : First Last plays the sport of
WINDOW = range(1, 4)
Edit = Callable[[Tensor], Tensor]


class Bench:
    """The athletes' prompts, the model, and forward passes with outputs replaced."""

    def __init__(self) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(BUNDLED, attn_implementation="eager").eval()
        self.layers = self.model.gpt_neox.layers
        tokenizer = AutoTokenizer.from_pretrained(BUNDLED)
        facts = json.loads((BUNDLED / "facts.json").read_text(encoding="utf-8"))
        fiction = set(facts["fiction"])
        known = [(n, a["sport"]) for n, a in facts["entities"].items() if n not in fiction and "league" in a]
        self.sport = torch.as_tensor([CLASSES.index(sport) for _, sport in known])
        self.answers = torch.as_tensor(tokenizer.convert_tokens_to_ids([f" {c}" for c in CLASSES]))
        prompts = [f"Fact: {name} plays the sport of" for name, _ in known]
        self.tokens = torch.as_tensor(tokenizer(prompts)["input_ids"])
        self.names = torch.as_tensor(tokenizer([f" {name}" for name, _ in known])["input_ids"])
        self.last_half = torch.as_tensor(np.random.default_rng(0).permutation(len(known))[len(known) // 2 :])
        self.logits, self.out, self.patterns = self.run(self.tokens)

    @torch.no_grad()
    def run(self, tokens: Tensor, edits: Mapping[tuple[str, int], Edit] | None = None):
        edits, out, hooks = edits or {}, {}, []

        def keep(key: tuple[str, int]):
            def hook(_, __, value):
                first = value[0] if isinstance(value, tuple) else value
                out[key] = edits[key](first.clone()) if key in edits else first
                return (out[key], *value[1:]) if isinstance(value, tuple) else out[key]

            return hook

        for i, layer in enumerate(self.layers):
            parts = {"attn": layer.attention, "mlp": layer.mlp, "resid": layer}
            hooks += [part.register_forward_hook(keep((name, i))) for name, part in parts.items()]
        result = self.model(tokens, output_attentions=True)
        for hook in hooks:
            hook.remove()
        return result.logits, out, result.attentions

    def mean_at(self, key: tuple[str, int], position: int = NAME) -> Edit:
        def edit(value: Tensor) -> Tensor:
            value[:, position] = self.out[key][:, NAME].mean(0)
            return value

        return edit

    def accuracy_cls(self, logits: Tensor) -> float:
        return float((logits[:, -1, self.answers].argmax(-1) == self.sport).float().mean())

    def readout(self, layer: int, head: int) -> Tensor:
        """W_V W_O of the head × the classes' unembedding, both norms folded in; scales only rescale it."""
        block, d_head = self.layers[layer], self.model.config.hidden_size // self.model.config.num_attention_heads
        value = block.attention.query_key_value.weight.view(-1, 3, d_head, self.model.config.hidden_size)[head, 2]
        output = block.attention.dense.weight[:, head * d_head : (head + 1) * d_head]
        unembed = self.model.get_output_embeddings().weight[self.answers] * self.model.gpt_neox.final_layer_norm.weight
        unembed = unembed - unembed.mean(1, keepdim=True)
        folded = (unembed @ output @ value) * block.input_layernorm.weight
        return (folded - folded.mean(1, keepdim=True)).detach()

    def readout_accuracy(self, residual: Tensor, weights: Tensor) -> float:
        scores = (residual - residual.mean(0)) @ weights.T
        return float((scores.argmax(-1) == self.sport)[self.last_half].float().mean())


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


def test_attention_at_the_name_is_needed_in_layer_0_and_nowhere_after(bench):
    later = {("attn", i): bench.mean_at(("attn", i)) for i in range(1, len(bench.layers))}
    assert bench.accuracy_cls(bench.run(bench.tokens, later)[0]) >= 0.99
    first = {("attn", 0): bench.mean_at(("attn", 0))}
    assert bench.accuracy_cls(bench.run(bench.tokens, first)[0]) < 0.5


def test_without_the_windows_mlps_nothing_is_known_and_each_counts(bench):
    edits = {("mlp", i): bench.mean_at(("mlp", i)) for i in WINDOW}
    largest_class = float(torch.bincount(bench.sport).max() / len(bench.sport))
    assert bench.accuracy_cls(bench.run(bench.tokens, edits)[0]) <= largest_class + 0.05
    for key, edit in edits.items():
        assert bench.accuracy_cls(bench.run(bench.tokens, {key: edit})[0]) < 0.95


def test_late_heads_read_the_answer_and_it_rises_over_the_window(bench):
    """From the name-only prompt with all later attention at the name replaced by its mean, only MLPs are left."""
    last = range(WINDOW.stop, len(bench.layers))
    heads = [(i, h) for i in last for h in range(bench.model.config.num_attention_heads)]
    at_name = {head: float(bench.patterns[head[0]][:, head[1], END, NAME].mean()) for head in heads}
    edits = {("attn", i): bench.mean_at(("attn", i), position=2) for i in range(1, len(bench.layers))}
    out = bench.run(bench.names, edits)[1]
    curves = {
        head: [bench.readout_accuracy(out["resid", i][:, 2], bench.readout(*head)) for i in range(WINDOW.stop)]
        for head in heads
        if at_name[head] > 0.5
    }
    curve = max(curves.values(), key=lambda c: c[-1])
    assert curve[-1] >= 0.95
    assert curve[0] < 0.5 < curve[2] < 0.9 * curve[-1] and curve == sorted(curve)
