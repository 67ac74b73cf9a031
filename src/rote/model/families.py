"""Where each family of models keeps its parts: one frozen description per family, one tuple that lists them.

To serve another family, add a `Family`; the self-check at load proves or refutes the description.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from rote.errors import ModelRefused


def _never(config: Any) -> bool:
    return False


def _always(config: Any) -> bool:
    return True


def _no_reason(config: Any) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Family:
    """Module paths of one architecture; paths below `blocks` are relative to a block.

    Where attention and MLP read the same norm (`attention_norm` = `mlp_norm`), rote still tells their inputs apart.
    `fused` says how the query–key–value projection is laid out: separate matrices, concatenated (GPT-2), or
    interleaved per head (GPT-NeoX); `fused_gate` that `mlp_in` holds gate and up in one matrix, the gate first.
    `experts` is why there are no single neurons: then `mlp_in` and `mlp_out` are None and the MLP is one whole.
    `activation` is the attribute path of the non-linearity below a block. `flat_mlp`: the block drops the row
    dimension on its way through the MLP (OPT). `norm` and `norm_eps` are for norms whose class does not tell;
    `norm_offset` is added to norm weights (Gemma stores weight − 1). The values of these configuration fields act on
    what is computed: `residual_scale` multiplies what attention and MLP add, `clip` bounds the values,
    `logits_times` multiplies and `logits_over` divides the logits, `logits_cap` bounds them by a tanh.
    `parallel(config)` tells whether attention and MLP read the same residual stream, `n_kv_heads(config)` the number
    of key–value heads where the configuration has no field for it. `when(config)` picks among several descriptions
    of one model_type; `refused(config)` is the reason why a model of this family cannot be served.
    """

    model_type: str
    blocks: str
    final_norm: str
    attention: str
    attention_norm: str | None
    value: str
    attention_out: str
    mlp: str
    mlp_norm: str | None
    mlp_in: str | None
    mlp_out: str | None
    fused: Literal["separate", "concatenated", "interleaved"] = "separate"
    mlp_gate: str | None = None
    fused_gate: bool = False
    flat_mlp: bool = False
    experts: str | None = None
    activation: str = "mlp.act_fn"
    attention_out_norm: str | None = None
    mlp_out_norm: str | None = None
    norm: Literal["by class", "layer", "rms"] = "by class"
    norm_eps: float | None = None
    norm_offset: float = 0.0
    rotary: bool = True
    residual_scale: str | None = None
    clip: str | None = None
    logits_times: str | None = None
    logits_over: str | None = None
    logits_cap: str | None = "final_logit_softcapping"
    parallel: Callable[[Any], bool] = _never
    n_kv_heads: Callable[[Any], int] | None = None
    when: Callable[[Any], bool] = _always
    refused: Callable[[Any], str | None] = _no_reason

    @property
    def gated(self) -> bool:
        return self.fused_gate or self.mlp_gate is not None

    @property
    def shared_norm(self) -> bool:
        """Whether attention and MLP read the output of one norm."""
        return self.attention_norm is not None and self.attention_norm == self.mlp_norm


_LLAMA_PARTS: dict[str, Any] = {
    "blocks": "model.layers",
    "final_norm": "model.norm",
    "attention": "self_attn",
    "attention_norm": "input_layernorm",
    "value": "self_attn.v_proj",
    "attention_out": "self_attn.o_proj",
    "mlp": "mlp",
    "mlp_norm": "post_attention_layernorm",
    "mlp_gate": "mlp.gate_proj",
    "mlp_in": "mlp.up_proj",
    "mlp_out": "mlp.down_proj",
}
_UNGATED: dict[str, Any] = {"mlp_gate": None}
_FUSED_GATE: dict[str, Any] = {
    "mlp_gate": None,
    "mlp_in": "mlp.gate_up_proj",
    "fused_gate": True,
    "activation": "mlp.activation_fn",
}
_SANDWICH: dict[str, Any] = {  # a norm before and one after attention and MLP (Gemma 2 and 3)
    "mlp_norm": "pre_feedforward_layernorm",
    "attention_out_norm": "post_attention_layernorm",
    "mlp_out_norm": "post_feedforward_layernorm",
}
_NORMS_AFTER: dict[str, Any] = {  # and none before (OLMo 2)
    "attention_norm": None,
    "mlp_norm": None,
    "attention_out_norm": "post_attention_layernorm",
    "mlp_out_norm": "post_feedforward_layernorm",
}
_EXPERTS: dict[str, Any] = {
    "mlp_gate": None,
    "mlp_in": None,
    "mlp_out": None,
    "experts": "its MLPs are mixtures of experts: which neurons act on a token is the router's choice",
}
_ONE_NORM: dict[str, Any] = {"mlp_norm": "input_layernorm", "parallel": _always}
_COHERE: dict[str, Any] = {**_ONE_NORM, "norm": "layer", "logits_times": "logit_scale"}
_GRANITE: dict[str, Any] = {"residual_scale": "residual_multiplier", "logits_over": "logits_scaling"}


def _like_llama(model_type: str, *changes: dict[str, Any], **more: Any) -> Family:
    parts = dict(_LLAMA_PARTS)
    for change in (*changes, more):
        parts |= change
    return Family(model_type=model_type, **parts)


GPT_NEOX = Family(
    model_type="gpt_neox",
    blocks="gpt_neox.layers",
    final_norm="gpt_neox.final_layer_norm",
    attention="attention",
    attention_norm="input_layernorm",
    value="attention.query_key_value",
    fused="interleaved",
    attention_out="attention.dense",
    mlp="mlp",
    mlp_norm="post_attention_layernorm",
    mlp_in="mlp.dense_h_to_4h",
    mlp_out="mlp.dense_4h_to_h",
    activation="mlp.act",
    parallel=lambda config: bool(config.use_parallel_residual),
)
_GPT2_PARTS: dict[str, Any] = {
    "blocks": "transformer.h",
    "final_norm": "transformer.ln_f",
    "attention": "attn",
    "attention_norm": "ln_1",
    "value": "attn.c_attn",
    "attention_out": "attn.c_proj",
    "mlp": "mlp",
    "mlp_norm": "ln_2",
    "mlp_in": "mlp.c_fc",
    "mlp_out": "mlp.c_proj",
    "activation": "mlp.act",
    "rotary": False,
}
GPT2 = Family(model_type="gpt2", fused="concatenated", **_GPT2_PARTS)
GPT_BIGCODE = Family(
    model_type="gpt_bigcode",
    fused="concatenated",
    n_kv_heads=lambda config: 1,
    when=lambda config: bool(config.multi_query),
    **_GPT2_PARTS,
)
GPT_BIGCODE_MULTI_HEAD = Family(
    model_type="gpt_bigcode", fused="interleaved", when=lambda config: not config.multi_query, **_GPT2_PARTS
)
LLAMA = _like_llama("llama")
QWEN3 = _like_llama("qwen3")
GEMMA = _like_llama("gemma", norm_offset=1.0)
GEMMA2 = _like_llama("gemma2", _SANDWICH, norm_offset=1.0)
GEMMA3_TEXT = _like_llama("gemma3_text", _SANDWICH, norm_offset=1.0)
GEMMA3 = _like_llama(  # the text tower; transformers leaves the logits of this class uncapped
    "gemma3",
    _SANDWICH,
    norm_offset=1.0,
    blocks="model.language_model.layers",
    final_norm="model.language_model.norm",
    logits_cap=None,
)
OLMO = _like_llama("olmo", norm="layer", norm_eps=1e-5, clip="clip_qkv")
OLMO2 = _like_llama("olmo2", _NORMS_AFTER)
PHI = _like_llama(
    "phi",
    _UNGATED,
    _ONE_NORM,
    final_norm="model.final_layernorm",
    attention_out="self_attn.dense",
    mlp_in="mlp.fc1",
    mlp_out="mlp.fc2",
    activation="mlp.activation_fn",
)
PHI3 = _like_llama("phi3", _FUSED_GATE, value="self_attn.qkv_proj", fused="concatenated")
STABLELM = _like_llama("stablelm", when=lambda config: not config.use_parallel_residual)
STABLELM_PARALLEL = _like_llama("stablelm", _ONE_NORM, when=lambda config: bool(config.use_parallel_residual))
STARCODER2 = _like_llama("starcoder2", _UNGATED, mlp_in="mlp.c_fc", mlp_out="mlp.c_proj", activation="mlp.act")
COHERE = _like_llama("cohere", _COHERE)
GRANITE = _like_llama("granite", _GRANITE)
GLM4 = _like_llama(
    "glm4", _FUSED_GATE, attention_out_norm="post_self_attn_layernorm", mlp_out_norm="post_mlp_layernorm"
)
MIXTRAL = _like_llama("mixtral", _EXPERTS)
OLMOE = _like_llama("olmoe", _EXPERTS, clip="clip_qkv")
_FULLY_CONNECTED: dict[str, Any] = {  # two matrices that belong to the block itself (OPT, BioGPT)
    "attention": "self_attn",
    "attention_norm": "self_attn_layer_norm",
    "value": "self_attn.v_proj",
    "attention_out": "self_attn.out_proj",
    "mlp": "fc2",
    "mlp_norm": "final_layer_norm",
    "mlp_in": "fc1",
    "mlp_out": "fc2",
    "activation": "activation_fn",
    "rotary": False,
}


def _odd_opt(config: Any) -> str | None:
    if not config.do_layer_norm_before:
        return "its blocks normalise the sum (do_layer_norm_before=false), so their parts do not add up to the residual"
    if config.word_embed_proj_dim != config.hidden_size:
        return "its embeddings have another width than its residual stream (project_in and project_out)"
    if getattr(config, "_remove_final_layer_norm", False):
        return "it has no final norm"
    return None


OPT = Family(
    model_type="opt",
    blocks="model.decoder.layers",
    final_norm="model.decoder.final_layer_norm",
    flat_mlp=True,
    refused=_odd_opt,
    **_FULLY_CONNECTED,
)
BIOGPT = Family(model_type="biogpt", blocks="biogpt.layers", final_norm="biogpt.layer_norm", **_FULLY_CONNECTED)
PERSIMMON = _like_llama(
    "persimmon",
    _UNGATED,
    final_norm="model.final_layernorm",
    value="self_attn.query_key_value",
    fused="interleaved",
    attention_out="self_attn.dense",
    mlp_in="mlp.dense_h_to_4h",
    mlp_out="mlp.dense_4h_to_h",
    activation="mlp.act",
)

# Families that a line suffices for, since their parts are named and joined as another family's.
_MORE: tuple[Family, ...] = (
    *map(_like_llama, ("mistral", "ministral", "ministral3", "qwen2", "smollm3", "helium", "hunyuan_v1_dense")),
    *map(_like_llama, ("cwm", "ernie4_5", "seed_oss")),
    *(_like_llama(name, _UNGATED) for name in ("arcee", "jais2")),
    *(_like_llama(name, _NORMS_AFTER) for name in ("olmo3", "exaone4")),
    *(_like_llama(name, _EXPERTS) for name in ("qwen2_moe", "qwen3_moe", "phimoe")),
    _like_llama("flex_olmo", _NORMS_AFTER, _EXPERTS),
    _like_llama("granitemoe", _GRANITE, _EXPERTS, mlp="block_sparse_moe"),
    _like_llama("apertus", _UNGATED, attention_norm="attention_layernorm", mlp_norm="feedforward_layernorm"),
    _like_llama("nemotron", _UNGATED, norm_offset=1.0),
    _like_llama("glm", _FUSED_GATE),
    _like_llama("cohere2", _COHERE),
    _like_llama("vaultgemma", norm_offset=1.0, mlp_norm="pre_feedforward_layernorm"),
)

FAMILIES: tuple[Family, ...] = (
    GPT_NEOX,
    GPT2,
    GPT_BIGCODE,
    GPT_BIGCODE_MULTI_HEAD,
    LLAMA,
    QWEN3,
    GEMMA,
    GEMMA2,
    GEMMA3_TEXT,
    GEMMA3,
    OLMO,
    OLMO2,
    PHI,
    PHI3,
    STABLELM,
    STABLELM_PARALLEL,
    STARCODER2,
    COHERE,
    GRANITE,
    GLM4,
    MIXTRAL,
    OLMOE,
    OPT,
    BIOGPT,
    PERSIMMON,
    *_MORE,
)

_RECURRENT = "its layers are recurrent or convolutional, so there are no attention patterns to read or edit"
_LATENT = "it compresses keys and values into a latent vector, so a head has no value matrix of its own"

# Families that would load, but whose numbers would not be what rote's names say.
REFUSED: dict[str, str] = {
    **dict.fromkeys(
        ("falcon", "bloom", "gptj", "gpt_neo", "codegen", "mpt", "xglm"),
        "its attention modules ignore transformers' AttentionInterface, so patterns could not be read or edited",
    ),
    "gpt_oss": "its attention sinks are a term of the softmax that rote's attention function does not have",
    **dict.fromkeys(("mamba", "mamba2", "falcon_mamba", "rwkv", "jamba", "recurrent_gemma", "lfm2"), _RECURRENT),
    **dict.fromkeys(("qwen3_next", "olmo_hybrid", "bamba", "zamba2", "falcon_h1"), _RECURRENT),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "minicpm3"), _LATENT),
    **dict.fromkeys(
        ("gemma3n", "gemma3n_text", "gemma4", "gemma4_text"),
        "its blocks add inputs of their own for every layer, so attention and MLPs do not add up to the residual",
    ),
    "bitnet": "it has norms inside attention and MLP, before their output matrices",
    "diffllama": "its heads subtract two attention patterns, so a pattern and a value do not make a head's output",
    "nanochat": "its final norm also normalises the embedding, so the two could not be told apart",
}


def family_of(config: Any) -> Family:
    """The description of a configuration's family; ModelRefused, by name and reason, where there is none."""
    model_type = str(getattr(config, "model_type", "unknown"))
    served = ", ".join(sorted({family.model_type for family in FAMILIES}))
    for family in FAMILIES:
        if family.model_type == model_type and family.when(config):
            reason = family.refused(config)
            if reason is not None:
                raise ModelRefused(f"this model of family {model_type!r} is not served: {reason}; served are {served}")
            return family
    reason = REFUSED.get(model_type, "rote has no description of its modules yet")
    raise ModelRefused(f"models of family {model_type!r} are not served: {reason}; served are {served}")
