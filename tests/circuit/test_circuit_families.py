"""What the circuit takes for linear algebra is right in the odd families too: held against their own modules.

Parallel blocks that share a norm, gates fused into one matrix, norms behind the parts, multipliers on contributions and
logits, capped logits, flattened MLPs, mixtures of experts; random weights, told that they know everything.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from circuit_world import plain
from test_circuit_layouts import TOLD, recall_of
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

import rote
from rote.asking import Recall
from rote.circuit import search
from rote.circuit.direct_effects import direct_effects
from rote.circuit.effective import stack_layers
from rote.circuit.extraction import head_readouts
from rote.circuit.top_heads import _outputs
from rote.errors import NotApplicable
from rote.model import Edit, Model, Site
from rote.stack import Stack

D, N_HEADS, D_HEAD, LAYER = 32, 4, 8, 2
SIZES: dict[str, Any] = {
    "vocab_size": 1619, "hidden_size": D, "intermediate_size": 48, "num_hidden_layers": 4,
    "num_attention_heads": N_HEADS, "num_key_value_heads": 2, "head_dim": D_HEAD, "max_position_embeddings": 64,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 2, "initializer_range": 0.3,
}  # fmt: skip
RESIDUAL, LOGITS = 0.4, 0.5
EXPERTS = {"num_experts_per_tok": 2, "num_local_experts": 4}
ODD: dict[str, dict[str, Any]] = {
    "phi": {},
    "cohere": {"logit_scale": LOGITS},
    "phi3": {},
    "olmo2": {},
    "glm4": {},
    "gemma2": {"final_logit_softcapping": 8.0},
    "granite": {"residual_multiplier": RESIDUAL, "embedding_multiplier": 3.0, "logits_scaling": 1 / LOGITS},
    "olmo": {},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": D, "num_key_value_heads": None},
}
_AFTER = ("post_attention_layernorm", "post_feedforward_layernorm")
AFTER = {"olmo2": _AFTER, "gemma2": _AFTER, "glm4": ("post_self_attn_layernorm", "post_mlp_layernorm")}


class Hand:
    """The model's modules by their paths, written out a second time."""

    def __init__(self, family: str) -> None:
        self.family, self.recall = family, recall(family)
        self.module: Any = self.recall.model.module
        self.ids, self.end, self.rows = self.recall.full.tokens, self.recall.full.end, torch.arange(len(self.recall))
        block = f"model.decoder.layers.{LAYER}" if family == "opt" else f"model.layers.{LAYER}"
        out = {"phi": "dense", "opt": "out_proj"}.get(family, "o_proj")
        before = {"opt": "self_attn_layer_norm", "olmo2": None}.get(family, "input_layernorm")
        final = {"phi": "model.final_layernorm", "opt": "model.decoder.final_layer_norm"}.get(family, "model.norm")
        self.paths = {
            "final": final,
            "project": f"{block}.self_attn.{out}",
            "value": f"{block}.self_attn.{'qkv_proj' if family == 'phi3' else 'v_proj'}",
            "mlp": f"{block}.fc2" if family == "opt" else f"{block}.mlp",
            "before": None if before is None else f"{block}.{before}",
        }
        self.after = [self.module.get_submodule(f"{block}.{path}") for path in AFTER.get(family, ())] or [None, None]
        self.added = RESIDUAL if family == "granite" else 1.0
        self.unembed = self.module.get_output_embeddings().weight.detach()[self.recall.full.class_tokens]
        self.unembed = self.unembed * (LOGITS if family in ("granite", "cohere") else 1.0)

    def get(self, name: str) -> nn.Module:
        return self.module.get_submodule(self.paths[name])

    def seen(self, name: str, side: str) -> Tensor:
        """What enters or leaves a module, row by position."""
        kept: list[Tensor] = []
        if side == "in":
            handle = self.get(name).register_forward_pre_hook(lambda _, args: kept.append(args[0]))
        else:
            handle = self.get(name).register_forward_hook(lambda _, __, out: kept.append(out))
        with torch.no_grad():
            self.module(self.ids)
        handle.remove()
        return kept[0].reshape(*self.ids.shape, -1)

    def of_head(self, z: Tensor, head: int) -> Tensor:
        """What one head's z alone makes the output projection write."""
        only = torch.zeros_like(z)
        only[..., head * D_HEAD : (head + 1) * D_HEAD] = z[..., head * D_HEAD : (head + 1) * D_HEAD]
        with torch.no_grad():
            written: Tensor = self.get("project")(only) - self.get("project")(torch.zeros_like(z))
        return written


def scale_of(norm: nn.Module, x: Tensor) -> Tensor:
    centred = type(norm).__name__ in ("LayerNorm", "CohereLayerNorm", "OlmoLayerNorm")
    x = x - x.mean(-1, keepdim=True) if centred else x
    eps = getattr(norm, "eps", None) or getattr(norm, "variance_epsilon", None) or 1e-5
    return (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


def folded(norm: nn.Module | None, x: Tensor, scale: Tensor | float) -> Tensor:
    """A norm's own module on x, with another scale than x's and without its bias."""
    if norm is None:
        return x
    with torch.no_grad():
        result: Tensor = (norm(x) - norm(torch.zeros_like(x))) * scale_of(norm, x) / scale
    return result


@cache
def tiny(family: str, **more: Any) -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = AutoConfig.for_model(family, **{**SIZES, **ODD.get(family, {}), **more})
        module = AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    module = module.float() if family == "mixtral" else module.double()  # whose experts have no float64
    return rote.load_model(module, tokenizer=plain().tokenizer, name=f"tiny {family}")


@cache
def recall(family: str) -> Recall:
    return recall_of(tiny(family))


@pytest.fixture(params=ODD)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def close(found: Any, expected: Any) -> None:
    found, expected = torch.as_tensor(found).double(), torch.as_tensor(expected).double()
    assert float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


def test_direct_effects_are_logit_differences_under_frozen_norms(family: str) -> None:
    hand = Hand(family)
    r, effects = hand.recall, direct_effects(hand.recall)
    (other,), cls = r.others, torch.as_tensor(r.cls)
    z = hand.seen("project", "in")[hand.rows, hand.end]
    mlp = hand.seen("mlp", "out")[hand.rows, hand.end]
    last = hand.seen("final", "in")[hand.rows, hand.end]
    with torch.no_grad():
        whole = hand.get("project")(z)
    nodes = [(effects.heads[:, LAYER, h], hand.of_head(z, h), whole, hand.after[0]) for h in range(N_HEADS)]
    nodes.append((effects.mlps[:, LAYER], mlp, mlp, hand.after[1]))
    for found, written, all_of_it, after in nodes:
        scale = 1.0 if after is None else scale_of(after, all_of_it)
        change = hand.added * (folded(after, written, scale) - folded(after, written[other], scale))
        logits = folded(hand.get("final"), change, scale_of(hand.get("final"), last)) @ hand.unembed.T
        close(found, logits[hand.rows, cls] - logits[hand.rows, cls[other]])


def test_the_readout_is_what_a_heads_modules_make_of_a_direction(family: str) -> None:
    hand, head = Hand(family), 3
    r, use, at = hand.recall, torch.as_tensor(hand.recall.selection), hand.recall.full.subject_last
    if family == "olmo2":  # reads the stream as it is
        x = torch.eye(D, dtype=torch.float64)
    else:
        norm = hand.get("before")
        x = folded(
            norm,
            torch.eye(D, dtype=torch.float64),
            scale_of(norm, hand.seen("before", "in")[hand.rows, at])[use].mean(),
        )
    with torch.no_grad():
        values = hand.get("value")(x) - hand.get("value")(torch.zeros_like(x))
    values = values[:, -16:] if family == "phi3" else values
    own = head if family == "opt" else head // 2  # two query heads share a key–value head
    z = torch.zeros(D, D, dtype=torch.float64)
    z[:, head * D_HEAD : (head + 1) * D_HEAD] = values[:, own * D_HEAD : (own + 1) * D_HEAD]
    written = hand.of_head(z, head)
    if hand.after[0] is not None:
        with torch.no_grad():
            whole = hand.get("project")(hand.seen("project", "in")[hand.rows, hand.end])
        written = folded(hand.after[0], written, scale_of(hand.after[0], whole)[use].mean())
    final = hand.get("final")
    logits = folded(
        final, written * hand.added, scale_of(final, hand.seen("final", "in")[hand.rows, hand.end])[use].mean()
    )
    hand.module.config._attn_implementation = "eager"
    with torch.no_grad():
        pattern = hand.module(hand.ids, output_attentions=True).attentions[LAYER]
    attention = pattern[hand.rows, head, hand.end, at][use].double().mean()
    (readout,) = head_readouts(r, [(LAYER, head)])
    close(readout.weight, attention * logits @ hand.unembed.T)


def test_the_stack_is_the_model_with_attention_frozen(family: str) -> None:
    """Whatever stream the stack starts from: a whole forward pass with edits, at the name's last token."""
    r, model = recall(family), tiny(family)
    layers, names = stack_layers(r, 1, 2, [r.two_part]), r.name_only
    zero, x = torch.zeros(1, D, dtype=torch.float64), torch.randn(len(r), D, dtype=torch.float64)
    stack = Stack(name="two", first=zero, last=zero, constant=zero[0], layers=layers, readouts={}, entities=None)  # type: ignore[arg-type]
    edits = [Edit(site=Site("resid_pre", 1), value=x, position=names.subject_last)]
    for layer in layers:
        site = Site(model.attn_contribution, layer.number)
        edits.append(Edit(site=site, value=layer.attention, position=names.subject_last))
    last = Site("resid_post", 2)
    acts = model.run(names.tokens, names.mask, read=[last.at(names.subject_last)], edit=edits)
    close(stack.run(x).output, acts[last])
    assert bool(layers[0].attention.any()) == model.parallel  # the input of a sequential stack already holds it
    changed = model.run(names.tokens, names.mask, read=[last.at(names.subject_last)], edit=edits[:-1])
    assert not torch.allclose(changed[last], acts[last], atol=1e-3)  # the control: without freezing it is another


def test_earlier_nodes_and_biases_sum_to_the_stream_that_a_head_reads(family: str) -> None:
    r, model = recall(family), tiny(family)
    total = sum(_outputs(r, 3).values())
    for layer in range(3):
        bias = model.attention_bias(layer)
        total = total if bias is None else total + bias
    close(total, r.at_subject("attn_in", (3,))[3])


def test_a_mixture_of_experts_has_a_circuit_but_no_window_and_says_why() -> None:
    r = recall_of(tiny("mixtral", **EXPERTS))
    circuit = search(r)
    assert len(circuit.top_heads) == TOLD.n_top_heads and np.isfinite(direct_effects(r).mlps).all()
    assert circuit.no_window is not None
    with pytest.raises(NotApplicable, match=r"mixtral.*router"):
        stack_layers(r, 1, 2, [r.two_part])
