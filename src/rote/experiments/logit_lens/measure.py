"""How far the answer is in the logits, layer by layer."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rote.asking import PromptSet
from rote.errors import NotApplicable
from rote.experiments.base import Experiment, Facts
from rote.experiments.cost import Cost, Sizes
from rote.experiments.logit_lens.card import CARD
from rote.experiments.populations import resampled, sampled
from rote.experiments.tabulator import Population, Tabulator
from rote.model import Read, Site
from rote.model.precision import wide


class LogitLens(Experiment):
    """Accuracy and loss of softmax(W_U · norm(x)) for the residual stream x at the prompt's end, after every block.

    At most max_entities of the facts that the model knows, sampled within classes. NotApplicable where it knows none.
    Source: nostalgebraist (2020), interpreting GPT: the logit lens.
    """

    card = CARD

    def cost(self, sizes: Sizes) -> Cost:
        # an unembedding takes about as much as a block, wherever the vocabulary is twelve times as wide as the model
        return Cost(blocks=2 * sizes.sample * sizes.n_layers)

    def measure(self, facts: Facts, out: Tabulator) -> None:
        known = np.flatnonzero(facts.known.known)
        if not len(known):
            raise NotApplicable("the model knows none of the facts")
        every = facts.prompts.merged()  # the lens sees one position, so no answer beyond its class token
        prompts = every.take(known[sampled(every.cls[known], facts.settings, facts.relation)])
        resamples = resampled(prompts, facts.settings, facts.relation)
        out = out.over(Population(bootstrap=resamples, names=prompts.entities))
        asked = PromptSet.of(facts.model, prompts, facts.settings.batch_size)
        sites = {-1: Site("resid_pre", 0), **{n: Site("resid_post", n) for n in range(facts.model.n_layers)}}
        streams = asked.read([Read(site=site, position=asked.end) for site in sites.values()])
        for layer, site in sites.items():
            some = torch.split(streams[site], facts.settings.batch_size)
            answers = torch.cat([_log_probs(facts, x) for x in some])
            _rows(out, asked, answers, site=site.name, layer=layer, position="end")


@torch.no_grad()
def _log_probs(facts: Facts, x: Float[Tensor, "fact d_model"]) -> Float[Tensor, "fact vocab"]:
    """What the model would say if the residual stream were its last."""
    model = facts.model
    final = model.final_norm()(x.to(model.device))
    return wide(model.unembed(final.to(model.dtype))).log_softmax(-1).cpu()


def _rows(
    out: Tabulator, asked: PromptSet, log_probs: Float[Tensor, "fact vocab"], *, site: str, layer: int, position: str
) -> None:
    cls, tokens = asked.cls.cpu(), asked.class_tokens.cpu()
    answer = tokens[cls]
    values = {
        "lens_accuracy": log_probs.argmax(-1) == answer,
        "lens_accuracy_cls": log_probs[:, tokens].argmax(-1) == cls,
        "lens_loss_nats": -log_probs.gather(1, answer[:, None])[:, 0],
    }
    key = {"site": site, "layer": layer, "position": position}
    columns = np.stack([value.double().numpy() for value in values.values()], axis=1)
    out.means(list(values), columns, [dict(key) for _ in values])
