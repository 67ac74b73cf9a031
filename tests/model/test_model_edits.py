"""Every kind of edit equals a slow twin: loops over rows, positions and heads in plain hooks on the modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from model_zoo import (
    N_HEADS,
    N_LAYERS,
    NAMES,
    WITH_OUT_NORMS,
    mixed,
    noise,
    path,
    place,
    shared,
    slow_logits,
    slow_patterns,
    slow_read,
    slow_values,
    tokens,
)
from torch import Tensor

from rote.errors import InputError
from rote.model import Edit, Model, Site, load_model
from rote.model.sites import PER_HEAD

ROWS, LENGTH, LAYER = 3, 8, 1
POSITION = torch.tensor([6, 3, 4])
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def served(name: str) -> Model:
    return load_model(shared(name), tokenizer=object(), name=name, check=False)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(name: str) -> Model:
    return served(name)


@dataclass(frozen=True, kw_only=True)
class Case:
    site: str
    change: Any = "replace"
    at_position: bool = False
    head: int | tuple[int, ...] | None = None
    neuron: int | None = None
    with_rows: bool = True

    def __str__(self) -> str:
        words = [self.site, self.change, "position" if self.at_position else "", "" if self.with_rows else "broadcast"]
        if self.head is not None:
            words.append(f"head{self.head}".replace(" ", ""))
        return "-".join(word for word in [*words, "neuron" if self.neuron else ""] if word)


CASES = (
    Case(site="embed", change="add", at_position=True),
    Case(site="resid_pre"),
    Case(site="resid_pre", at_position=True, with_rows=False),
    Case(site="resid_post", change="add", with_rows=False),
    Case(site="attn_in", change="add", at_position=True),
    Case(site="attn_out", at_position=True),
    Case(site="attn_out_post", change="add"),
    Case(site="mlp_in", at_position=True),
    Case(site="mlp_in", change="add", with_rows=False),
    Case(site="mlp_out", at_position=True),
    Case(site="mlp_out_post", at_position=True),
    Case(site="mlp_pre", change="add", at_position=True, neuron=3),
    Case(site="mlp_post", neuron=5),
    Case(site="mlp_post", at_position=True, neuron=7, with_rows=False),
    Case(site="mlp_post", at_position=True),
    Case(site="z", at_position=True, head=1),
    Case(site="z", change="add", at_position=True, head=(3, 0)),
    Case(site="z", head=(1, 2)),
    Case(site="z", change="add", head=2, with_rows=False),
    Case(site="z", at_position=True, with_rows=False),
    Case(site="final", at_position=True),
)


def literal(x: Tensor, case: Case, value: Callable[..., Tensor]) -> Tensor:
    """The edit as loops; `value(row, pos, head)` is what goes there."""
    x = x.clone()
    for row in range(ROWS):
        for pos in [int(POSITION[row])] if case.at_position else range(LENGTH):
            if case.site not in PER_HEAD:
                where = slice(None) if case.neuron is None else case.neuron
                new = value(row, pos, None)
                x[row, pos, where] = x[row, pos, where] + new if case.change == "add" else new
                continue
            width = x.shape[-1] // N_HEADS
            for head in _heads(case):
                columns = slice(head * width, (head + 1) * width)
                new = value(row, pos, head)
                x[row, pos, columns] = x[row, pos, columns] + new if case.change == "add" else new
    return x


def _heads(case: Case) -> list[int]:
    if case.head is None:
        return list(range(N_HEADS))
    return [case.head] if isinstance(case.head, int) else list(case.head)


def values(case: Case, width: int) -> tuple[Tensor, Callable[..., Tensor]]:
    """A value of the edit's shape, and how the loops find an entry in it."""
    shape: list[int] = [] if not case.with_rows else [ROWS] if case.at_position else [ROWS, LENGTH]
    if case.site in PER_HEAD:
        width //= N_HEADS
        if not isinstance(case.head, int):
            shape.append(len(_heads(case)))
    value = (
        noise(*shape, *([] if case.neuron is not None else [width])) if shape or case.neuron is None else noise(1)[0]
    )

    def at(row: int, pos: int, head: int | None) -> Tensor:
        index: list[int] = [] if not case.with_rows else [row] if case.at_position else [row, pos]
        if head is not None and not isinstance(case.head, int):
            index.append(_heads(case).index(head))
        return value[tuple(index)]

    return value, at


def edit_of(case: Case, value: Tensor) -> Edit:
    return Edit(
        site=Site(case.site, None if case.site in ("embed", "final") else LAYER),
        change=case.change,
        value=value,
        position=POSITION if case.at_position else None,
        head=case.head,
        neuron=case.neuron,
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_edit_equals_loops_in_plain_hooks(name: str, model: Model, case: Case) -> None:
    if case.site.endswith("_out_post") and name not in WITH_OUT_NORMS:
        pytest.skip("this family has no norm behind its outputs")
    where, side = place(name, case.site, LAYER)
    value, at = values(case, slow_read(shared(name), tokens(), where, side).shape[-1])
    edit = edit_of(case, value)
    edited = model.run(tokens(), edit=[edit]).logits
    expected = slow_logits(shared(name), tokens(), [(where, side, lambda x: literal(x, case, at))])
    assert torch.equal(edited, expected)
    assert not torch.allclose(edited, slow_logits(shared(name), tokens()), atol=1e-3)

    chosen = torch.tensor([2, 0, 0])
    again = model.run(tokens()[chosen], edit=[edit.take(chosen)]).logits
    torch.testing.assert_close(again, expected[chosen], **CLOSE)


@pytest.mark.parametrize("case", [c for c in CASES if c.site in ("mlp_in", "z", "mlp_post")], ids=str)
def test_replay_with_an_edit_equals_the_run_with_it(model: Model, case: Case) -> None:
    width = {"mlp_in": model.d_model, "z": model.n_heads * model.d_head, "mlp_post": model.d_mlp}[case.site]
    edit = edit_of(case, values(case, width)[0])
    expected = model.run(tokens(), edit=[edit]).logits
    for start in range(LAYER + 1):
        assert torch.equal(model.replay(model.record(tokens()), start, edit=[edit]).logits, expected)


@pytest.mark.parametrize("head", [None, 2, (3, 1)])
def test_replaced_patterns_mix_the_values_as_written_out(
    name: str, model: Model, head: int | tuple[int, ...] | None
) -> None:
    module, ids = shared(name), tokens()
    pattern = slow_patterns(module, ids)[LAYER].clone()
    heads = list(range(N_HEADS)) if head is None else [head] if isinstance(head, int) else list(head)
    new = noise(ROWS, len(heads), LENGTH, LENGTH).tril().softmax(-1)
    for i, h in enumerate(heads):
        pattern[:, h] = new[:, i]
    z = mixed(pattern, slow_values(name, module, ids, LAYER))
    expected = slow_logits(module, ids, [(path(name, "attention_out", LAYER), "in", lambda _: z)])
    value = new[:, 0] if isinstance(head, int) else new
    edit = Edit(site=Site("pattern", LAYER), value=value, head=head)
    torch.testing.assert_close(model.run(ids, edit=[edit]).logits, expected, **CLOSE)
    chosen = torch.tensor([1, 1, 2])
    again = model.run(ids[chosen], edit=[edit.take(chosen)]).logits
    torch.testing.assert_close(again, expected[chosen], **CLOSE)
    one = Edit(site=Site("pattern", LAYER), value=value[0], head=head)
    torch.testing.assert_close(model.run(ids, edit=[one]).logits[0], expected[0], **CLOSE)


@pytest.mark.parametrize("head", [None, 2, (3, 1)])
def test_replaced_values_reach_the_queries_of_their_heads_only(
    name: str, model: Model, head: int | tuple[int, ...] | None
) -> None:
    """With grouped queries the heads of one group can be told apart."""
    module, ids = shared(name), tokens()
    v = slow_values(name, module, ids, LAYER).clone()
    heads = list(range(N_HEADS)) if head is None else [head] if isinstance(head, int) else list(head)
    new = noise(ROWS, len(heads), v.shape[-1])
    for row in range(ROWS):
        for i, h in enumerate(heads):
            v[row, POSITION[row], h] = new[row, i]
    z = mixed(slow_patterns(module, ids)[LAYER], v)
    expected = slow_logits(module, ids, [(path(name, "attention_out", LAYER), "in", lambda _: z)])
    value = new[:, 0] if isinstance(head, int) else new
    edit = Edit(site=Site("v", LAYER), value=value, head=head, position=POSITION)
    torch.testing.assert_close(model.run(ids, edit=[edit]).logits, expected, **CLOSE)


@pytest.mark.parametrize("site", ["q", "k"])
def test_without_queries_or_keys_a_head_attends_evenly(name: str, model: Model, site: str) -> None:
    module, ids = shared(name), tokens()
    pattern = slow_patterns(module, ids)[LAYER].clone()
    seen = (pattern[:, 3] > 0).float()
    pattern[:, 3] = seen / seen.sum(-1, keepdim=True)
    z = mixed(pattern, slow_values(name, module, ids, LAYER))
    expected = slow_logits(module, ids, [(path(name, "attention_out", LAYER), "in", lambda _: z)])
    edit = Edit(site=Site(site, LAYER), value=torch.zeros(model.d_head), head=3)
    torch.testing.assert_close(model.run(ids, edit=[edit]).logits, expected, **CLOSE)


@pytest.mark.parametrize("head", [None, 2, (3, 1)])
@pytest.mark.parametrize("everywhere", [False, True])
def test_a_forbidden_edge_equals_a_mask_made_by_hand(
    name: str, model: Model, head: int | tuple[int, ...] | None, everywhere: bool
) -> None:
    module, ids, key = shared(name), tokens(), POSITION - torch.tensor([0, 1, 2])
    layers = range(N_LAYERS) if everywhere else [LAYER]
    edits = [
        Edit(site=Site("scores", layer), change="forbid", position=POSITION, key_position=key, head=head)
        for layer in layers
    ]
    heads = list(range(N_HEADS)) if head is None else [head] if isinstance(head, int) else list(head)

    def by_hand(mask: Tensor) -> Tensor:
        mask = mask.expand(ROWS, N_HEADS, LENGTH, LENGTH).clone()
        for row in range(ROWS):
            mask[row, heads, POSITION[row], key[row]] = float("-inf")
        return mask

    expected = slow_logits(module, ids, [(path(name, "attention", layer), "mask", by_hand) for layer in layers])
    reads = [("pattern", layer) for layer in range(N_LAYERS)]
    cut, clean = model.run(ids, read=["logits", *reads], edit=edits), model.run(ids, read=["logits", *reads])
    torch.testing.assert_close(cut.logits, expected, **CLOSE)
    for row in range(ROWS):
        query = int(POSITION[row])
        for layer in layers:
            assert (cut["pattern", layer][row, heads, query, key[row]] == 0).all()
        assert torch.equal(cut.logits[row, :query], clean.logits[row, :query])
        assert not torch.equal(cut.logits[row, query], clean.logits[row, query])
    for pattern in (cut[read] for read in reads):
        torch.testing.assert_close(pattern.sum(-1), torch.ones(ROWS, N_HEADS, LENGTH))
        assert (pattern.triu(1) == 0).all()
    others = [h for h in range(N_HEADS) if h not in heads]
    assert torch.equal(cut["pattern", layers[0]][:, others], clean["pattern", layers[0]][:, others])


def test_a_query_is_never_left_with_nothing_but_the_future(model: Model) -> None:
    start = torch.zeros(ROWS, dtype=torch.long)
    edit = Edit(site=Site("scores", 0), change="forbid", position=start, key_position=start)
    with pytest.raises(InputError, match="nothing to attend to"):
        model.run(tokens(), edit=[edit])


def test_edits_of_one_site_apply_in_their_order_and_reads_come_after(name: str, model: Model) -> None:
    site, value = Site("mlp_out", LAYER), noise(model.d_model)
    put, add = Edit(site=site, value=value), Edit(site=site, change="add", value=value)
    assert torch.equal(model.run(tokens(), read=[site], edit=[put, add])[site][1, 2], value + value)
    assert torch.equal(model.run(tokens(), read=[site], edit=[add, put])[site][1, 2], value)
    twice = Edit(site=Site("embed"), value=value)
    stream = model.run(tokens(), read=[("resid_pre", 0), "embed"], edit=[twice])
    assert torch.equal(stream["resid_pre", 0], stream["embed"]) and torch.equal(stream["embed"][0, 0], value)


def test_the_stream_between_attention_and_mlp_does_not_show_what_the_mlp_was_made_to_read() -> None:
    model, edit = served("llama"), Edit(site=Site("mlp_in", 1), change="add", value=noise(24))
    site = Site("resid_mid", 1)
    assert torch.equal(model.run(tokens(), read=[site], edit=[edit])[site], model.run(tokens(), read=[site])[site])


def test_an_edit_leaves_what_it_was_given_as_it_was(model: Model) -> None:
    recording = model.record(tokens())
    before = [x.clone() for x in recording.resid_pre]
    value = noise(model.d_model)
    kept = value.clone()
    model.replay(recording, 1, edit=[Edit(site=Site("resid_pre", 1), change="add", value=value, position=POSITION)])
    assert all(map(torch.equal, before, recording.resid_pre)) and torch.equal(value, kept)


def test_a_single_value_serves_any_selection_of_rows() -> None:
    edit = Edit(site=Site("resid_pre", 1), value=noise(1, 24), position=POSITION)
    chosen = torch.tensor([2, 2, 0])
    whole = served("llama").run(tokens(), edit=[edit]).logits
    torch.testing.assert_close(
        served("llama").run(tokens()[chosen], edit=[edit.take(chosen)]).logits, whole[chosen], **CLOSE
    )


WRONG: dict[str, dict[str, Any]] = {
    "can be read but not edited": {"site": Site("resid_mid", 0), "value": noise(4)},
    "needs a value": {"site": Site("z", 0)},
    "takes no value": {
        "site": Site("scores", 0),
        "change": "forbid",
        "value": noise(1),
        "position": POSITION,
        "key_position": POSITION,
    },
    "is a float; expected a tensor": {"site": Site("z", 0), "value": 0.5},
    "go together": {"site": Site("scores", 0), "value": noise(1)},
    "position and key_position": {"site": Site("scores", 0), "change": "forbid", "position": POSITION},
    "no head dimension": {"site": Site("mlp_out", 0), "value": noise(1), "head": 1},
    "no neurons": {"site": Site("z", 0), "value": noise(1), "neuron": 1},
    "whole patterns": {"site": Site("pattern", 0), "value": noise(8, 8), "position": POSITION},
}


@pytest.mark.parametrize("message", WRONG)
def test_an_edit_that_means_nothing_is_refused_when_it_is_made(message: str) -> None:
    with pytest.raises(InputError, match=message):
        Edit(**WRONG[message])


def test_all_that_is_wrong_with_an_edit_is_said_at_once() -> None:
    with pytest.raises(InputError) as caught:
        Edit(site=Site("resid_mid", 0), head=1, neuron=1)
    assert len(caught.value.problems) == 4


def test_a_value_that_does_not_fit_is_refused_with_both_shapes() -> None:
    with pytest.raises(InputError, match=r"\(5,\).*\(3, 24\)"):
        served("llama").run(tokens(), edit=[Edit(site=Site("mlp_out", 1), value=noise(5), position=POSITION)])


@pytest.mark.parametrize("site", ["logits", ("resid_mid", 1)])
def test_what_can_only_be_read_is_not_edited_by_a_function_either(site: str | tuple[str, int]) -> None:
    with pytest.raises(InputError, match="can be read but not edited"):
        served("llama").run(tokens(), edit=[(site, torch.clone)])
