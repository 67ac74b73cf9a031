"""bfloat16 products in float32: the same rounding, another order of sums, and no change of the module."""

from __future__ import annotations

import pytest
import torch
from model_zoo import NAMES, build, tokens
from torch.nn import functional

from rote.model import load_model, self_check
from rote.model.precision import Float32Products


def test_products_are_those_of_float32_rounded_once() -> None:
    x, w, b = (torch.randn(*shape).bfloat16() for shape in ((5, 7), (3, 7), (3,)))
    with Float32Products():
        found = functional.linear(x, w, b), torch.addmm(b, x, w.T), x @ w.T
        same = x.float() @ w.float().T
    expected = (x.float() @ w.float().T + b.float()).bfloat16()
    assert found[0].dtype == torch.bfloat16
    torch.testing.assert_close(found[0], expected, rtol=0, atol=0)
    torch.testing.assert_close(found[1], expected, rtol=0, atol=0)
    torch.testing.assert_close(found[2], same.bfloat16(), rtol=0, atol=0)
    assert same.dtype == torch.float32  # others are left alone


@pytest.mark.parametrize("name", NAMES)
def test_a_bfloat16_model_runs_as_before_but_for_rounding(name: str) -> None:
    module = build(name, dtype=torch.bfloat16)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    model = load_model(module, tokenizer=object(), check=False)
    fast = model.with_fast_products()
    assert fast.module is module
    narrow, widened = model.run(tokens()).logits, fast.run(tokens()).logits
    scale = narrow.float().abs().max()
    assert (narrow.float() - widened.float()).abs().max() < 3e-2 * scale
    assert [check for check in self_check(fast) if not check.passed and check.name != "identity edit"] == []
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_only_bfloat16_on_a_cpu_without_its_instructions_is_changed() -> None:
    model = load_model(build("gpt_neox"), tokenizer=object(), check=False)
    assert model.with_fast_products() is model
