"""How many random facts an organism holds: training one on facts that nothing but memory can tell, and counting.

A fact is `<bos> first last` → answer, the pair of names and the answer drawn at random, so no rule shortens them. Every
fact is read exactly as often as every other.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor, nn

from rote.errors import MeasurementError, SettingsError
from rote.organisms.layouts import Layout, Shape, build_model
from rote.statistics import rng

BOS, PAD = 0, 1
SPECIALS = 2
BETAS = (0.9, 0.98)
CLIP_NORM = 1.0


@dataclass(frozen=True, kw_only=True)
class OrganismSize:
    """One organism of the grid: its width, how many facts it reads, and how often it reads each."""

    d_model: int
    n_facts: int
    exposures: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class CapacityGrid:
    """Widths × numbers of facts × exposures × seeds, and what all organisms share.

    `n_names`: first names, and as many last names; `n_classes`: answers, equally likely; `d_mlp` is 4 · d_model. An
    epoch has `batches` steps, so that the number of steps depends on the exposures alone. `learning_rate` is that of a
    width of 16 and falls with the square root of the width. Raises SettingsError with every problem.
    """

    widths: tuple[int, ...] = (8, 12, 16, 20, 24)
    n_facts: tuple[int, ...] = (1024, 2048, 4096, 8192)
    exposures: tuple[int, ...] = (25, 100)
    n_seeds: int = 3
    layout: Layout = "gpt_neox"
    n_layers: int = 2
    n_heads: int = 2
    n_names: int = 96
    n_classes: int = 32
    batches: int = 8
    learning_rate: float = 1e-2
    seed: int = 0

    def __post_init__(self) -> None:
        if problems := self._problems():
            raise SettingsError(problems)

    @classmethod
    def quick(cls, **changes: Any) -> CapacityGrid:
        """A small grid, in under a minute."""
        return cls(**{"widths": (8, 12, 16, 20), "n_facts": (1024, 4096), "n_seeds": 1, **changes})

    @property
    def members(self) -> tuple[OrganismSize, ...]:
        """Every organism: the smallest first, seeds innermost."""
        return tuple(
            OrganismSize(d_model=d_model, n_facts=n_facts, exposures=exposures, seed=self.seed + seed)
            for d_model in self.widths
            for n_facts in self.n_facts
            for exposures in self.exposures
            for seed in range(self.n_seeds)
        )

    def shape(self, d_model: int) -> Shape:
        return Shape(
            layout=self.layout, d_model=d_model, n_layers=self.n_layers, n_heads=self.n_heads, d_mlp=4 * d_model
        )

    @property
    def vocab_size(self) -> int:
        return SPECIALS + 2 * self.n_names + self.n_classes

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def _problems(self) -> list[str]:
        found = []
        for field in fields(self):
            value = getattr(self, field.name)
            values = value if isinstance(value, tuple) else (value,)
            if field.name not in ("layout", "seed") and (not values or not all(v > 0 for v in values)):
                found.append(f"{field.name} is {value}; expected one or more positive numbers")
        found += [p for d_model in self.widths if d_model > 0 for p in self.shape(d_model).problems()]
        if found:
            return found
        if max(self.n_facts) > self.n_names**2:
            found.append(f"n_facts is {max(self.n_facts):,}; {self.n_names}² pairs of names are fewer")
        if min(self.n_facts) < self.batches:
            found.append(f"n_facts is {min(self.n_facts)}; each of the {self.batches} batches needs a fact")
        if self.n_classes < 2:
            found.append(f"n_classes is {self.n_classes}; with one answer there is nothing to know")
        return found


@dataclass(frozen=True, kw_only=True)
class Held:
    """What an organism holds after training.

    `n_known`: facts whose answer has p > 0.5 over the whole vocabulary. `bits`: Σ over facts of log₂(classes) +
    log₂ p(answer among the classes): what its predictions save of the facts' description, so a lower bound of what it
    stores.
    """

    n_parameters: int
    n_block_parameters: int
    n_known: int
    bits: float
    loss_nats: float


def random_facts(grid: CapacityGrid, size: OrganismSize) -> tuple[Int[Tensor, "fact 3"], Int[Tensor, " fact"]]:
    """(`<bos> first last`, the answer's token) of every fact; pairs differ, answers are uniform."""
    generator = rng(size.seed, "organism_capacity", f"facts/{size.n_facts}")
    pairs = generator.choice(grid.n_names**2, size.n_facts, replace=False)
    first, last = np.divmod(pairs, grid.n_names)
    cls = generator.integers(0, grid.n_classes, size.n_facts)
    tokens = np.stack([np.full(size.n_facts, BOS), SPECIALS + first, SPECIALS + grid.n_names + last], axis=1)
    return torch.as_tensor(tokens), torch.as_tensor(SPECIALS + 2 * grid.n_names + cls)


def train_on_facts(grid: CapacityGrid, size: OrganismSize) -> Held:
    """Train one organism and count what it holds. MeasurementError when the loss stops being finite, SettingsError for
    a shape that cannot be built.

    The same grid and size give the same weights up to the arithmetic of the machine; torch's global generator is left
    as it was.
    """
    tokens, answers = random_facts(grid, size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(size.seed)
        model = build_model(grid.shape(size.d_model), vocab_size=grid.vocab_size, bos=BOS, pad=PAD)
    _fit(model, tokens, answers, grid, size)
    return _held(model.eval(), tokens, answers, grid)


def _fit(model: Any, tokens: Tensor, answers: Tensor, grid: CapacityGrid, size: OrganismSize) -> None:
    steps = grid.batches * size.exposures
    rate = grid.learning_rate * math.sqrt(16 / size.d_model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=BETAS, weight_decay=0.0, foreach=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    order = rng(size.seed, "organism_capacity", f"order/{size.n_facts}/{size.exposures}")
    model.train()
    for _ in range(size.exposures):
        permuted = torch.as_tensor(order.permutation(len(tokens)))
        for batch in torch.tensor_split(permuted, grid.batches):
            loss = F.cross_entropy(_logits(model, tokens[batch]), answers[batch])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimizer.step()
            schedule.step()
    if not math.isfinite(float(loss.detach())):
        raise MeasurementError(f"the loss of {size} is not finite at the end; lower the learning rate")


def _rate(step: int, steps: int) -> float:
    """Linear warm-up over a twentieth, then linear decay to zero."""
    warmup = max(1, steps // 20)
    return min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))


def _logits(model: Any, tokens: Int[Tensor, "row 3"]) -> Tensor:
    logits: Tensor = model(tokens, use_cache=False, logits_to_keep=1).logits[:, -1]
    return logits


@torch.no_grad()
def _held(model: Any, tokens: Tensor, answers: Tensor, grid: CapacityGrid) -> Held:
    logits = torch.cat([_logits(model, part) for part in torch.split(tokens, 4096)]).double()
    p = torch.softmax(logits, -1).gather(1, answers[:, None])[:, 0]
    first = SPECIALS + 2 * grid.n_names
    log_p_cls = torch.log_softmax(logits[:, first:], -1).gather(1, answers[:, None] - first)[:, 0]
    bits = len(tokens) * math.log2(grid.n_classes) + float(log_p_cls.sum()) / math.log(2)
    embeddings = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    return Held(
        n_parameters=sum(q.numel() for q in model.parameters()),
        n_block_parameters=sum(q.numel() for q in model.parameters() if id(q) not in embeddings),
        n_known=int((p > 0.5).sum()),
        bits=bits,
        loss_nats=-float(p.log().mean()),
    )
