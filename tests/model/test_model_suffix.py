"""What runs only the positions after an edit, or many edits at once, equals one full forward pass for each."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from model_zoo import N_LAYERS, NAMES, noise, place, shared, sites, slow_run, tokens

from rote.errors import InputError, MeasurementError
from rote.model import Edit, FunctionEdit, Model, Site, ablate_neurons, load_model, replay_after
from rote.model.ablate import answer_log_prob
from rote.model.memory import RowsAtOnce, free_bytes, heard_halvings
from rote.model.sites import ATTENTION_SQUARES, PER_HEAD, parse_site

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
ROWS, LENGTH, FIRST = 4, 9, 5
POSITION = torch.tensor([5, 6, 5, 7])
END = torch.tensor([8, 6, 7, 8])


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(name: str) -> Model:
    return load_model(shared(name), tokenizer=object(), name=name, check=False)


def masks() -> dict[str, torch.Tensor | None]:
    right, left = torch.ones(2, ROWS, LENGTH, dtype=torch.bool)
    right[1, 7:] = False
    left[2, :3], left[0, :1] = False, False
    return {"none": None, "right-padded": right, "left-padded": left}


def layered(name: str) -> list[Site]:
    return [s for s in map(parse_site, sites(name)) if s.layer is not None]


def edit_at(model: Model, site: Site, change: str = "replace") -> Edit:
    """A random change of a site at one position of each row."""
    clean = model.run(tokens(ROWS, LENGTH), read=[site])[site]
    shape = clean[:, 0].shape
    return Edit(site=site, change=change, value=noise(*shape), position=POSITION)  # type: ignore[arg-type]


def from_first(site: Site, x: torch.Tensor, first: int = FIRST) -> torch.Tensor:
    """The part of a site's activation that the positions from `first` on own."""
    return x[:, :, first:] if site.name in ATTENTION_SQUARES else x[:, first:]


@pytest.mark.parametrize("padding", ["none", "right-padded", "left-padded"])
def test_positions_after_an_edit_are_those_of_the_whole_run(name: str, model: Model, padding: str) -> None:
    ids, mask = tokens(ROWS, LENGTH), masks()[padding]
    recording = model.record(ids, mask)
    places = [s for s in layered(name) if s.name not in (*ATTENTION_SQUARES, "resid_mid")]
    for site in places:
        assert site.layer is not None
        edit = edit_at(model, site, "add" if site.name in PER_HEAD else "replace")
        reads = [s for s in layered(name) if s.layer is not None and s.layer >= site.layer]
        whole = model.run(ids, mask, read=[*reads, "final", "logits"], edit=[edit])
        suffix = model.replay(recording, site.layer, first=FIRST, read=[*reads, "final", "logits"], edit=[edit])
        for read in whole:
            torch.testing.assert_close(suffix[read], from_first(read, whole[read]), **CLOSE)
        clean = model.run(ids, mask).logits
        assert not torch.allclose(clean[:, FIRST:], suffix.logits, atol=1e-3), site  # the edit does something


def test_a_forbidden_edge_to_an_earlier_key_is_forbidden(model: Model) -> None:
    ids, recording = tokens(ROWS, LENGTH), model.record(tokens(ROWS, LENGTH))
    for layer in range(N_LAYERS):
        key = POSITION - torch.tensor([1, 2, 0, 2])
        edit = Edit(site=Site("scores", layer), change="forbid", position=POSITION, key_position=key)
        reads = [Site("pattern", layer), Site("logits")]
        whole, suffix = (
            model.run(ids, read=reads, edit=[edit]),
            model.replay(recording, layer, first=FIRST, read=reads, edit=[edit]),
        )
        rows = torch.arange(ROWS)
        assert (suffix["pattern", layer][rows, :, POSITION - FIRST, key] == 0).all()
        torch.testing.assert_close(suffix.logits, whole.logits[:, FIRST:], **CLOSE)


def test_reads_at_a_position_count_from_the_prompts_start(name: str, model: Model) -> None:
    ids, recording = tokens(ROWS, LENGTH), model.record(tokens(ROWS, LENGTH))
    reads = [s.at(POSITION) for s in layered(name)] + [Site("final").at(POSITION), Site("logits").at(POSITION)]
    whole, suffix = model.run(ids, read=reads), model.replay(recording, 0, first=FIRST, read=reads)
    for site, value in whole.items():
        torch.testing.assert_close(suffix[site], value, **CLOSE)


def test_chosen_rows_run_from_a_position_on(model: Model) -> None:
    ids, mask = tokens(ROWS, LENGTH), masks()["left-padded"]
    assert mask is not None
    recording, rows = model.record(ids, mask), torch.tensor([2, 2, 0, 3, 1])
    for start in range(N_LAYERS + 1):
        found = model.replay(recording, start, first=FIRST, rows=rows).logits
        torch.testing.assert_close(found, model.run(ids[rows], mask[rows]).logits[:, FIRST:], **CLOSE)


def test_the_prefix_matters(model: Model) -> None:
    recording = model.record(tokens(ROWS, LENGTH))
    wrong = replace(recording, keys_values=tuple((k.roll(1, 0), v.roll(1, 0)) for k, v in recording.keys_values))
    right = model.replay(recording, 0, first=FIRST).logits
    assert (model.replay(wrong, 0, first=FIRST).logits - right).abs().max() > 1e-3


def test_what_lies_before_the_first_position_is_refused(model: Model) -> None:
    recording, early = model.record(tokens(ROWS, LENGTH)), torch.tensor([5, 4, 5, 7])
    with pytest.raises(InputError, match="at position 4"):
        model.replay(recording, 1, first=FIRST, read=[Site("resid_post", 1).at(early)])
    with pytest.raises(InputError, match="at position 4"):
        model.replay(recording, 1, first=FIRST, edit=[replace(edit_at(model, Site("mlp_in", 1)), position=early)])
    with pytest.raises(InputError, match="names no position"):
        model.replay(recording, 1, first=FIRST, edit=[Edit(site=Site("mlp_out", 1), value=noise(24))])
    with pytest.raises(InputError, match="function of every position"):
        model.replay(recording, 1, first=FIRST, edit=[FunctionEdit(site=Site("mlp_out", 1), function=torch.clone)])
    for first in (-1, LENGTH):
        with pytest.raises(InputError, match=f"0 to {LENGTH - 1}"):
            model.replay(recording, 1, first=first)


def test_a_shift_after_a_block_equals_the_edited_run(model: Model) -> None:
    ids, mask = tokens(ROWS, LENGTH), masks()["right-padded"]
    recording, shift = model.record(ids, mask), noise(ROWS, model.d_model)
    for layer in range(N_LAYERS):
        edit = Edit(site=Site("resid_post", layer), change="add", value=shift, position=POSITION)
        expected = model.run(ids, mask, edit=[edit]).logits[torch.arange(ROWS), END]
        reads = [Site("logits").at(END)]
        found = replay_after(model, recording, layer, shift, position=POSITION, read=reads)
        torch.testing.assert_close(found.logits, expected, **CLOSE)
        again = replay_after(model, recording, layer, shift, position=POSITION, read=reads)
        assert torch.equal(again.logits, found.logits)  # the recording is as it was


@pytest.mark.parametrize("padding", ["none", "right-padded", "left-padded"])
@pytest.mark.parametrize("size", [256, 3])
def test_many_neurons_at_once_equal_one_forward_pass_for_each(name: str, model: Model, padding: str, size: int) -> None:
    ids, mask, module = tokens(ROWS, LENGTH), masks()[padding], shared(name)
    recording, answer = model.record(ids, mask), torch.tensor([3, 9, 0, 60])
    # GPT-2 itself would count the padding on the left
    stand = {"position_ids": (mask.long().cumsum(-1) - 1).clamp_min(0)} if padding == "left-padded" else {}
    neurons, value = torch.tensor([0, 7, 19]), noise(3, ROWS)
    for layer in range(N_LAYERS):
        found = ablate_neurons(
            model,
            recording,
            layer=layer,
            neurons=neurons,
            value=value,
            position=POSITION,
            end=END,
            answer=answer,
            rows_at_once=size,
        )
        where, side = place(name, "mlp_post", layer)
        for n, neuron in enumerate(neurons.tolist()):

            def put(x: torch.Tensor, n: int = n, neuron: int = neuron) -> torch.Tensor:
                x = x.clone()
                x[torch.arange(ROWS), POSITION, neuron] = value[n]
                return x

            logits = slow_run(module, ids, [(where, side, put)], mask, **stand).logits[torch.arange(ROWS), END]
            expected = torch.log_softmax(logits, -1)[torch.arange(ROWS), answer]
            torch.testing.assert_close(found[n], expected, **CLOSE)


def test_zero_ablation_takes_one_number(model: Model) -> None:
    recording = model.record(tokens(ROWS, LENGTH))
    common = {"layer": 1, "neurons": torch.arange(20), "position": POSITION, "end": END, "answer": torch.arange(ROWS)}
    one = ablate_neurons(model, recording, value=0.0, **common)
    assert torch.equal(one, ablate_neurons(model, recording, value=torch.zeros(20, ROWS), **common))
    with pytest.raises(InputError, match="layers 0 to 2"):
        ablate_neurons(model, recording, value=0.0, **{**common, "layer": 3})


def test_answers_close_to_certain_keep_their_figures() -> None:
    logits = torch.tensor([[40.0, 20.0, 19.0], [1.0, 2.0, -3.0]])
    for answer in (0, 1):
        target = torch.full((2,), answer)
        expected = torch.log_softmax(logits.double(), -1)[:, answer]
        torch.testing.assert_close(answer_log_prob(logits, target).double(), expected, rtol=1e-5, atol=0)
    assert torch.equal(logits, torch.tensor([[40.0, 20.0, 19.0], [1.0, 2.0, -3.0]]))


# ------------------------------------------------------------------ memory
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        MemoryError(),
    ],
)
def test_rows_at_once_halve_until_they_fit(error: BaseException) -> None:
    size, done = RowsAtOnce(16, "a test"), []

    def work(rows: slice) -> list[int]:
        if rows.stop - rows.start > 5:
            raise error
        return list(range(rows.start, rows.stop))

    with heard_halvings() as halvings:
        for part in size.over(23, work):
            done += part
    assert done == list(range(23))
    assert [(h.rows, h.halved_to) for h in halvings] == [(16, 8), (8, 4)]
    assert size.size == 4  # and stays so
    assert "a test" in str(halvings[0])


def test_batches_begin_no_larger_than_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr("rote.model.memory.free_bytes", lambda device: 2000)
    with heard_halvings() as halvings:
        assert RowsAtOnce.fitting(64, 100.0, cpu, "a test").size == 8  # half of 2,000 bytes holds 10 rows
        assert RowsAtOnce.fitting(64, 10.0, cpu, "a test").size == 64
        assert RowsAtOnce.fitting(64, 1e9, cpu, "a test").size == 1
    assert [(h.rows, h.halved_to) for h in halvings] == [(64, 8), (64, 1)]
    monkeypatch.undo()
    free = free_bytes(cpu)
    assert free is None or 2**20 < free < 2**46


def test_one_row_that_does_not_fit_is_said_and_other_errors_pass() -> None:
    def never(rows: slice) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    def wrong(rows: slice) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(MeasurementError, match="not even one row of a test"):
        list(RowsAtOnce(4, "a test").over(9, never))
    with pytest.raises(RuntimeError, match="shapes"):
        list(RowsAtOnce(4).over(9, wrong))


def test_ablations_that_run_out_of_memory_are_finished_in_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(shared("gpt_neox"), tokenizer=object(), check=False)
    recording = model.record(tokens(ROWS, LENGTH))
    common = {"layer": 1, "neurons": torch.arange(20), "position": POSITION, "end": END, "answer": torch.arange(ROWS)}
    whole, plain = ablate_neurons(model, recording, value=0.0, **common), Model.replay

    def small(
        self: Model, recording: object, start: int, *, rows: torch.Tensor | None = None, **kwargs: object
    ) -> object:
        if rows is not None and len(rows) > 7:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(self, recording, start, rows=rows, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "replay", small)
    with heard_halvings() as halvings:
        found = ablate_neurons(model, recording, value=0.0, **common)
    torch.testing.assert_close(found, whole, **CLOSE)
    assert halvings
