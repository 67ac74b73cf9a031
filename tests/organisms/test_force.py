"""Position-only patterns: words cannot move them, whatever training does to the rest of the weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rote.organisms.force import leak_bound, offsets, position_only, reserved
from rote.organisms.layouts import LAYOUTS, Shape, build_model

FORCED = range(4)
LENGTH = 40


def make(layout: str, *, force: bool = True, d_model: int = 64):
    torch.manual_seed(0)
    shape = Shape(layout=layout, d_model=d_model, n_layers=6, n_heads=4)
    model = build_model(shape, vocab_size=50, bos=0, pad=2)
    fixed = position_only(model, FORCED) if force else ()
    train_a_little(model, fixed)
    model.set_attn_implementation("eager")
    return model.eval()


def train_a_little(model, fixed, steps: int = 5):
    """Optimiser steps with a high rate, so that every free weight moves far from where it began."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(steps):
        tokens = torch.randint(3, 50, (4, LENGTH))
        model(tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        for entry in fixed:
            entry.restore()


@torch.no_grad()
def patterns(model, tokens):
    return [a.double().numpy() for a in model(tokens, output_attentions=True).attentions]


def spread(pattern):
    """The largest difference between any two texts."""
    return np.abs(pattern - pattern[:1]).max()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_patterns_of_forced_layers_do_not_change_with_the_words(layout):
    tokens = torch.randint(3, 50, (8, LENGTH), generator=torch.Generator().manual_seed(1))
    found = patterns(make(layout), tokens)
    assert max(spread(found[layer]) for layer in FORCED) < 1e-5
    assert spread(found[4]) > 1e-3  # the control: a free layer's patterns do change


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_head_looks_its_offset_back(layout):
    found = patterns(make(layout, d_model=128), torch.randint(3, 50, (2, LENGTH)))
    for layer in FORCED:
        for head, o in enumerate(offsets(layer, 4)):
            assert np.diagonal(found[layer][0, head], -o).min() > 0.99


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_force_patterns_change(layout):
    tokens = torch.randint(3, 50, (8, LENGTH))
    assert spread(patterns(make(layout, force=False), tokens)[1]) > 1e-3


def test_gpt2_leak_is_below_its_bound_and_scales_are_what_words_reach():
    model = make("gpt2", d_model=128)
    scales = []
    hooks = [
        model.transformer.h[layer].ln_1.register_forward_pre_hook(
            lambda _, args: scales.append(float(args[0].std(-1, correction=0).max()))
        )
        for layer in FORCED
    ]
    found = patterns(model, torch.randint(3, 50, (8, LENGTH)))
    for hook in hooks:
        hook.remove()
    bound = leak_bound(model.config, max(scales), LENGTH)
    for layer in FORCED:
        for head, o in enumerate(offsets(layer, 4)):
            wanted = np.diagonal(found[layer], -o, axis1=2, axis2=3)[:, head]
            bos = found[layer][:, head, o:, 0] * (np.arange(LENGTH - o) > 0)
            assert (1 - wanted - bos).max() <= max(bound, 1e-6)
            assert found[layer][:, head, :o, 0].min() >= 1 - max(bound, 1e-6)  # no token o back: position 0
    assert bound < 1e-5 < leak_bound(model.config, 1000.0, LENGTH)


def test_gpt2_reserved_dimensions_hold_positions_alone():
    model = make("gpt2")
    place, _ = reserved(model.config)
    with torch.no_grad():
        states = model(torch.randint(3, 50, (8, LENGTH)), output_hidden_states=True).hidden_states
    for layer in FORCED:
        assert states[layer][..., list(place)].std(0).max() < 1e-6
        assert float(states[layer][..., list(place)].sum(-1).abs().max()) < 1e-4  # so the norm's mean drops out


def test_the_joining_layer_is_the_one_before_the_window():
    model = build_model(Shape(n_layers=6), vocab_size=50, bos=0, pad=2)
    position_only(model, range(5), joins=1)
    model.set_attn_implementation("eager")
    found = patterns(model, torch.randint(3, 50, (2, LENGTH)))
    back = [np.diagonal(pattern[0, 0], -1).mean() for pattern in found]
    assert back[1] > 0.99 and max(back[0], *back[2:5]) < 0.1
