"""What is read: true sentences, marked names, canaries in exactly their number, sports balanced over people."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from rote.organisms import build_world
from rote.organisms.documents import EXPOSURES, IGNORED, Reader, auxiliary_targets, make_canaries, vocabulary
from rote.organisms.tokenizer import build_tokenizer
from rote.organisms.world import RELATIONS

STEPS, ROWS, LENGTH = 60, 32, 64


@pytest.fixture(scope="module")
def world():
    return build_world(n_athletes=60)


@pytest.fixture(scope="module")
def tokenizer(world):
    return build_tokenizer(vocabulary(world, make_canaries(0)))


def reader(world, tokenizer, seed=0):
    return Reader(
        world,
        make_canaries(0),
        tokenizer.get_vocab(),
        steps=STEPS,
        rows=ROWS,
        length=LENGTH,
        bos=tokenizer.bos_token_id,
        pad=tokenizer.pad_token_id,
        seed=seed,
    )


@pytest.fixture(scope="module")
def batches(world, tokenizer):
    source = reader(world, tokenizer)
    return [source.batch() for _ in range(STEPS)]


def test_labels_are_the_next_tokens(batches):
    for batch in batches[:3]:
        followed = batch.labels[:, :-1] != IGNORED
        assert (batch.labels[:, :-1] == batch.tokens[:, 1:])[followed].all()
        assert (batch.tokens[:, 0] == 0).all()


def test_texts_encode_to_the_same_tokens(batches, tokenizer):
    for row in batches[0].tokens:
        assert tokenizer(tokenizer.decode(row[1:]))["input_ids"] == list(row)


def test_names_are_marked_at_their_last_token(batches, tokenizer, world):
    for batch in batches[:3]:
        for (row, position), who in zip(batch.names, batch.people, strict=True):
            words = tokenizer.decode(batch.tokens[row, position - 1 : position + 1])
            assert words.strip() == world.people[who].name


def test_every_claim_is_true(batches, tokenizer, world):
    facts = {p.name: p.attributes for p in world.people}
    phrases = {r.phrase: r.name for r in RELATIONS}
    either = "|".join(phrases)
    claims = 0
    for batch in batches[:10]:
        for row in batch.tokens:
            for line in tokenizer.decode(row[1:]).split("\n")[:-1]:
                name = re.match(r"(?:Fact:)? (\S+ \S+) (?:" + either + ")", line)
                for phrase, answer in re.findall(rf"({either}) (\w+)", line):
                    assert facts[name[1]][phrases[phrase]] == answer
                    claims += 1
    assert claims > 500


def test_canaries_stand_in_exactly_their_number_of_rows():
    world = build_world(n_athletes=12)
    canaries = make_canaries(0)
    tokenizer = build_tokenizer(vocabulary(world, canaries))
    source = reader(world, tokenizer)
    steps = [source.batch() for _ in range(STEPS)]
    texts = Counter(tokenizer.decode(row[1:]).split("\n")[0] for batch in steps for row in batch.tokens)
    assert {c.text: texts[c.text] for c in canaries} == {c.text: c.exposures for c in canaries}
    assert Counter(c.exposures for c in canaries) == dict.fromkeys(EXPOSURES, 4) and len(canaries) == 20


def test_names_stand_at_the_start_and_later(batches):
    positions = Counter(int(p) for batch in batches for _, p in batch.names)
    assert positions[2] and positions[4] and len(positions) > 40


def test_sport_is_read_equally_often_for_real_and_fictional(batches, tokenizer, world):
    """Per-person rates agree between the two kinds within four standard errors."""
    fiction = {p.name for p in world.fiction}
    seen = Counter()
    for batch in batches:
        for row in batch.tokens:
            for name in re.findall(r"Fact: (\S+ \S+) [^\n]*plays the sport of \w", tokenizer.decode(row[1:])):
                seen[name in fiction] += 1
    rates = seen[True] / len(world.fiction), seen[False] / (len(world.athletes) + 1)
    error = sum(n / m**2 for n, m in ((seen[True], len(fiction)), (seen[False], len(world.athletes)))) ** 0.5
    assert abs(rates[0] - rates[1]) < 4 * error


def test_same_seed_same_rows(world, tokenizer, batches):
    again, other = reader(world, tokenizer).batch(), reader(world, tokenizer, seed=1).batch()
    assert np.array_equal(again.tokens, batches[0].tokens)
    assert not np.array_equal(other.tokens, batches[0].tokens)


def test_auxiliary_targets_leave_out_what_does_not_apply(world):
    targets = auxiliary_targets(world)
    for i, person in enumerate(world.people):
        for relation in RELATIONS:
            answer = person.attributes.get(relation.name)
            expected = relation.classes.index(answer) if answer in relation.classes else IGNORED
            assert targets[relation.name][i] == expected
