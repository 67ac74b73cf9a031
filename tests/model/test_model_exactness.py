"""rote's view of a model is the model: bit for bit where the same operations run, to rounding elsewhere."""

from __future__ import annotations

import pytest
import torch
from model_zoo import (
    N_LAYERS,
    NAMES,
    PARALLEL,
    WITH_OUT_NORMS,
    build,
    mixed,
    path,
    place,
    shared,
    sites,
    slow_logits,
    slow_patterns,
    slow_read,
    slow_values,
    tokens,
)

from rote.errors import InputError
from rote.model import Edit, FunctionEdit, Model, Read, Site, load_model, self_check
from rote.model.sites import parse_site

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def served(name: str) -> Model:
    return load_model(shared(name), tokenizer=object(), name=name, check=False)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(name: str) -> Model:
    return served(name)


def editable(name: str) -> list[Site]:
    return [s for s in map(parse_site, sites(name)) if s.name not in ("resid_mid", "logits")]


def test_the_self_check_passes(model: Model) -> None:
    assert [check for check in self_check(model) if not check.passed] == []


@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_the_self_check_passes_in_half_width(name: str, dtype: torch.dtype) -> None:
    model = load_model(build(name, dtype=dtype), tokenizer=object(), check=False)
    assert [check for check in self_check(model) if not check.passed] == []


def test_an_identity_edit_at_every_site_leaves_hugging_faces_logits(name: str, model: Model) -> None:
    edits = [FunctionEdit(site=site, function=torch.clone) for site in editable(name)]
    ours = model.run(tokens(), edit=edits).logits
    assert torch.equal(ours, slow_logits(shared(name), tokens()))
    assert torch.equal(model.run(tokens()).logits, ours)


def test_replay_from_every_block_is_bit_identical(name: str, model: Model) -> None:
    ids = tokens()
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[1, 5:] = False
    for attend in (None, mask):
        recording, everything = model.record(ids, attend), [s for s in sites(name) if s != "logits"]
        clean = model.run(ids, attend, read=[*everything, "logits"])
        for start in range(N_LAYERS):
            after = [s for s in everything if s == "final" or (isinstance(s, tuple) and s[1] >= start)]
            again = model.replay(recording, start, read=[*after, "logits"])
            assert torch.equal(again.logits, clean.logits)
            assert all(torch.equal(again[s], clean[s]) for s in after)


@pytest.mark.parametrize(("rows", "length"), [(3, 8), (6, 6), (1, 5)])
def test_replay_of_chosen_rows_equals_runs_of_them(model: Model, rows: int, length: int) -> None:
    ids = tokens(rows, length)
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[-1, -2:] = rows == 1
    chosen = torch.tensor([rows - 1, 0, 0, rows // 2, rows - 1])
    for attend in (None, mask):
        taken = model.record(ids, attend).take(chosen)
        assert taken.n_rows == len(chosen)
        for start in range(N_LAYERS):
            again = model.replay(taken, start).logits
            for row, source in enumerate(chosen.tolist()):
                alone = model.run(ids[[source]], None if attend is None else attend[[source]]).logits[0]
                torch.testing.assert_close(again[row], alone, **CLOSE)


def test_a_recording_reads_single_positions_of_padded_rows(model: Model) -> None:
    ids, at = tokens(), torch.tensor([4, 2, 3])
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[1, 5:] = False
    read = [Site("mlp_in", 1).at(at), Site("resid_post", N_LAYERS - 1).at(at), Site("logits").at(at)]
    recording, expected = model.record(ids, mask, read=read), model.run(ids, mask, read=read)
    assert len(recording.read) == len(read)
    assert all(torch.equal(recording.read[site], expected[site]) for site in expected)
    assert not recording.take(torch.tensor([0])).read


def test_replay_after_the_last_block_is_the_final_norm_and_the_logits(model: Model) -> None:
    recording, clean = model.record(tokens()), model.run(tokens(), read=["final", "logits"])
    again = model.replay(recording, N_LAYERS, read=["final", "logits"])
    assert all(torch.equal(again[site], clean[site]) for site in clean)


def test_replay_of_a_changed_stream_equals_the_edited_run(model: Model) -> None:
    ids, recording = tokens(), model.record(tokens())
    for start in range(N_LAYERS):
        changed = recording.resid_pre[start].roll(1, 0) * 1.5
        edit = Edit(site=Site("resid_pre", start), value=changed)
        expected = model.run(ids, edit=[edit]).logits
        assert torch.equal(model.replay(recording, start, resid=changed).logits, expected)
        assert torch.equal(model.replay(recording, start, edit=[edit]).logits, expected)


def test_replay_refuses_what_lies_before_its_start(model: Model) -> None:
    recording = model.record(tokens())
    for site in (Site("embed"), Site("mlp_out", 0), Site("pattern", 0)):
        with pytest.raises(InputError, match="starts at block 1"):
            model.replay(recording, 1, edit=[FunctionEdit(site=site, function=torch.clone)])
        with pytest.raises(InputError, match="starts at block 1"):
            model.replay(recording, 1, read=[site])
    for start in (-1, N_LAYERS + 1):
        with pytest.raises(InputError, match=f"blocks 0 to {N_LAYERS - 1}"):
            model.replay(recording, start)


def test_every_read_is_what_a_plain_hook_sees(name: str, model: Model) -> None:
    ids, module = tokens(), shared(name)
    acts = model.run(ids, read=sites(name))
    patterns = slow_patterns(module, ids)
    for site, value in acts.items():
        layer = site.layer or 0
        if site.name == "logits":
            expected = slow_logits(module, ids)
        elif site.name == "pattern":
            expected = patterns[layer]
        elif site.name == "v":
            expected = slow_values(name, module, ids, layer)
        elif site.name in ("q", "k", "scores"):
            continue  # the next theorem is about these
        else:
            expected = slow_read(module, ids, *place(name, "mlp_in" if site.name == "resid_mid" else site.name, layer))
        assert torch.equal(value, expected.view_as(value)), site


def test_queries_and_keys_make_the_scores_and_these_the_pattern(name: str, model: Model) -> None:
    ids = tokens()
    for layer in range(N_LAYERS):
        acts = model.run(ids, read=[(s, layer) for s in ("q", "k", "v", "scores", "pattern", "z")])
        q, k, v, scores, pattern, z = acts.values()
        dots = torch.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
        if name == "gpt2":
            dots = dots / (layer + 1)
        if name == "gemma2":
            dots = 2.0 * torch.tanh(dots / 2.0)
        seen = torch.ones(8, 8).tril().bool()
        if name == "gemma2" and layer % 2 == 0:  # the sliding window
            seen &= ~torch.ones(8, 8).tril(-3).bool()
        torch.testing.assert_close(scores[..., seen], dots[..., seen], **CLOSE)
        assert (pattern[..., ~seen] == 0).all() and (pattern[..., seen] > 0).all()
        torch.testing.assert_close(pattern, dots.masked_fill(~seen, float("-inf")).softmax(-1), **CLOSE)
        torch.testing.assert_close(z.flatten(-2), mixed(pattern, v), **CLOSE)


def test_heads_sum_to_the_attention_output(name: str, model: Model) -> None:
    for layer in range(N_LAYERS):
        acts = model.run(tokens(), read=[("z", layer), ("attn_out", layer)])
        z = acts["z", layer]
        total = sum(z[:, :, head] @ model.head(layer, head).w_o for head in range(model.n_heads))
        bias = getattr(shared(name).get_submodule(path(name, "attention_out", layer)), "bias", None)
        torch.testing.assert_close(total if bias is None else total + bias, acts["attn_out", layer], **CLOSE)


def test_parts_sum_to_the_residual(name: str, model: Model) -> None:
    post = "_post" if name in WITH_OUT_NORMS else ""
    parts = [(f"{part}{post}", layer) for layer in range(N_LAYERS) for part in ("attn_out", "mlp_out")]
    streams = [("resid_post", layer) for layer in range(N_LAYERS)]
    acts = model.run(tokens(), read=["embed", *parts, *streams])
    x = acts["embed"]
    for layer in range(N_LAYERS):
        x = x + acts[parts[2 * layer]] + acts[parts[2 * layer + 1]]
        torch.testing.assert_close(x, acts["resid_post", layer], **CLOSE)
    assert (model.attn_contribution, model.mlp_contribution) == (f"attn_out{post}", f"mlp_out{post}")


def test_attention_and_mlp_read_the_same_stream_in_parallel_blocks_only(name: str, model: Model) -> None:
    reads = [("resid_pre", 1), ("attn_in", 1), ("mlp_in", 1), (model.attn_contribution, 1)]
    acts = model.run(tokens(), read=reads)
    pre, attn_in, mlp_in, attn = (acts[read] for read in reads)
    assert model.parallel == (name in PARALLEL)
    assert torch.equal(attn_in, pre)
    torch.testing.assert_close(mlp_in, pre if model.parallel else pre + attn, rtol=0, atol=0)


def test_reads_at_positions_are_gathered_full_reads(name: str, model: Model) -> None:
    position = torch.tensor([5, 0, 7])
    names = [s for s in sites(name) if parse_site(s).name not in ("scores", "pattern")]
    full = model.run(tokens(), read=names)
    some = model.run(tokens(), read=[parse_site(s).at(position) for s in names])
    recorded = model.replay(model.record(tokens()), 0, read=[parse_site(s).at(position) for s in names])
    for site in map(parse_site, names):
        expected = full[site][torch.arange(3), position]
        torch.testing.assert_close(some[site], expected, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(recorded[site], expected, rtol=1e-6, atol=1e-6)


def test_one_site_cannot_be_read_at_two_places_in_one_pass(model: Model) -> None:
    site = Site("resid_post", 1)
    with pytest.raises(InputError, match=r"resid_post\[1\].*more than once"):
        model.run(tokens(), read=[site.at(torch.tensor([1, 1, 1])), site.at(torch.tensor([2, 2, 2]))])
    assert len(model.run(tokens(), read=[site, Read(site=site)])) == 1


LENS_NAMES = {
    "hook_embed": "embed",
    "blocks.1.hook_resid_pre": ("resid_pre", 1),
    "blocks.1.hook_attn_in": ("attn_in", 1),
    "blocks.1.attn.hook_rot_q": ("q", 1),
    "blocks.1.attn.hook_rot_k": ("k", 1),
    "blocks.1.attn.hook_v": ("v", 1),
    "blocks.1.attn.hook_attn_scores": ("scores", 1),
    "blocks.1.attn.hook_pattern": ("pattern", 1),
    "blocks.1.attn.hook_z": ("z", 1),
    "blocks.1.hook_attn_out": ("attn_out", 1),
    "blocks.1.hook_resid_mid": ("resid_mid", 1),
    "blocks.1.hook_mlp_in": ("mlp_in", 1),
    "blocks.1.mlp.hook_pre": ("mlp_pre", 1),
    "blocks.1.mlp.hook_post": ("mlp_post", 1),
    "blocks.1.hook_mlp_out": ("mlp_out", 1),
    "blocks.1.hook_resid_post": ("resid_post", 1),
    "ln_final.hook_normalized": "final",
    "unembed.hook_out": "logits",
}


def test_transformer_lens_names_mean_the_same_places() -> None:
    model = served("llama")
    acts = model.run(tokens(), read=list(LENS_NAMES))
    for lens, ours in LENS_NAMES.items():
        assert torch.equal(acts[lens], acts[ours])
    assert len(acts) == len(LENS_NAMES)


@pytest.mark.parametrize(
    "site", ["blocks.1.hook_nothing", "resid", ("resid_post", 9), ("q", 9), ("pattern", -1), ("embed", 0), "resid_post"]
)
def test_a_place_that_does_not_exist_is_refused_by_name(site: str | tuple[str, int]) -> None:
    with pytest.raises(InputError, match=str(site[0]) if isinstance(site, tuple) else site):
        served("llama").run(tokens(), read=[site])
    with pytest.raises(InputError):
        served("llama").run(tokens(), read=["logits"], edit=[(site, torch.clone)])


def test_a_family_refuses_the_places_it_has_not() -> None:
    with pytest.raises(InputError, match="parallel blocks"):
        served("gpt_neox").run(tokens(), read=[("resid_mid", 0)])
    with pytest.raises(InputError, match="family llama"):
        served("llama").run(tokens(), read=[("attn_out_post", 0)])


def test_an_early_stop_reads_the_same_values_and_no_further(name: str, model: Model) -> None:
    """Not even to the end of the block in which the last read is made."""
    full = model.run(tokens(), read=sites(name))
    entered: list[int] = []
    left: list[int] = []
    handles = []
    for layer in range(N_LAYERS):
        block = shared(name).get_submodule(path(name, "", layer))
        handles.append(block.register_forward_pre_hook(lambda *_, layer=layer: entered.append(layer)))
        handles.append(block.register_forward_hook(lambda *_, layer=layer: left.append(layer)))
    try:
        for site in map(parse_site, sites(name)):
            entered.clear()
            left.clear()
            assert torch.equal(model.run(tokens(), read=[site])[site], full[site])
            n = N_LAYERS if site.name in ("final", "logits") else (site.layer or 0) + 1
            assert entered == list(range(n))
            assert left == list(range(n if site.name in ("final", "logits", "resid_post") else n - 1))
    finally:
        for handle in handles:
            handle.remove()


def test_right_padding_changes_nothing_at_real_positions(name: str, model: Model) -> None:
    lengths, ids = (8, 5, 3), tokens()
    mask = torch.arange(8) < torch.tensor(lengths)[:, None]
    padded = model.run(ids, mask, read=sites(name))
    assert torch.equal(padded.logits[mask], slow_logits(shared(name), ids, mask=mask.long())[mask])
    for row, length in enumerate(lengths):
        alone = model.run(ids[[row], :length], read=sites(name))
        for site, expected in alone.items():
            if site.name == "scores":
                continue  # masked scores are large numbers, of which only the pattern is meant to be seen
            value = padded[site][row]
            value = value[:, :length, :length] if site.name == "pattern" else value[:length]
            torch.testing.assert_close(value, expected[0], **CLOSE)


def test_shapes_are_the_configurations(name: str, model: Model) -> None:
    parameters = sum(p.numel() for p in shared(name).parameters())
    assert (model.n_layers, model.n_heads, model.d_mlp, model.n_parameters) == (3, 4, 20, parameters)
    z = model.run(tokens(), read=[("z", 0)])["z", 0]
    assert z.shape == (3, 8, model.n_heads, model.d_head)
    assert model.run(tokens(), read=["embed"])["embed"].shape == (3, 8, model.d_model)
    assert name.removesuffix("_sequential") in repr(model) and "logits: (3, 8, 61)" in repr(model.run(tokens()))
