"""Where planted heads read the answer: which are candidates, what is a control, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from checkpoints import D_MODEL, MECHANISMS, N_HEADS, READER, Checkpoint, plant
from judged import SETTINGS
from test_planted_end_to_end import NAMES

import rote
from rote.asking import Recall, ask
from rote.circuit import search
from rote.circuit.extraction import head_readouts
from rote.circuit.flips import flips, random_basis, random_within, readout_basis, value_span
from rote.circuit.readout_heads import N_RANDOM, choose_readout_heads
from rote.circuit.source_effects import source_effects
from rote.experiments.base import Study
from rote.experiments.readout.measure import ReadoutExperiment
from rote.facts import build_prompts
from rote.facts.prompts import POSITIONS
from rote.organisms.force import rotary_biases
from rote.statistics import rng

READS = (READER, 0)


def studied(cp: Checkpoint) -> Recall:
    model = rote.load_model(cp.model, tokenizer=cp.tokenizer, name="planted")
    prompts = build_prompts(cp.table, "animal", model.tokenizer)
    known = ask(model, prompts, SETTINGS).known
    assert known.mean() > 0.9
    return Recall.of(model, prompts, known, SETTINGS)


@pytest.fixture(scope="module")
def narrow() -> Recall:
    """Three classes: what the reading head's values see has three dimensions, its readout two of them."""
    return studied(plant("single_step", 1, **NAMES["two tokens"], wide=False))


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("truth", MECHANISMS)
def test_no_head_that_writes_nothing_is_a_candidate(truth: str, names: str, wide: bool) -> None:
    """A second head reads the answer too, for its second word, and writes it where the first word is not looked for."""
    recall = studied(plant(truth, 1, **NAMES[names], wide=wide))
    found = choose_readout_heads(recall)
    assert found.candidates == found.heads == (READS,)
    means = source_effects(recall).parts[recall.selection].mean(0)[..., POSITIONS.index("subject_last")]
    assert np.abs(np.delete(means.ravel(), READER * N_HEADS)).max() < 1e-9 * means[READS]


@pytest.mark.parametrize("wide", [True, False])
def test_flips_are_held_against_the_span_where_it_has_room_else_against_all_of_d_model(wide: bool) -> None:
    recall = studied(plant("single_step", 1, **NAMES["two tokens"], wide=wide))
    half = recall.take(np.flatnonzero(recall.selection))
    basis, span = readout_basis(head_readouts(recall, [READS])[0].weight), value_span(recall, [READS])
    assert (basis.shape[1], span.shape[1]) == (2, 23 if wide else 3)
    draws = {name: rng(SETTINGS.seed, "readout_heads", f"animal/{name}") for name in ("within/1", "anywhere")}
    random = {
        "within": [random_within(span, 2, draws["within/1"]) for _ in range(N_RANDOM)],
        "anywhere": [random_basis(D_MODEL, 2, draws["anywhere"]) for _ in range(N_RANDOM)],
    }
    share = {name: np.mean([flips(half, space, READER).mean() for space in spaces]) for name, spaces in random.items()}
    own = flips(half, basis, READER).mean()
    assert choose_readout_heads(recall).gains == pytest.approx((own - share["within" if wide else "anywhere"],))
    # what makes the span no control: its random subspaces do what the readout does
    assert own == 1 and (share["within"] < 0.1 if wide else share["within"] > 0.5) and share["anywhere"] == 0


def test_the_control_without_room_is_absent_with_the_figures(narrow: Recall) -> None:
    known = ask(narrow.model, narrow.prompts, SETTINGS)
    study = Study(prompts=narrow.prompts, known=known, recall=narrow, circuit=search(narrow))
    record = ReadoutExperiment().record(study)
    swapped = {r.condition: r.value for r in record.rows if r.statistic == "subspace_flip"}
    assert (swapped["readout_subspace"], swapped["random_subspace"]) == (1, 0)
    (why,) = [a.reason for a in record.absent if a.condition == "random_in_value_span"]
    assert "it has 3 dimensions and the readout 2 of them" in why and "random_in_value_span" not in swapped


def test_a_head_that_reads_the_answer_behind_the_name_is_refused(narrow: Recall) -> None:
    """The positive control: where the joined tokens stand again, one token on, all is looked up a second time."""
    cp = plant("single_step", 1, **NAMES["two tokens"], wide=False)
    d_head = D_MODEL // N_HEADS
    query, key = rotary_biases((3, 5, 8, 9), d_head, 10000.0)  # the first head looked four tokens back
    with torch.no_grad():
        bias = cp.model.gpt_neox.layers[READER].attention.query_key_value.bias.view(N_HEADS, 3, d_head)
        bias[:, 0], bias[:, 1] = torch.as_tensor(2 * query), torch.as_tensor(2 * key)
    recall = studied(cp)  # it answers as before
    means = source_effects(recall).parts[recall.selection].mean(0)[READS]
    assert POSITIONS[int(means.argmax())] == "relation_words" and means.max() > 100
    found = choose_readout_heads(recall)
    assert (found.candidates, found.heads) == ((), ())
    assert found.reason is not None and found.reason.startswith("There is no readout at the name: no head supports")
    assert choose_readout_heads(narrow).heads == (READS,)


def test_answers_that_the_head_does_not_write_are_refused_by_the_control_that_is_left(narrow: Recall) -> None:
    cls = np.random.default_rng(0).permutation(narrow.prompts.cls)
    found = choose_readout_heads(replace(narrow, prompts=replace(narrow.prompts, cls=cls), readouts={}))
    assert (found.candidates, found.heads) == ((READS,), ())
    assert found.reason is not None and "in the whole residual stream" in found.reason
    assert "such heads can see" not in found.reason
    assert "it has 3 dimensions and the readout 2 of them" in found.reason
