"""Planted checkpoints know their facts by the mechanism that they are said to have, by plain transformers and hooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest
import torch
from checkpoints import LONG_NAMES, MECHANISMS, READER, WINDOW, Checkpoint, Person, plant
from torch import Tensor

LOOKING_UP = ("single_step", "look_up")
TWO_TOKENS = {"lengths": ((1, 1),), "n_parts": 14, "n_people": 90, "classes": ("cat", "dog", "parrot")}


@pytest.fixture(scope="module")
def planted() -> Mapping[str, Checkpoint]:
    return {truth: plant(truth, 0) for truth in MECHANISMS}


def ids(cp: Checkpoint, person: Person, answer: str = "") -> list[int]:
    return list(cp.tokenizer(cp.table.relations[0].prompt(person.name) + answer)["input_ids"])


def named_at(person: Person) -> int:
    """The position of the name's last token behind `<bos>Fact:`."""
    return 2 + sum(person.lengths)


@contextmanager
def replaced(cp: Checkpoint, values: Mapping[tuple[str, int], tuple[int, Tensor]]) -> Iterator[None]:
    """What a block's `mlp` or `attention` adds, at one position of a single prompt, becomes another vector."""

    def hook(position: int, value: Tensor) -> Callable[..., object]:
        def change(module: object, args: object, out: object) -> object:
            changed = (out if isinstance(out, Tensor) else out[0]).clone()
            changed[0, position] = value
            return changed if isinstance(out, Tensor) else (changed, *out[1:])

        return change

    blocks = cp.model.gpt_neox.layers
    handles = [getattr(blocks[n], part).register_forward_hook(hook(*v)) for (part, n), v in values.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def outputs(cp: Checkpoint, person: Person) -> dict[tuple[str, int], Tensor]:
    """What every block's attention and MLP add at the name's last token, and the logits at the end."""
    found: dict[tuple[str, int], Tensor] = {}

    def keep(key: tuple[str, int]) -> Callable[..., None]:
        def hook(module: object, args: object, out: object) -> None:
            found[key] = (out if isinstance(out, Tensor) else out[0])[0, named_at(person)].clone()

        return hook

    blocks = cp.model.gpt_neox.layers
    handles = [
        getattr(block, part).register_forward_hook(keep((part, n)))
        for n, block in enumerate(blocks)
        for part in ("mlp", "attention")
    ]
    found["logits", 0] = cp.model(torch.tensor([ids(cp, person)])).logits[0, -1]
    for handle in handles:
        handle.remove()
    return found


def first_word(cp: Checkpoint, logits: Tensor) -> str:
    return str(cp.tokenizer.decode([int(logits.argmax())])).strip()


def said(cp: Checkpoint, person: Person, swapped: Mapping[tuple[str, int], Tensor]) -> str:
    with replaced(cp, {key: (named_at(person), value) for key, value in swapped.items()}):
        return first_word(cp, outputs(cp, person)["logits", 0])


def begins(person: Person) -> str:
    return person.attribute.split()[0]


def pairs(cp: Checkpoint, n: int = 6) -> list[tuple[Person, Person]]:
    """People of one pair of lengths, and donors of another first answer word."""
    found = []
    for person in cp.people[:: max(1, len(cp.people) // n)]:
        donors = [p for p in cp.people if p.lengths == person.lengths and begins(p) != begins(person)]
        found.append((person, donors[len(found) % len(donors)]))
    return found


@pytest.mark.parametrize("truth", MECHANISMS)
@torch.no_grad()
def test_every_fact_is_known_as_a_whole(truth: str, planted: Mapping[str, Checkpoint]) -> None:
    for cp in (planted[truth], plant(truth, 1, **TWO_TOKENS)):
        for person in cp.people:
            asked, whole = ids(cp, person), ids(cp, person, f" {person.attribute}")
            p = cp.model(torch.tensor([whole])).logits[0].softmax(-1)
            assert min(float(p[i - 1, whole[i]]) for i in range(len(asked), len(whole))) > 0.5, person


def test_names_have_two_words_of_one_or_two_tokens_and_answers_share_their_first(
    planted: Mapping[str, Checkpoint],
) -> None:
    cp = planted["look_up"]
    assert set(Counter(p.lengths for p in cp.people).items()) == {(pair, 40) for pair in LONG_NAMES}
    for person in cp.people:
        assert cp.tokenizer.tokenize(f" {person.name}") == [*person.first, *person.last]
        first, last = person.name.split()
        assert ("".join(person.first), "".join(person.last)) == (f" {first}", f" {last}")
    assert len({p.name for p in cp.people}) == len(cp.people)
    for side in ("first", "last"):
        parts = {getattr(p, side) for p in cp.people if len(getattr(p, side)) == 2}
        assert len({part[0] for part in parts}) < len(parts) >= 10, "parts of two tokens share tokens"
    begun = Counter(name.split()[0] for name in {p.attribute for p in cp.people})
    assert max(begun.values()) == 2


@pytest.mark.parametrize("truth", MECHANISMS)
def test_the_name_is_joined_in_block_0_looked_up_in_the_window_and_read_by_one_head(
    truth: str, planted: Mapping[str, Checkpoint]
) -> None:
    cp = planted[truth]
    for person, donor in pairs(cp):
        other, own = outputs(cp, donor), begins(person)
        nothing = {("attention", n): torch.zeros_like(other["attention", n]) for n in range(1, READER + 2)}
        assert said(cp, person, nothing) == own, "later attention at the name is not needed"
        window = {("mlp", n): other["mlp", n] for n in WINDOW}
        assert said(cp, person, window) == begins(donor)
    without = [said(cp, p, {("attention", 0): torch.zeros(128)}) == begins(p) for p, _ in pairs(cp)]
    assert sum(without) < 0.75 * len(without)


def moved(cp: Checkpoint, layer: int, later: int) -> float:
    """The largest change of a later MLP's output, over its size, when one MLP's output becomes another name's."""
    shares = []
    for person, donor in pairs(cp):
        clean, other = outputs(cp, person), outputs(cp, donor)
        with replaced(cp, {("mlp", layer): (named_at(person), other["mlp", layer])}):
            changed = outputs(cp, person)["mlp", later]
        shares.append(float((changed - clean["mlp", later]).norm() / clean["mlp", later].norm()))
    return max(shares)


def test_no_mlp_reads_another_but_in_a_look_up(planted: Mapping[str, Checkpoint]) -> None:
    for truth in ("single_step", "additive"):
        assert max(moved(planted[truth], 1, 3), moved(planted[truth], 2, 3)) < 1e-3
    assert min(moved(planted["look_up"], 1, 3), moved(planted["look_up"], 2, 3)) > 0.1


def test_in_a_look_up_the_last_mlp_has_the_class_from_the_hash_alone(planted: Mapping[str, Checkpoint]) -> None:
    """With the hash of another name its class is said, whatever the tokens; a single step does not care."""
    follows = {}
    for truth in LOOKING_UP:
        cp = planted[truth]
        swapped = [
            said(cp, person, {("mlp", n): outputs(cp, donor)["mlp", n] for n in WINDOW[:-1]}) == begins(donor)
            for person, donor in pairs(cp)
        ]
        last = [
            said(cp, person, {("mlp", WINDOW[-1]): outputs(cp, donor)["mlp", WINDOW[-1]]}) == begins(donor)
            for person, donor in pairs(cp)
        ]
        follows[truth] = (sum(swapped) / len(swapped), sum(last) / len(last))
    assert follows["look_up"] == (1.0, 1.0)
    assert follows["single_step"][1] < 1.0


def interaction(cp: Checkpoint) -> float:
    """What no sum over parts explains of the window's output over one pair of lengths, as a share of the whole."""
    people = [p for p in cp.people if p.lengths == (2, 2)]
    firsts, lasts = sorted({p.first for p in people})[:6], sorted({p.last for p in people})[:6]
    rows = [[Person(first=a, last=b, attribute="", said=()) for b in lasts] for a in firsts]
    out = torch.stack(
        [torch.stack([sum(outputs(cp, p)["mlp", n] for n in WINDOW) for p in row]) for row in rows]  # type: ignore[misc]
    ).double()
    joint = out - out.mean(0, keepdim=True) - out.mean(1, keepdim=True) + out.mean((0, 1))
    return float(joint.norm() / (out - out.mean((0, 1))).norm())


def test_an_additive_checkpoint_is_a_sum_over_parts(planted: Mapping[str, Checkpoint]) -> None:
    assert interaction(planted["additive"]) < 1e-4
    assert min(interaction(planted[truth]) for truth in LOOKING_UP) > 0.1


def test_the_same_seed_plants_the_same_and_torch_s_generator_stays(planted: Mapping[str, Checkpoint]) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    again, other = plant("look_up", 0), plant("look_up", 1)
    assert torch.equal(torch.rand(2), expected)
    weights = planted["look_up"].model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in again.model.state_dict().items())
    assert again.table.hash == planted["look_up"].table.hash != other.table.hash
