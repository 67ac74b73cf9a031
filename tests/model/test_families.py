"""One suite over every served family: rote's view of each is Hugging Face's model, and a wrong description shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from family_zoo import CONFIGS, LENGTH, N_LAYERS, NAMES, build, hugging_face, served, shared, tokens
from test_model_untouched import everything, fingerprint, put_to_work
from torch import Tensor
from transformers import AutoConfig

from rote.errors import InputError, ModelRefused, NotApplicable
from rote.model import Edit, FunctionEdit, Model, Site, load_model, self_check
from rote.model import load as load_module
from rote.model.families import FAMILIES, Family, family_of
from rote.model.sites import SHAPES

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
ONLY_EAGER = ("gemma2", "vaultgemma")  # sdpa has no soft-capped scores
EXPERTS = tuple(name for name in NAMES if served(name).family.experts)
GATELESS = ("gpt", "biogpt", "opt", "phi", "starcoder2", "persimmon", "arcee", "jais2", "apertus", "nemotron")


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(name: str) -> Model:
    return served(name)


def sites(model: Model) -> list[Site]:
    """Every site that this model has."""
    found = []
    for site in SHAPES:
        for layer in [None] if site in ("embed", "final", "logits") else range(N_LAYERS):
            try:
                if site not in ("logits", "q", "k", "v", "scores", "pattern"):
                    model.wiring.point(Site(site, layer))
            except InputError:
                continue
            found.append(Site(site, layer))
    return found


def test_every_description_has_a_model_here() -> None:
    used = {id(family_of(shared(name).config)) for name in NAMES}
    assert used == {id(family) for family in FAMILIES}


def test_an_identity_edit_at_every_site_leaves_hugging_faces_logits(name: str, model: Model) -> None:
    everywhere = sites(model)
    edits = [
        FunctionEdit(site=site, function=torch.clone) for site in everywhere if site.name not in ("resid_mid", "logits")
    ]
    expected = hugging_face(shared(name), tokens())
    assert torch.equal(model.run(tokens(), read=everywhere, edit=edits).logits, expected)
    assert torch.equal(model.run(tokens()).logits, expected)
    kinds = {site.name for site in everywhere}
    assert (
        (kinds == set(SHAPES) - {"resid_mid"} - _absent(model))
        if model.parallel
        else (kinds == set(SHAPES) - _absent(model))
    )


def _absent(model: Model) -> set[str]:
    absent = {"mlp_pre", "mlp_post"} if model.family.experts else set()
    absent |= set() if model.family.attention_out_norm else {"attn_out_post"}
    return absent | (set() if model.family.mlp_out_norm else {"mlp_out_post"})


def test_replay_from_every_block_is_bit_identical(model: Model) -> None:
    read = [s for s in sites(model) if s.layer == N_LAYERS - 1 or s.name in ("final", "logits")]
    clean, recording = model.run(tokens(), read=read), model.record(tokens())
    for start in range(N_LAYERS):
        again = model.replay(recording, start, read=read)
        assert all(torch.equal(again[site], clean[site]) for site in read)


def test_a_function_that_edits_in_place_does_what_one_does_that_returns_a_copy(model: Model) -> None:
    def copied(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[:, :1], 1.5 * x[:, 1:2], x[:, 2:]], 1)

    def in_place(x: torch.Tensor) -> torch.Tensor:
        x[:, 1] *= 1.5
        return x

    recording = model.record(tokens())
    before = [x.clone() for x in (*recording.resid_pre, recording.resid_post)]
    for site in sites(model):
        if site.name in ("resid_mid", "final", "logits") or site.layer == N_LAYERS - 1:
            continue
        read = [*dict.fromkeys([Site("resid_pre", site.layer or 0), site]), Site("logits")]
        expected = model.run(tokens(), read=read, edit=[(site, copied)])
        found = model.run(tokens(), read=read, edit=[(site, in_place)])
        again = model.replay(recording, 0, read=read, edit=[(site, in_place)])
        for s in read:  # how a copy lies in memory moves the last bits
            torch.testing.assert_close(found[s], expected[s], **CLOSE)
            torch.testing.assert_close(again[s], expected[s], **CLOSE)
    assert all(map(torch.equal, (*recording.resid_pre, recording.resid_post), before))


def test_a_recording_reads_in_its_pass_what_a_run_reads(model: Model) -> None:
    everywhere = sites(model)
    clean, plain = model.run(tokens(), read=everywhere), model.record(tokens())
    for read in (everywhere, [site for site in everywhere if site.name not in ("final", "logits")], everywhere[:1]):
        recording = model.record(tokens(), read=read)
        assert set(recording.read) == set(read)
        assert all(torch.equal(recording.read[site], clean[site]) for site in read)
        assert all(map(torch.equal, recording.resid_pre, plain.resid_pre))
        assert torch.equal(recording.resid_post, plain.resid_post)


def test_another_attention_implementation_gives_the_same_logits(name: str) -> None:
    if name in ONLY_EAGER:
        pytest.skip("sdpa has no soft-capped scores")
    module = build(name)
    module.set_attn_implementation("sdpa")
    ours = load_model(module, tokenizer=object(), check=False).run(tokens()).logits
    expected = hugging_face(module, tokens())
    assert float((ours - expected).abs().max() / expected.abs().max()) <= 1e-5


def test_contributions_patterns_and_streams_are_hugging_faces(name: str, model: Model) -> None:
    """Against what transformers gives out itself, so that no path of rote is used twice."""
    names = (model.attn_contribution, model.mlp_contribution, "resid_pre", "resid_post", "pattern")
    acts = model.run(tokens(), read=[(n, layer) for layer in range(N_LAYERS) for n in names])
    with torch.no_grad():
        out = shared(name)(tokens(), use_cache=False, output_hidden_states=True, output_attentions=True)
    for layer in range(N_LAYERS):
        attn, mlp, pre, post, pattern = (acts[n, layer] for n in names)
        assert torch.equal(pre, out.hidden_states[layer]) and torch.equal(pattern, out.attentions[layer])
        torch.testing.assert_close(attn + mlp, post - pre, **CLOSE)
        if layer < N_LAYERS - 1:  # the last of transformers' has passed the final norm
            assert torch.equal(post, out.hidden_states[layer + 1])


def test_a_forbidden_edge_is_cut_and_touches_nothing_before_it(model: Model) -> None:
    rows = torch.arange(3)
    query, key = torch.tensor([6, 3, 4]), torch.tensor([6, 2, 3])
    edit = Edit(site=Site("scores", 1), change="forbid", position=query, key_position=key)
    read = ["logits", ("pattern", 1)]
    cut, clean = model.run(tokens(), read=read, edit=[edit]), model.run(tokens(), read=read)
    assert (cut["pattern", 1][rows, :, query, key] == 0).all()
    assert (clean["pattern", 1][rows, :, query, key] > 0).all()
    for row in range(3):
        before = cut.logits[row, : query[row]], clean.logits[row, : query[row]]
        if model.family.experts:  # an expert's tokens are one product, whose rounding depends on all of them
            torch.testing.assert_close(*before, **CLOSE)
        else:
            assert torch.equal(*before)
        assert not torch.equal(cut.logits[row, query[row]], clean.logits[row, query[row]])


def test_a_prompt_gives_the_same_alone_and_padded_on_either_side(name: str, model: Model) -> None:
    lengths = (LENGTH, 5, 3)
    right, left = tokens(), tokens()
    mask = torch.arange(LENGTH) < torch.tensor(lengths)[:, None]
    for row, length in enumerate(lengths):
        left[row, LENGTH - length :] = tokens()[row, :length]
    on_right, on_left = model.run(right, mask).logits, model.run(left, mask.flip(1)).logits
    for row, length in enumerate(lengths):
        alone = hugging_face(shared(name), tokens()[[row], :length])[0]
        torch.testing.assert_close(on_right[row, :length], alone, **CLOSE)
        torch.testing.assert_close(on_left[row, LENGTH - length :], alone, **CLOSE)


def test_learned_positions_would_be_wrong_if_padding_were_counted() -> None:
    """The control: what transformers itself gives for a prompt padded on the left, without positions."""
    left, mask = tokens()[:1].clone(), torch.arange(LENGTH)[None] >= 3
    left[0, 3:] = tokens()[0, :5]
    alone = hugging_face(shared("gpt2"), tokens()[:1, :5])[0]
    counted = hugging_face(shared("gpt2"), left, attention_mask=mask.long())[0, 3:]
    assert not torch.allclose(counted, alone, atol=1e-2)


def test_weights_as_linear_algebra_are_the_modules(model: Model) -> None:
    read = ["resid_post", "attn_in", "v", "z", "attn_out", "mlp_in", "mlp_out", model.mlp_contribution]
    last = [("resid_post", N_LAYERS - 1), "final", "logits"]
    acts = model.run(tokens(), read=[*[(n, 1) for n in dict.fromkeys(read)], *last])
    stream, norm = acts["attn_in", 1], model.attention_norm(1)
    x = stream if norm is None else norm(stream)
    values = torch.stack([model.head(1, h).values(x) for h in range(model.n_heads)], 2)
    torch.testing.assert_close(values, acts["v", 1], **CLOSE)
    total = sum(acts["z", 1][:, :, h] @ model.head(1, h).w_o for h in range(model.n_heads))
    bias = model.attention_bias(1)
    torch.testing.assert_close(total if bias is None else total + bias, acts["attn_out", 1], **CLOSE)
    torch.testing.assert_close(model.final_norm()(acts[last[0]]), acts["final"], **CLOSE)
    chosen = torch.tensor([7, 11, 30])
    columns, logits = acts["final"] @ model.unembed_columns(chosen), acts.logits[..., chosen]
    if model.cap is not None:
        columns = model.cap * torch.tanh(columns / model.cap)
    torch.testing.assert_close(columns - columns[:, :1], logits - logits[:, :1], **CLOSE)  # but for a bias (Phi)
    if model.family.experts:
        return
    norm, after, mlp = model.mlp_norm(1), model.mlp_out_norm(1), model.mlp(1)
    x = acts["mlp_in", 1] if norm is None else norm(acts["mlp_in", 1])
    out = mlp(x)
    torch.testing.assert_close(out, acts["mlp_out", 1], **CLOSE)
    torch.testing.assert_close(out if after is None else after(out), acts[model.mlp_contribution, 1], **CLOSE)
    assert not out.requires_grad and model.d_mlp == 24
    assert (mlp.w_gate is None) == (model.family.model_type.startswith(GATELESS) and model.family.model_type != "phi3")


def test_a_saved_folder_loads_with_the_check_and_gives_the_same(name: str, tmp_path: Path) -> None:
    shared(name).save_pretrained(tmp_path)
    model = load_model(tmp_path, tokenizer=object())
    expected = hugging_face(shared(name), tokens())
    assert float((model.run(tokens()).logits - expected).abs().max() / expected.abs().max()) <= 1e-5
    assert model.family is family_of(model.module.config) and model.family.model_type == CONFIGS[name][0]


def test_the_check_passes_in_bfloat16(name: str) -> None:
    model = load_model(build(name, dtype=torch.bfloat16), tokenizer=object(), check=False)
    assert [check for check in self_check(model) if not check.passed] == []


def test_nothing_of_the_module_changes(name: str) -> None:
    module = put_to_work(build(name), eager=name in ONLY_EAGER)
    before = fingerprint(module)
    model = load_model(module, tokenizer=object())
    everything(model)
    assert fingerprint(module) == before


@pytest.mark.parametrize("name", EXPERTS)
def test_of_a_mixture_of_experts_all_but_its_neurons_are_served(name: str) -> None:
    model = served(name)
    (check,) = [c for c in self_check(model) if c.figure is None]
    assert check.verdict == "not applicable" and "router" in check.expected
    with pytest.raises(NotApplicable, match=rf"{model.family.model_type}.*router"):
        model.mlp(0)
    with pytest.raises(NotApplicable):
        _ = model.d_mlp
    with pytest.raises(InputError, match="router"):
        model.run(tokens(), read=[("mlp_post", 0)])
    edit = Edit(site=Site("mlp_out", 1), value=torch.ones(model.d_model))
    assert not torch.allclose(model.run(tokens(), edit=[edit]).logits, model.run(tokens()).logits, atol=1e-3)


NORMS: dict[str, dict[str, Any]] = {
    "swapped norms": {"attention_norm": "post_attention_layernorm", "mlp_norm": "input_layernorm"},
    "a norm before that is not there": {"mlp_norm": "post_attention_layernorm", "mlp_out_norm": None},
    "no norm behind the MLP": {"mlp_out_norm": None},
    "no norm behind attention": {"attention_out_norm": None},
    "no centring": {"norm": "rms"},
    "centring": {"norm": "layer"},
    "an offset": {"norm_offset": 1.0},
    "no offset": {"norm_offset": 0.0},
    "another epsilon": {"norm_eps": 0.5},
}
WRONG: dict[str, dict[str, Any]] = {
    **NORMS,
    "separate projections": {"fused": "separate"},
    "concatenated": {"fused": "concatenated"},
    "interleaved": {"fused": "interleaved"},
    "gate and up exchanged": {"mlp_gate": "mlp.up_proj", "mlp_in": "mlp.gate_proj"},
    "no gate": {"mlp_gate": None},
    "parallel": {"parallel": lambda config: True},
    "sequential": {"parallel": lambda config: False},
    "no residual scale": {"residual_scale": None},
    "no logit scale": {"logits_times": None, "logits_over": None},
    "logits multiplied": {"logits_over": None, "logits_times": "logits_scaling"},
    "no clipping": {"clip": None},
    "no capping": {"logits_cap": None},
    "another output matrix": {"attention_out": "self_attn.q_proj"},
    "as many key heads as heads": {"n_kv_heads": lambda config: N_LAYERS + 1},
    "sandwich": {"attention_out_norm": "post_attention_layernorm", "mlp_out_norm": "post_attention_layernorm"},
}
MISTAKES = (
    ("olmo2", "a norm before that is not there"), ("olmo2", "no norm behind attention"), ("olmo2", "parallel"),
    ("gemma3_text", "no norm behind the MLP"), ("gemma3_text", "no offset"), ("gemma3", "no norm behind attention"),
    ("glm4", "no norm behind attention"), ("glm4", "swapped norms"), ("cohere", "no centring"),
    ("cohere", "sequential"), ("cohere", "no logit scale"), ("cohere2", "no centring"), ("phi", "sequential"),
    ("stablelm_parallel", "sequential"), ("stablelm", "parallel"), ("stablelm", "swapped norms"),
    ("mistral", "swapped norms"), ("mistral", "gate and up exchanged"), ("mistral", "no gate"), ("qwen2", "centring"),
    ("qwen3", "as many key heads as heads"), ("phi3", "separate projections"), ("phi3", "interleaved"),
    ("persimmon", "concatenated"), ("gpt_bigcode", "interleaved"), ("gpt_bigcode_multi_head", "concatenated"),
    ("granite", "no residual scale"), ("granite", "no logit scale"), ("granite", "logits multiplied"),
    ("olmo", "no centring"), ("olmo", "another epsilon"), ("olmo", "no clipping"), ("opt", "parallel"),
    ("nemotron", "no offset"), ("gemma", "no offset"), ("starcoder2", "no centring"), ("vaultgemma", "no capping"),
    ("mixtral", "swapped norms"), ("olmoe", "parallel"), ("llama", "an offset"), ("llama", "sandwich"),
    ("smollm3", "another output matrix"), ("qwen3_moe", "no norm behind the MLP"),
    ("flex_olmo", "no norm behind the MLP"),
)  # fmt: skip
HARMLESS = {("qwen3_moe", "no norm behind the MLP")}  # the control: what is right already stays accepted


@pytest.mark.parametrize(("name", "mistake"), MISTAKES, ids=[f"{n}: {m}" for n, m in MISTAKES])
def test_a_wrong_description_is_refused(name: str, mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = served(name).family
    wrong: Family = replace(right, **WRONG[mistake])
    assert load_model(shared(name), tokenizer=object()).family is right
    monkeypatch.setattr(load_module, "family_of", lambda config: wrong)
    if (name, mistake) in HARMLESS:
        assert load_model(shared(name), tokenizer=object()).family is wrong
        return
    with pytest.raises(ModelRefused, match="failed the self-check"):
        load_model(shared(name), tokenizer=object())


ODD_OPT = {"do_layer_norm_before": ("normalise the sum", False), "word_embed_proj_dim": ("another width", 16)}


@pytest.mark.parametrize("field", ODD_OPT)
def test_a_model_of_a_served_family_that_cannot_be_served_says_why(field: str) -> None:
    reason, value = ODD_OPT[field]
    with pytest.raises(ModelRefused, match=f"'opt'.*{reason}"):
        family_of(AutoConfig.for_model("opt", **{**CONFIGS["opt"][1], field: value}))


def by_hand(module: Any, ids: Tensor, *places: tuple[str, str, Any]) -> Tensor:
    """Logits under plain hooks (module path, side, function)."""
    handles = []
    for path, side, function in places:
        target = module.get_submodule(path)
        if side == "out":
            handles.append(target.register_forward_hook(lambda _, __, y, f=function: _first(y, f)))
        else:
            handles.append(
                target.register_forward_pre_hook(lambda _, a, k, f=function: _into(a, k, f), with_kwargs=True)
            )
    try:
        return hugging_face(module, ids)
    finally:
        for handle in handles:
            handle.remove()


def _first(output: Any, function: Any) -> Any:
    return (function(output[0]), *output[1:]) if isinstance(output, tuple) else function(output)


def _into(args: Any, kwargs: Any, function: Any) -> Any:
    if args:
        return (function(args[0]), *args[1:]), kwargs
    return args, {**kwargs, "hidden_states": function(kwargs["hidden_states"])}


def _shift(seed: int, width: int = 32) -> Tensor:
    return torch.randn(width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["phi", "cohere", "cohere2", "stablelm_parallel"])
@pytest.mark.parametrize(("site", "part"), [("attn_in", "self_attn"), ("mlp_in", "mlp")])
def test_where_attention_and_mlp_share_a_norm_their_inputs_are_edited_apart(name: str, site: str, part: str) -> None:
    """The changed stream passes the norm a second time, for the one of them alone."""
    model, module, shift = served(name), shared(name), _shift(3)
    block = "model.layers.1"
    norm, streams = module.get_submodule(f"{block}.input_layernorm"), []
    keep = (f"{block}.input_layernorm", "in", lambda x: streams.append(x) or x)
    into = (f"{block}.{part}", "in", lambda _: norm.forward(streams[-1] + shift))
    expected = by_hand(module, tokens(), keep, into)
    edited = model.run(tokens(), edit=[Edit(site=Site(site, 1), change="add", value=shift)])
    assert torch.equal(edited.logits, expected)
    both = model.run(tokens(), edit=[Edit(site=Site(n, 1), change="add", value=shift) for n in ("attn_in", "mlp_in")])
    assert torch.equal(both.logits, by_hand(module, tokens(), (f"{block}.input_layernorm", "in", lambda x: x + shift)))


@pytest.mark.parametrize("name", ["phi3", "glm", "glm4"])
def test_a_neuron_of_a_fused_gate_is_the_gates(name: str) -> None:
    model, module = served(name), shared(name)

    def change(x: Tensor) -> Tensor:
        x = x.clone()
        x[..., 5] = 0.7  # of 24 gates followed by 24 up-projections
        return x

    expected = by_hand(module, tokens(), ("model.layers.1.mlp.gate_up_proj", "out", change))
    edit = Edit(site=Site("mlp_pre", 1), value=torch.tensor(0.7), neuron=5)
    assert torch.equal(model.run(tokens(), edit=[edit]).logits, expected)


@pytest.mark.parametrize(("site", "path"), [("attn_out", "self_attn.o_proj"), ("mlp_out", "mlp")])
def test_what_granite_adds_is_scaled(site: str, path: str) -> None:
    model, module, value = served("granite"), shared("granite"), _shift(4)
    where, scale = f"model.layers.1.{path}", module.config.residual_multiplier
    put = Edit(site=Site(site, 1), value=value, position=torch.tensor([6, 3, 4]))

    def change(x: Tensor) -> Tensor:
        x = x.clone()
        x[torch.arange(3), torch.tensor([6, 3, 4])] = value / scale
        return x

    read = model.run(tokens(), read=[(site, 1), "logits"], edit=[put])
    torch.testing.assert_close(read.logits, by_hand(module, tokens(), (where, "out", change)), **CLOSE)
    torch.testing.assert_close(read[site, 1][0, 6], value)


@pytest.mark.parametrize(
    ("site", "path", "side", "width"),
    [("mlp_in", "final_layer_norm", "in", 32), ("mlp_pre", "fc1", "out", 24), ("mlp_post", "fc2", "in", 24),
     ("mlp_out", "fc2", "out", 32)],
)  # fmt: skip
def test_rows_and_positions_are_told_apart_where_the_block_flattens_them(
    site: str, path: str, side: str, width: int
) -> None:
    model, module, value = served("opt"), shared("opt"), _shift(5, width)
    position = torch.tensor([6, 3, 4])

    def change(x: Tensor) -> Tensor:
        assert x.dim() == 2
        x = x.clone()
        x[torch.arange(3) * LENGTH + position] = value
        return x

    expected = by_hand(module, tokens(), (f"model.decoder.layers.1.{path}", side, change))
    edit = Edit(site=Site(site, 1), value=value, position=position)
    assert torch.equal(model.run(tokens(), edit=[edit]).logits, expected)
    assert model.run(tokens(), read=[Site(site, 1).at(position)])[site, 1].shape == (3, width)
