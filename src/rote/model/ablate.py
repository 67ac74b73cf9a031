"""Many interventions in one batch: each adds a vector to the residual stream after one block, at one position.

Nothing of the block itself runs again, of the later blocks only the positions from there on, and of the logits only
those that are read.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import softplus

from rote.errors import InputError, NotApplicable
from rote.model.activations import Activations
from rote.model.hooks import gather
from rote.model.memory import RowsAtOnce
from rote.model.model import Model
from rote.model.precision import wide
from rote.model.recording import Recording
from rote.model.sites import Read, Site, SiteLike, parse_read
from rote.model.weights import NormWeights, raw


def replay_after(
    model: Model,
    recording: Recording,
    layer: int,
    shift: Float[Tensor, "row d_model"],
    *,
    position: Int[Tensor, " row"],
    rows: Int[Tensor, " row"] | None = None,
    read: Sequence[Read | SiteLike] = ("logits",),
) -> Activations:
    """Run on with `shift` added to the residual stream after block `layer`, at one position of each row.

    Only the blocks after it run, from the first of the positions on; reads at earlier positions are refused. `rows`
    are the recording's rows, repeated or not, to which shifts, positions and reads belong. Layers count from 0. Raises
    InputError for a site that has gone by, NonFinite as `Model.run` does.
    """
    first, here = int(position.min()), Site("resid_post", layer)
    x = recording.resid(layer + 1, rows, first)
    x = x.clone() if rows is None else x  # chosen rows are a copy already
    index = torch.arange(len(x), device=x.device), (position - first).to(x.device)
    x[index] = (wide(x[index]) + shift.to(x.device)).to(x.dtype)
    reads = [parse_read(r) for r in read]
    # the block itself does not run again, so what leaves it is read off here
    later = [r for r in reads if r.site != here]
    values = {r.site: gather(here, x, r.counted_from(first).position) for r in reads if r.site == here}
    if later:
        values |= model.replay(recording, layer + 1, first=first, rows=rows, resid=x, read=later)
    return Activations(values)


def path_shift(
    model: Model, layer: int, reads: Float[Tensor, "row d_model"], change: Float[Tensor, "row d_model"]
) -> Float[Tensor, "row d_model"]:
    """What block `layer` writes more when its MLP alone reads `reads + change` in place of `reads` (site `mlp_in`).

    With `replay_after` this is the ablation of a path from an earlier node to this MLP: `change` is what the node
    writes when ablated minus what it writes.

        shift = path_shift(model, 5, reads=mlp_in, change=mean - mlp_out)
        replay_after(model, recording, 5, shift, position=at)
    """
    # both by the same products, not less what was recorded: its rounding is another, and no change has to give no shift
    return wide(model.mlp_added(layer, reads + change)) - wide(model.mlp_added(layer, reads))


def ablate_neurons(
    model: Model,
    recording: Recording,
    *,
    layer: int,
    neurons: Int[Tensor, " neuron"],
    value: Float[Tensor, "neuron row"] | float,
    position: Int[Tensor, " row"],
    end: Int[Tensor, " row"],
    answer: Int[Tensor, " row"],
    rows_at_once: RowsAtOnce | int = 256,
) -> Float[Tensor, "neuron row"]:
    """log p(answer at `end`), in nats, with one neuron at a time set to `value` at `position`, for every prompt.

    The recording's rows are the prompts: `Model.record(tokens, mask)`. An edit changes the residual stream after block
    `layer` by (value − activation)·w_out at one position (through the norm that follows the MLP where there is one),
    so only later blocks at later positions run again; up to `rows_at_once` pairs of neuron and prompt run in one pass.
    Raises InputError for a layer that is not there, NotApplicable without single neurons (mixtures of experts),
    MeasurementError for what is not finite or where one row does not fit into memory.

        recording = model.record(tokens, mask)
        at = torch.full((9,), 14)
        log_p = rote.model.ablate_neurons(
            model, recording, layer=3, neurons=torch.arange(500), value=0.0, position=at, end=last, answer=answers
        )
    """
    size = rows_at_once if isinstance(rows_at_once, RowsAtOnce) else RowsAtOnce(rows_at_once, "ablated neurons")
    neurons, changes = neurons.to(model.device), _Changes(model, recording, layer, position)
    values = torch.as_tensor(value, device=model.device).expand(len(neurons), recording.n_rows)
    found = torch.empty(values.shape, dtype=torch.promote_types(model.dtype, torch.float32), device=model.device)
    for at in torch.unique(position):  # prompts with one position share the positions that need not run
        of_position = torch.nonzero(position == at)[:, 0].to(model.device)
        n = len(of_position)

        def run(places: slice, of_position: Tensor = of_position, n: int = n) -> tuple[Tensor, Tensor, Tensor]:
            place = torch.arange(places.start, places.stop, device=model.device)
            which, rows = place // n, of_position[place % n]
            shift = changes.shift(neurons[which], values[which, rows], rows)
            cpu = rows.to(position.device)
            logits = Read(site=Site("logits"), position=end[cpu])
            acts = replay_after(model, recording, layer, shift, position=position[cpu], rows=rows, read=[logits])
            return which, rows, answer_log_prob(acts.logits, answer.to(rows.device)[rows])

        for which, rows, log_p in size.over(len(neurons) * n, run):
            found[which, rows] = log_p
    return found


def answer_log_prob(logits: Float[Tensor, "row vocab"], answer: Int[Tensor, " row"]) -> Float[Tensor, " row"]:
    """log p(answer) in nats as −log(1 + Σ_others exp(logit − the answer's)), accurate also where p is close to 1."""
    logits = wide(logits)
    rows = torch.arange(len(logits), device=logits.device)
    right = logits[rows, answer.to(logits.device)]
    others = (logits - right[:, None]).index_put_((rows, answer.to(logits.device)), logits.new_tensor(-torch.inf))
    return -softplus(others.logsumexp(-1))


class _Changes:
    """What one replaced neuron adds to the residual stream after its block, for each prompt of a recording."""

    def __init__(self, model: Model, recording: Recording, layer: int, position: Tensor) -> None:
        if not 0 <= layer < model.n_layers:
            raise InputError(f"no layer {layer}; this model has layers 0 to {model.n_layers - 1}")
        first, out = int(position.min()), Site("mlp_out", layer)
        reads = [Site("mlp_post", layer).at(position), out.at(position)]
        acts = model.replay(recording, layer, first=first, read=reads)
        self.post, self.out = wide(acts["mlp_post", layer]), wide(acts[out])
        self.norm: NormWeights | None = model.mlp_out_norm(layer)
        self.w_out, self.scale = output_rows(model, layer).to(self.post.device), model.residual_scale

    def shift(self, neuron: Tensor, value: Tensor, rows: Tensor) -> Float[Tensor, "row d_model"]:
        change = (value - self.post[rows, neuron])[:, None] * wide(self.w_out[neuron]) * self.scale
        if self.norm is None:
            return change
        # a norm is not linear: its change depends on what the MLP's other neurons have put out
        return self.norm(self.out[rows] + change) - self.norm(self.out[rows])


def output_rows(model: Model, layer: int) -> Float[Tensor, "neuron d_model"]:
    """A view of an MLP's output matrix, one row per neuron, in the model's own dtype and where the weights are kept.

    NotApplicable where the block has no single neurons.
    """
    # not by `Model.mlp`, which widens whole matrices, where a few rows are wanted
    try:
        module = model.wiring.part(layer, model.family.mlp_out)
    except AttributeError as error:
        raise NotApplicable(f"this block has no dense MLP with single neurons ({error})") from error
    weight = None if module is None else raw(module, "weight")
    if weight is None:
        raise NotApplicable(f"this block has no dense MLP with single neurons ({type(module).__name__})")
    return weight if type(module).__name__ == "Conv1D" else weight.T
