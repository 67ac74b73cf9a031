"""`Model`: one loaded causal language model, run forward with reads and edits, or replayed from a block on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rote.errors import InputError
from rote.model import attention, weights
from rote.model.activations import Activations
from rote.model.edits import EditLike, parse_edit
from rote.model.families import Family
from rote.model.hooks import Session, Stop, Wiring, check_finite, gather
from rote.model.placing import placed
from rote.model.precision import Float32Products, slow_bfloat16, wide
from rote.model.recording import Recorder, Recording, output_of
from rote.model.sites import Read, Site, SiteLike, parse_read
from rote.model.weights import HeadWeights, MLPWeights, NormWeights


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A Hugging Face causal language model as it is: no weight is copied, folded or rewritten.

    Shapes are read from the configuration. `parallel` tells whether attention and MLP of a block read the
    same residual stream (GPT-NeoX, GPT-J) or one after the other. `float32_products`: see `with_fast_products`.
    """

    module: nn.Module
    tokenizer: Any
    family: Family
    name: str
    revision: str | None = None
    float32_products: bool = False
    without_bos: bool = False  # that prompts begin with no bos was asked for
    spec: Any = None  # the ModelSpec that loads it again, None for a module that was given

    # ------------------------------------------------------------------ shapes
    @property
    def config(self) -> Any:
        """The configuration of the language model; of its text tower where the module holds others too."""
        config: Any = self.module.config
        return config.get_text_config()

    @property
    def n_layers(self) -> int:
        return len(self.wiring.blocks)

    @property
    def d_model(self) -> int:
        return int(self.config.hidden_size)

    @property
    def n_heads(self) -> int:
        return int(self.config.num_attention_heads)

    @property
    def n_kv_heads(self) -> int:
        if self.family.n_kv_heads is not None:
            return self.family.n_kv_heads(self.config)
        return int(getattr(self.config, "num_key_value_heads", None) or self.n_heads)

    @property
    def d_head(self) -> int:
        return int(getattr(self.config, "head_dim", None) or self.d_model // self.n_heads)

    @property
    def d_mlp(self) -> int:
        """Neurons of one MLP; NotApplicable for mixtures of experts."""
        return int(self.mlp(0).w_out.shape[0])

    @property
    def parallel(self) -> bool:
        return self.family.parallel(self.config)

    @property
    def device(self) -> torch.device:
        """Where tokens enter, and where all that is read and all weights come back, also from other devices."""
        embedding = self.module.get_input_embeddings()  # type: ignore[operator]
        executed = getattr(getattr(embedding, "_hf_hook", None), "execution_device", None)  # of an offloaded module
        return next(embedding.parameters()).device if executed is None else torch.device(executed)

    @property
    def dtype(self) -> torch.dtype:
        return next(self.module.parameters()).dtype

    @property
    def n_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.module.parameters())

    def with_fast_products(self) -> Model:
        """The model as a study runs it: bfloat16 products in float32 on a CPU that has no instructions for them.

        The module is the same one; its logits then differ from Hugging Face's in the order of sums.
        """
        return replace(self, float32_products=True) if slow_bfloat16(self.device, self.dtype) else self

    @property
    def wiring(self) -> Wiring:
        return Wiring(
            module=self.module,
            family=self.family,
            n_heads=self.n_heads,
            parallel=self.parallel,
            residual_scale=self.residual_scale,
            device=self.device,
        )

    @property
    def residual_scale(self) -> float:
        """The factor with which attention and MLP are added to the residual stream; `attn_out` and `mlp_out` have it.

        So do the weights that write there (`head(...).w_o`, `mlp(...).w_out` and its bias).
        """
        return float(self._option(self.family.residual_scale, 1.0))

    def _option(self, name: str | None, default: Any) -> Any:
        """A configuration field that the family names; the default where it names none."""
        return default if name is None else getattr(self.config, name, default)

    # ----------------------------------------------------------------- forward
    def run(
        self,
        tokens: Int[Tensor, "row pos"],
        mask: Bool[Tensor, "row pos"] | None = None,
        *,
        positions: Int[Tensor, "row pos"] | None = None,
        read: Sequence[Read | SiteLike] = ("logits",),
        edit: Sequence[EditLike] = (),
    ) -> Activations:
        """One forward pass with edits, reading the named sites; it stops once the last of them is read.

        `positions` say where tokens stand (0, 1, … by default), never who attends to whom; NotApplicable
        where the family takes none. Raises InputError for sites that this model has not and edits that do not fit,
        NonFinite where NaN or infinity is read.
        """
        session = self._session(read, edit)
        logits = _logits_read(session)
        stop = None if logits else self._last_block(session)
        with torch.no_grad(), self._serving(), session.hooked(), self._stopping_after(stop):
            try:
                final = self._final(tokens, mask, positions)
            except Stop:
                return Activations(session.read_values)
            if logits:
                self._read_logits(session, final, logits)
        return Activations(session.read_values)

    def record(
        self,
        tokens: Int[Tensor, "row pos"],
        mask: Bool[Tensor, "row pos"] | None = None,
        *,
        positions: Int[Tensor, "row pos"] | None = None,
        read: Sequence[Read | SiteLike] = (),
    ) -> Recording:
        """A clean forward pass, kept so that blocks can be run again from any of them; `positions` as in `run`.

        What is read in the same pass stands in the recording's `read`. It ends after the last block, unless the final
        norm's output or logits are read. Raises what `run` does.
        """
        session = replace(self._session(read, ()), stops=False)
        logits = _logits_read(session)
        ends = not any(r.site.name in ("final", "logits") for r in session.reads)
        recorder = Recorder()
        with torch.no_grad(), self._serving(), session.hooked(), suppress(Stop):
            with recorder.watching(self.wiring.blocks, ends=ends):  # behind the hooks that read
                final = self._final(tokens, mask, positions)
            self._read_logits(session, final, logits)
        return recorder.recording(Activations(session.read_values))

    def replay(
        self,
        recording: Recording,
        start: int,
        *,
        first: int = 0,
        rows: Int[Tensor, " row"] | None = None,
        resid: Float[Tensor, "row suffix d_model"] | None = None,
        read: Sequence[Read | SiteLike] = ("logits",),
        edit: Sequence[EditLike] = (),
        keep_graph: bool = False,
    ) -> Activations:
        """Run blocks `start`.. again, from the recorded residual stream or from `resid`, with edits.

        `first`: only positions from there on run; attention takes the keys and values of the earlier ones from the
        recording. Positions of reads and edits still count from the prompt's start, every edit has to name its own,
        and a read without one holds the positions from `first` on. `rows`: the recording's rows to run, repeated or
        not, in the order of `resid`, reads and edits. `start` may be the number of blocks: then only the final norm
        runs. `keep_graph`: keep what autograd needs, for slopes with respect to `resid` or an edit's value. Raises
        what `run` does; InputError also for a read or an edit before `start` or `first`.
        """
        session = self._session(read, edit, first)
        _check_start(session, start, self.n_layers)
        if not 0 <= first < recording.n_positions:
            raise InputError(f"replay cannot start at position {first}; it has 0 to {recording.n_positions - 1}")
        logits = _logits_read(session)
        last = None if logits else self._last_block(session)
        x = recording.resid(start, rows, first) if resid is None else resid
        with torch.set_grad_enabled(keep_graph), self._serving(), session.hooked(), suppress(Stop):
            for layer in range(start, self.n_layers if last is None else last + 1):
                x = self._block(layer, x, recording, rows, first)
            if last is None:
                final = self.wiring.final_norm(x)
                if logits:
                    self._read_logits(session, final, logits)
        return Activations(session.read_values)

    def _block(self, layer: int, x: Tensor, recording: Recording, rows: Tensor | None, first: int) -> Tensor:
        args, kwargs = recording.call(layer, rows, first)
        before = attention.prefixed({layer: recording.prefix(layer, rows, first)}) if first else nullcontext()
        with before:
            return output_of(self.wiring.blocks[layer](x, *args, **kwargs))

    def _session(self, read: Sequence[Read | SiteLike], edit: Sequence[EditLike], first: int = 0) -> Session:
        reads, edits = [parse_read(r) for r in read], [parse_edit(e) for e in edit]
        if any(e.site.name == "logits" for e in edits):
            raise InputError("logits can be read but not edited; edit `final` or change the logits you were given")
        places: dict[Site, Tensor | None] = {}
        for r in reads:
            if places.setdefault(r.site, r.position) is not r.position:
                raise InputError(f"{r.site} is read more than once in one pass, at different positions; read all of it")
        if first:
            reads, edits = [r.counted_from(first) for r in reads], [e.counted_from(first) for e in edits]
        stops = not hasattr(self.module, "hf_device_map")  # accelerate takes a block's weights away at its end
        return Session(wiring=self.wiring, reads=reads, edits=edits, stops=stops)

    def _last_block(self, session: Session) -> int | None:
        """The block after which nothing is read any more; None when the final norm has to run."""
        layers = [read.site.layer for read in session.reads]
        names = {read.site.name for read in session.reads}
        if not layers or "final" in names or "logits" in names:
            return None
        return max(0 if layer is None else layer for layer in layers)

    @contextmanager
    def _stopping_after(self, layer: int | None) -> Iterator[None]:
        if layer is None:
            yield
            return

        def stop(module: nn.Module, args: Any, output: Any) -> None:
            raise Stop

        handle = self.wiring.blocks[layer].register_forward_hook(stop)
        try:
            yield
        finally:
            handle.remove()

    def _final(self, tokens: Tensor, mask: Tensor | None, positions: Tensor | None) -> Tensor:
        """The final residual stream, after the final norm, by Hugging Face's own forward pass."""
        base = self.module.base_model
        ids = tokens.to(self.device)
        given = placed(base, ids, mask, positions)  # type: ignore[arg-type]
        return base(input_ids=ids, use_cache=False, **given).last_hidden_state  # type: ignore

    def _read_logits(self, session: Session, final: Tensor, reads: Iterable[Read]) -> None:
        for read in reads:
            x = gather(read.site, final, read.position)
            session.read_values[read.site] = self.unembed(x).to(self.device)
            check_finite(read.site, session.read_values[read.site])

    @contextmanager
    def _serving(self) -> Iterator[None]:
        """rote's attention function and evaluation mode, for as long as a pass takes; then as it was."""
        config, training = self.config, [m for m in self.module.modules() if m.training]
        before = config._attn_implementation
        config._attn_implementation = attention.NAME
        if training:
            self.module.eval()
        try:
            with Float32Products() if self.float32_products else nullcontext():
                yield
        finally:
            config._attn_implementation = before
            for module in training:
                module.training = True

    # ----------------------------------------------------------------- weights
    def unembed(self, final: Float[Tensor, "... d_model"]) -> Float[Tensor, "... vocab"]:
        """Logits of a residual stream behind the final norm, scaled and soft-capped where the family does."""
        logits: Tensor = self.module.get_output_embeddings()(final)  # type: ignore[operator]
        if self.family.logits_times is not None:
            logits = logits * self._option(self.family.logits_times, 1.0)
        if self.family.logits_over is not None:
            logits = logits / self._option(self.family.logits_over, 1.0)
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap

    @property
    def cap(self) -> float | None:
        """The bound of soft-capped logits, cap·tanh(logit/cap); None where they are not capped."""
        cap: float | None = self._option(self.family.logits_cap, None)
        return cap

    def unembed_columns(self, tokens: Int[Tensor, " cls"]) -> Float[Tensor, "d_model cls"]:
        """The unembedding's columns of some tokens, scaled as logits are (before any soft-capping)."""
        weight = weights.raw(self.module.get_output_embeddings(), "weight")  # type: ignore[operator]
        assert weight is not None
        columns = wide(weight[tokens.to(weight.device)].to(self.device).T)
        times, over = self._option(self.family.logits_times, 1.0), self._option(self.family.logits_over, 1.0)
        return columns if times == over else columns * (times / over)

    def attention_norm(self, layer: int) -> NormWeights | None:
        return self._norm(self.wiring.part(layer, self.family.attention_norm))

    def attention_out_norm(self, layer: int) -> NormWeights | None:
        return self._norm(self.wiring.part(layer, self.family.attention_out_norm))

    def mlp_norm(self, layer: int) -> NormWeights | None:
        return self._norm(self.wiring.part(layer, self.family.mlp_norm))

    def mlp_out_norm(self, layer: int) -> NormWeights | None:
        return self._norm(self.wiring.part(layer, self.family.mlp_out_norm))

    def final_norm(self) -> NormWeights:
        norm = self._norm(self.wiring.final_norm)
        assert norm is not None
        return norm

    def _norm(self, module: nn.Module | None) -> NormWeights | None:
        return None if module is None else weights.norm_weights(module, self.family, self.d_model, self.device)

    def mlp(self, layer: int) -> MLPWeights:
        """The MLP as linear algebra; NotApplicable where it has no single neurons (mixtures of experts)."""
        return weights.mlp_weights(self._source(layer))

    def head(self, layer: int, head: int) -> HeadWeights:
        """The OV circuit of one query head; layers and heads count from 0."""
        clip = self._option(self.family.clip, None)
        return weights.head_weights(self._source(layer), head, self.n_heads, self.n_kv_heads, self.d_head, clip)

    def attention_bias(self, layer: int) -> Float[Tensor, " d_model"] | None:
        """What attention adds beside its heads: the output projection's bias."""
        return self._source(layer).scaled(self.family.attention_out, rows=slice(0, 1))[1]

    def _source(self, layer: int) -> weights.WeightSource:
        block = self.wiring.blocks[layer]
        return weights.WeightSource(block=block, family=self.family, device=self.device, scale=self.residual_scale)

    @torch.no_grad()
    def mlp_added(self, layer: int, reads: Float[Tensor, "row d_model"]) -> Float[Tensor, "row d_model"]:
        """What a block's MLP adds to the residual stream for what it reads (site `mlp_in`), by its own modules."""
        family, block = self.family, self.wiring.blocks[layer]
        inside = (family.mlp,) if family.mlp != family.mlp_out else (family.mlp_in, family.activation, family.mlp_out)
        # in OPT and BioGPT there is no module around the two matrices; a dimension for positions is what modules expect
        x = reads.to(self.device, self.dtype)[:, None]
        for path in (family.mlp_norm, *inside, family.mlp_out_norm):
            x = x if path is None else output_of(attrgetter(path)(block)(x))
            x = x * self.residual_scale if path == inside[-1] else x
        return x[:, 0].to(self.device)

    @property
    def attn_contribution(self) -> str:
        """The site at which attention's output is added to the residual stream."""
        return "attn_out_post" if self.family.attention_out_norm else "attn_out"

    @property
    def mlp_contribution(self) -> str:
        return "mlp_out_post" if self.family.mlp_out_norm else "mlp_out"

    def __repr__(self) -> str:
        blocks = "parallel" if self.parallel else "sequential"
        return (
            f"Model({self.name!r}, {self.family.model_type}, {self.n_layers} {blocks} blocks, "
            f"d_model {self.d_model}, {self.n_heads} heads, {str(self.dtype).removeprefix('torch.')})"
        )


def _logits_read(session: Session) -> list[Read]:
    return [read for read in session.reads if read.site.name == "logits"]


def _check_start(session: Session, start: int, n_layers: int) -> None:
    if not 0 <= start <= n_layers:
        raise InputError(
            f"replay cannot start at block {start}; this model has blocks 0 to {n_layers - 1} "
            f"(and {n_layers}, after the last)"
        )
    sites = [site for site in session.sites if site.name not in ("final", "logits")]
    early = [str(site) for site in sites if (site.layer or 0) < start]
    if early:
        raise InputError(f"replay starts at block {start}; it cannot read or edit {', '.join(early)}")
