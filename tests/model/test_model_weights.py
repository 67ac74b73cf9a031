"""Weights as linear algebra are the modules: norms, MLPs, value and output matrices, unembedding."""

from __future__ import annotations

import pytest
import torch
from model_zoo import N_HEADS, N_LAYERS, NAMES, noise, path, place, shared, slow_logits, slow_read, slow_values, tokens
from torch import nn

from rote.errors import ModelRefused, NotApplicable
from rote.model import Model, load_model
from rote.model.families import LLAMA
from rote.model.weights import WeightSource, mlp_weights, norm_weights

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(name: str) -> Model:
    return load_model(shared(name), tokenizer=object(), name=name, check=False)


def test_norms_equal_their_modules(name: str, model: Model) -> None:
    x = 3 * noise(5, model.d_model) + 1
    pairs = [(model.final_norm(), place(name, "final", 0)[0])]
    for layer in range(N_LAYERS):
        pairs += [
            (model.attention_norm(layer), path(name, "attention_norm", layer)),
            (model.mlp_norm(layer), path(name, "mlp_norm", layer)),
        ]
        if name == "gemma2":
            pairs += [
                (model.attention_out_norm(layer), path(name, "attention_out_norm", layer)),
                (model.mlp_out_norm(layer), path(name, "mlp_out_norm", layer)),
            ]
        else:
            assert model.attention_out_norm(layer) is None and model.mlp_out_norm(layer) is None
    for norm, where in pairs:
        assert norm is not None
        with torch.no_grad():
            torch.testing.assert_close(norm(x), shared(name).get_submodule(where)(x), **CLOSE)
        linear = norm.linear(x, norm.scale(x))
        torch.testing.assert_close(linear if norm.bias is None else linear + norm.bias, norm(x), **CLOSE)
        both = norm.linear(x + 2 * x.flip(0), 1.5)  # with its scale frozen a norm is linear
        torch.testing.assert_close(both, norm.linear(x, 1.5) + 2 * norm.linear(x.flip(0), 1.5), **CLOSE)
        assert (norm.kind == "layer") == name.startswith("gpt")


def test_mlps_equal_their_modules_neuron_by_neuron(name: str, model: Model) -> None:
    x = noise(5, model.d_model)
    for layer in range(N_LAYERS):
        weights = model.mlp(layer)
        with torch.no_grad():
            expected = shared(name).get_submodule(path(name, "mlp", layer))(x[None])[0]
            pre = shared(name).get_submodule(path(name, "mlp_first", layer))(x)
        torch.testing.assert_close(weights(x), expected, **CLOSE)
        torch.testing.assert_close(weights.pre(x), pre, **CLOSE)
        by_neuron = torch.stack([weights.post(x)[:, n, None] * weights.w_out[n] for n in range(model.d_mlp)]).sum(0)
        torch.testing.assert_close(by_neuron if weights.b_out is None else by_neuron + weights.b_out, expected, **CLOSE)
        assert (weights.w_gate is None) == name.startswith("gpt")


def test_each_heads_value_matrix_gives_its_values(name: str, model: Model) -> None:
    for layer in range(N_LAYERS):
        x = slow_read(shared(name), tokens(), path(name, "attention_norm", layer), "out")
        expected = slow_values(name, shared(name), tokens(), layer)
        for head in range(N_HEADS):
            weights = model.head(layer, head)
            v = x @ weights.w_v
            torch.testing.assert_close(v if weights.b_v is None else v + weights.b_v, expected[:, :, head], **CLOSE)
    assert (model.n_kv_heads == 2) == (not name.startswith("gpt"))
    first, second, third = (model.head(0, head).w_v for head in range(3))
    assert torch.equal(first, second) == (model.n_kv_heads == 2) and not torch.equal(second, third)


def test_each_heads_output_matrix_is_its_share_of_the_projection(name: str, model: Model) -> None:
    z = noise(5, N_HEADS, model.d_head)
    for layer in range(N_LAYERS):
        projection = shared(name).get_submodule(path(name, "attention_out", layer))
        with torch.no_grad():
            expected = projection(z.flatten(-2)) - projection(torch.zeros_like(z).flatten(-2))
        total = sum(z[:, head] @ model.head(layer, head).w_o for head in range(N_HEADS))
        torch.testing.assert_close(total, expected, **CLOSE)


def test_weights_are_views_of_the_users_parameters(model: Model) -> None:
    mlp, head = model.mlp(1), model.head(1, 2)
    owned = {p.untyped_storage().data_ptr() for p in model.module.parameters()}
    parts = [mlp.w_in, mlp.w_out, mlp.w_gate, mlp.b_in, head.w_v, head.w_o, model.unembed_columns(torch.arange(3)).T]
    views = [p for p in parts[:-1] if p is not None]
    assert all(p.untyped_storage().data_ptr() in owned for p in views)
    assert not any(p.requires_grad for p in views)


def test_the_unembedding_gives_the_logits(name: str, model: Model) -> None:
    final = model.run(tokens(), read=["final"])["final"]
    with torch.no_grad():
        assert torch.equal(model.unembed(final), slow_logits(shared(name), tokens()))
    columns = final @ model.unembed_columns(torch.tensor([7, 11]))
    if name == "gemma2":
        columns = 5.0 * torch.tanh(columns / 5.0)
    torch.testing.assert_close(columns, slow_logits(shared(name), tokens())[..., [7, 11]], **CLOSE)


def test_what_cannot_be_written_as_linear_algebra_is_refused() -> None:
    odd = nn.Module()
    odd.weight = nn.Parameter(torch.ones(3))
    with pytest.raises(ModelRefused, match="no epsilon"):
        norm_weights(odd, LLAMA, 3)
    block = nn.Module()
    block.mlp = nn.Module()
    with pytest.raises(NotApplicable, match="no dense MLP"):
        mlp_weights(WeightSource(block=block, family=LLAMA))
