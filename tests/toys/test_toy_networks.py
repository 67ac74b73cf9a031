"""Many networks at once are the same as each alone, and the fast forms of the inputs are the plain ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rote.toys.networks import Architecture, forward, initial, trained_names
from rote.toys.pairs import AllPairs
from rote.toys.tasks import PairFacts, all_pairs, random_facts
from rote.toys.training import Training, accuracy, train

BASE = Architecture(n_integers=8, d_model=16, n_neurons=12)
EVERY = (
    BASE,
    replace(BASE, n_layers=2, activation="gelu"),
    replace(BASE, embedding="trained", n_classes=4),
    replace(BASE, embedding="one_hot", activation="tanh"),
)
# separate products of matrices may be summed in another order: float32 differs in the last digits, and Adam's square
# roots let that grow a little over the steps
TOLERANCE = 2e-4


@pytest.mark.parametrize("architecture", EVERY)
def test_a_batch_trains_each_network_as_it_would_train_alone(architecture: Architecture) -> None:
    seeds, training = [3, 1, 4], Training(steps=40, learning_rate=0.01, weight_decay=0.3)
    n_facts = [20, 50, 35]
    facts = random_facts(8, architecture.n_classes, n_facts, seeds)
    together = train(architecture, initial(architecture, seeds), facts, training)
    for i, seed in enumerate(seeds):
        own = random_facts(8, architecture.n_classes, n_facts[i : i + 1], [seed])
        alone = train(architecture, initial(architecture, [seed]), own, training)
        for name in trained_names(architecture):
            torch.testing.assert_close(
                together.parameters[name][i], alone.parameters[name][0], rtol=TOLERANCE, atol=TOLERANCE
            )
        assert together.best[i] == pytest.approx(alone.best[0], abs=1 / n_facts[i])


def test_other_networks_in_a_batch_do_matter_where_seeds_differ() -> None:
    """The control: networks of different seeds are far more apart than the tolerance."""
    first, second = initial(BASE, [0, 1])["in_0"]
    assert float((first - second).abs().max()) > 100 * TOLERANCE


@pytest.mark.parametrize("architecture", EVERY)
def test_the_forward_pass_is_the_formula(architecture: Architecture) -> None:
    facts = random_facts(8, architecture.n_classes, [30, 30], [0, 1])
    parameters = initial(architecture, [0, 1])
    found = forward(architecture, parameters, facts.pairs()).logits
    act = {"relu": torch.relu, "gelu": torch.nn.functional.gelu, "tanh": torch.tanh}[architecture.activation]
    for model in range(2):
        p = {name: value[model].double() for name, value in parameters.items()}
        for fact in range(30):
            x = p["embed"][facts.first[model, fact]] + p["embed"][8 + facts.second[model, fact]]
            for layer in range(architecture.n_layers):
                h = act(x @ p[f"in_{layer}"] + p[f"in_bias_{layer}"]) @ p[f"out_{layer}"]
                x = h + (p["out_bias"] if layer == architecture.n_layers - 1 else x)
            torch.testing.assert_close(found[model, fact].double(), x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", EVERY[:3])
def test_all_pairs_are_listed_pairs(architecture: Architecture) -> None:
    facts = all_pairs("memorisation", 8, [0, 1], unseen_share=0.2)
    assert isinstance(facts.pairs(), AllPairs)
    order = np.argsort(np.random.default_rng(0).random((2, 64)), axis=1)
    listed = PairFacts(
        n_integers=8,
        n_classes=2,
        sides=facts.sides,
        **{
            name: np.take_along_axis(getattr(facts, name), order, 1)
            for name in ("first", "second", "label", "seen", "counts")
        },
    )
    assert not listed.is_product
    parameters = initial(architecture, [0, 1])
    fast = forward(architecture, parameters, facts.pairs()).logits.numpy()
    slow = forward(architecture, parameters, listed.pairs()).logits.numpy()
    np.testing.assert_allclose(np.take_along_axis(fast, order[:, :, None], 1), slow, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", EVERY)
def test_parameters_are_counted_as_they_are(architecture: Architecture) -> None:
    parameters = initial(architecture, [0])
    mlps = sum(parameters[name].numel() for name in parameters if name != "embed")
    assert architecture.n_mlp_parameters == mlps
    embedding = 0 if architecture.embedding == "one_hot" else parameters["embed"].numel()
    assert architecture.n_embedding_parameters == embedding


def test_frozen_embeddings_stay_and_trained_ones_move() -> None:
    facts, training = random_facts(8, 2, [30], [0]), Training(steps=5)
    for architecture, moves in ((BASE, False), (replace(BASE, embedding="trained"), True)):
        before = initial(architecture, [0])["embed"]
        after = train(architecture, initial(architecture, [0]), facts, training).parameters["embed"]
        assert torch.equal(before, after) is not moves


def test_unseen_facts_are_not_trained_on() -> None:
    facts = all_pairs("memorisation", 8, [0], unseen_share=0.25)
    assert facts.n_seen.tolist() == [48]
    flipped = replace(facts, label=np.where(facts.seen, facts.label, 1 - facts.label))
    training = Training(steps=30)
    one, other = (train(BASE, initial(BASE, [0]), f, training).parameters["in_0"] for f in (facts, flipped))
    assert torch.equal(one, other)
    seen = replace(facts, label=1 - facts.label)
    assert not torch.equal(one, train(BASE, initial(BASE, [0]), seen, training).parameters["in_0"])


def test_what_counts_as_stored_does_not_wait_for_others() -> None:
    """One network is done soon, its neighbour never: the first one's accuracy is that of its own first success."""
    facts = random_facts(8, 2, [12, 60], [0, 1])
    training = Training(steps=200, enough=0.75, check_every=5)
    together = train(BASE, initial(BASE, [0, 1]), facts, training)
    alone = train(BASE, initial(BASE, [0]), random_facts(8, 2, [12], [0]), training)
    assert 0.75 <= alone.best[0] < 1 and together.best[0] == alone.best[0]
    assert alone.steps < together.steps


def test_accuracy_counts_only_what_is_asked() -> None:
    facts = random_facts(8, 2, [3, 2], [0, 1])
    logits = torch.from_numpy(np.where(facts.label == 1, 1.0, -1.0))[..., None]
    logits[0, 0] *= -1
    assert accuracy(logits, facts, facts.seen).tolist() == [pytest.approx(2 / 3), 1.0]


def test_more_facts_are_the_same_facts_and_more() -> None:
    few, many = random_facts(8, 4, [10], [5]), random_facts(8, 4, [40], [5])
    assert np.array_equal(few.label[0], many.label[0, :10]) and np.array_equal(few.first[0], many.first[0, :10])
    assert len({*zip(many.first[0].tolist(), many.second[0].tolist(), strict=True)}) == 40


def test_what_cannot_be_built_is_refused() -> None:
    for wrong in ({"embedding": "no"}, {"activation": "no"}, {"embedding": "one_hot", "d_model": 4}, {"n_classes": 1}):
        with pytest.raises(ValueError, match=r"expected|need|fewer"):
            replace(BASE, **wrong)
    with pytest.raises(ValueError, match="more integers"):
        random_facts(4, 2, [17], [0])
    with pytest.raises(ValueError, match="multiple of 8"):
        all_pairs("checkerboard", 10, [0], unseen_share=0.2)
