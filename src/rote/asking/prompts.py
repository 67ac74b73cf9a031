"""Prompts on the torch side: run them with edits, score the answers, keep recordings for replay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rote.asking.recordings import Kept
from rote.facts import RelationPrompts
from rote.model import Activations, Edit, Model, Read, Recording, Site, Slope, replay_after, slopes
from rote.model.hooks import NonFinite
from rote.model.memory import RowsAtOnce
from rote.model.precision import wide
from rote.model.sites import ATTENTION_SQUARES

T = TypeVar("T")
RowObjective = Callable[[Float[Tensor, "row cls"], Int[Tensor, " row"]], Float[Tensor, " row"]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """How prompts were answered: log-probability (nats) and rank (from 1) in the whole vocabulary; class logits."""

    answer_log_prob: Float[Tensor, " fact"]
    answer_rank: Int[Tensor, " fact"]
    class_logits: Float[Tensor, "fact cls"]
    top_token: Int[Tensor, " fact"]
    answer: Int[Tensor, " fact"]
    cls: Int[Tensor, " fact"]

    @property
    def correct(self) -> Bool[Tensor, " fact"]:
        """Whether the argmax over the whole vocabulary is the answer."""
        return self.top_token == self.answer

    @property
    def correct_cls(self) -> Bool[Tensor, " fact"]:
        """Whether the argmax over the relation's classes is the answer's class."""
        return self.class_logits.argmax(-1) == self.cls


@dataclass(frozen=True, kw_only=True, eq=False)
class Forward:
    """One edited forward pass over all prompts: scores, and what was read, over facts."""

    scores: Scores
    values: dict[Site, Tensor]
    log_probs: Float[Tensor, "fact vocab"] | None = None  # nats


@dataclass(frozen=True, kw_only=True, eq=False)
class PromptSet:
    """Right-padded prompts of one model with their positions and answers.

    `end` is where the answer is predicted; in name-only prompts it is the name's last token.
    """

    model: Model
    tokens: Int[Tensor, "fact pos"]
    mask: Bool[Tensor, "fact pos"]
    subject_first: Int[Tensor, " fact"]
    subject_last: Int[Tensor, " fact"]
    end: Int[Tensor, " fact"]
    class_tokens: Int[Tensor, " cls"]
    cls: Int[Tensor, " fact"]
    batch_size: int
    kept: Kept = field(default_factory=Kept, repr=False)
    rows_at_once: RowsAtOnce = field(init=False, repr=False)

    def __post_init__(self) -> None:
        fitting = RowsAtOnce.fitting(self.batch_size, self._bytes_per_row, self.model.device, "prompts")
        object.__setattr__(self, "rows_at_once", fitting)

    @property
    def _bytes_per_row(self) -> float:
        """Of one prompt in a pass, about: its recording, one block's activations, and its logits three times."""
        model, n_positions = self.model, self.tokens.shape[1]
        per_position = self._recorded_per_position + (16 * model.d_model + 3 * model.n_heads * n_positions) * 4
        return float(n_positions * per_position + 3 * int(model.config.vocab_size) * 4)

    @property
    def _recorded_per_position(self) -> int:
        model = self.model
        return (model.d_model + 2 * model.n_kv_heads * model.d_head) * model.n_layers * model.dtype.itemsize

    @classmethod
    def of(cls, model: Model, prompts: RelationPrompts, batch_size: int, kept: Kept | None = None) -> PromptSet:
        """`kept` holds the clean passes, within a budget that other prompts may share."""
        return cls(
            kept=Kept() if kept is None else kept,
            model=model,
            tokens=tensor(prompts.tokens),
            mask=tensor(prompts.mask),
            subject_first=tensor(prompts.subject_first),
            subject_last=tensor(prompts.subject_last),
            end=tensor(prompts.end),
            class_tokens=tensor(prompts.class_tokens),
            cls=tensor(prompts.cls),
            batch_size=batch_size,
        )

    def __len__(self) -> int:
        return int(self.tokens.shape[0])

    def over(self, work: Callable[[Tensor], T]) -> Iterator[T]:
        """`work` on the rows of one batch after the other, the shortest first, so that little of a batch is padding.

        Prompts of one length stay in their order. Batches are halved where memory runs out; MeasurementError where a
        single row does not fit.
        """
        return self.rows_at_once.over(len(self), lambda rows: work(self._by_length[rows]))

    @cached_property
    def _by_length(self) -> Int[Tensor, " fact"]:
        return torch.argsort(self.mask.sum(1), stable=True)

    @cached_property
    def _back(self) -> Int[Tensor, " fact"] | None:
        """Where each fact stands in the order of `over`; None where that is the order of the facts."""
        back = torch.argsort(self._by_length)
        return None if torch.equal(back, self._by_length) and bool((back.diff() > 0).all()) else back

    def _width(self, rows: Int[Tensor, " row"]) -> int:
        """Positions of a batch: those of its longest prompt."""
        return int(self.mask[rows].sum(1).max())

    def _joined(self, parts: Sequence[Tensor]) -> Tensor:
        """Values of all batches, in the order of the facts."""
        joined = torch.cat(list(parts))
        return joined if self._back is None else joined[self._back.to(joined.device)]

    def _of_all(self, read: Sequence[Read], parts: Sequence[dict[Site, Tensor]]) -> dict[Site, Tensor]:
        """What was read of all batches, with zeros at the positions that none of a batch's prompts has."""
        width = self.tokens.shape[1]
        return {r.site: self._joined([_widened(r, part[r.site], width) for part in parts]) for r in read}

    @cached_property
    def _keeps_recordings(self) -> bool:
        return self.kept.fits(self.tokens.numel() * self._recorded_per_position)

    def recording(self, rows: Int[Tensor, " row"]) -> Recording:
        """The clean forward pass of one batch, kept where those of all batches fit the budget."""
        # batches are ranges of the order by length; after a halving the shorter ones have keys of their own
        key = int(rows[0]), len(rows)
        found = self.kept.get(self, key)
        if found is not None:
            return found
        width = self._width(rows)
        recording = self.model.record(self.tokens[rows, :width], self.mask[rows, :width])
        if self._keeps_recordings:
            self.kept.put(self, key, recording, len(rows) * width * self._recorded_per_position)
        return recording

    def forward(
        self,
        edits: Sequence[Edit] = (),
        read: Sequence[Read] = (),
        *,
        keep_log_probs: bool = False,
    ) -> Forward:
        """Run every prompt with edits whose rows are the facts; only what an edit can change runs again.

        That is the blocks from the lowest edited one on, and the positions from the first edited one on. InputError for
        a site that the model has not, NonFinite with the prompt that it stands in, MeasurementError where one prompt
        does not fit into memory.
        """
        return self._forward(lambda rows, reads: self._run(rows, reads, edits), read, keep_log_probs)

    def forward_after(
        self,
        layer: int,
        shift: Float[Tensor, "fact d_model"],
        position: Int[Tensor, " fact"],
        read: Sequence[Read] = (),
        *,
        keep_log_probs: bool = False,
    ) -> Forward:
        """The same with `shift` added to the residual stream after a block (from 0), of which nothing runs again."""

        def run(rows: Tensor, reads: Sequence[Read]) -> Activations:
            there, where = shift[rows.to(shift.device)], position[rows]
            return replay_after(self.model, self.recording(rows), layer, there, position=where, read=reads)

        return self._forward(run, read, keep_log_probs)

    def slopes(
        self, sites: Sequence[Site], objective: RowObjective, position: Int[Tensor, " fact"]
    ) -> dict[Site, Slope]:
        """∂ objective / ∂ site at a position, for every fact; `objective(class logits at end, facts)` per fact.

        InputError for sites outside the blocks and for resid_mid, as `rote.model.slopes` says.
        """

        def of(rows: Tensor) -> dict[Site, Slope]:
            def of_logits(logits: Tensor) -> Tensor:
                return objective(wide(logits)[:, self.class_tokens.to(logits.device)], rows)

            recording = self.recording(rows)
            return slopes(self.model, recording, sites, of_logits, position=position[rows], end=self.end[rows])

        parts = list(self.over(of))
        return {
            site: Slope(
                value=self._joined([p[site].value for p in parts]), slope=self._joined([p[site].slope for p in parts])
            )
            for site in sites
        }

    def _forward(
        self, run: Callable[[Tensor, Sequence[Read]], Activations], read: Sequence[Read], keep_log_probs: bool
    ) -> Forward:
        logits = Site("logits")

        def scored(rows: Tensor) -> tuple[dict[Site, Tensor], Tensor | None, tuple[Tensor, ...]]:
            acts = run(rows, [*_take(read, rows), Read(site=logits, position=self.end[rows])])
            kept = torch.log_softmax(wide(acts.logits), -1) if keep_log_probs else None
            return {r.site: wide(acts[r.site]) for r in read}, kept, self._score(acts.logits, rows)

        values, kept, parts = zip(*self.over(scored), strict=True)
        answer, rank, classes, top = (self._joined(p) for p in zip(*parts, strict=True))
        scores = Scores(
            answer_log_prob=answer,
            answer_rank=rank,
            class_logits=classes,
            top_token=top,
            answer=self.answers,
            cls=self.cls.to(answer.device),
        )
        return Forward(
            scores=scores,
            values=self._of_all(read, values),
            log_probs=self._joined(kept) if keep_log_probs else None,
        )

    def read(self, read: Sequence[Read], edits: Sequence[Edit] = ()) -> dict[Site, Tensor]:
        """Only what is read, at least in float32, without logits: the pass stops after the last block that is read.

        Raises what `forward` does.
        """

        def values(rows: Tensor) -> dict[Site, Tensor]:
            acts = self._run(rows, _take(read, rows), edits)
            return {r.site: wide(acts[r.site]) for r in read}

        return self._of_all(read, list(self.over(values)))

    def _run(self, rows: Tensor, read: Sequence[Read], edits: Sequence[Edit]) -> Activations:
        width = self._width(rows)
        taken = [edit.take(rows).narrowed(width, self.tokens.shape[1]) for edit in edits]
        layers = [e.site.layer or 0 for e in taken]
        layers += [r.site.layer for r in read if r.site.layer is not None]
        if any(r.site.name == "embed" for r in read):
            layers.append(0)
        start = min(layers, default=self.model.n_layers)
        first = _first_position([*taken, *read])
        try:
            return self.model.replay(self.recording(rows), start, first=first, read=read, edit=taken)
        except NonFinite as error:
            raise self._named(error, rows, edited=bool(edits)) from error

    def _named(self, error: NonFinite, rows: Tensor, *, edited: bool) -> NonFinite:
        """The same error with the prompt it stands in, and the layer where the clean pass goes wrong if it does."""
        if error.row is None:
            return error
        fact, site = int(rows[error.row]), error.site
        residuals = self.recording(rows).resid_pre
        first = next((k for k, x in enumerate(residuals) if not torch.isfinite(x[error.row]).all()), None)
        if first is not None:
            site = Site("resid_post", first - 1) if first else Site("embed")
        how = " with an edit" if edited and first is None else ""
        prompt = self.model.tokenizer.decode(self.tokens[fact][self.mask[fact]])
        return NonFinite(site, error.row, where=f"{how} for the prompt {prompt!r}")

    @property
    def answers(self) -> Int[Tensor, " fact"]:
        return self.class_tokens[self.cls].to(self.model.device)

    def _score(self, logits: Float[Tensor, "row vocab"], rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        logits = wide(logits)
        # not by log_softmax, which is as large as the logits, where one entry of each row is wanted
        right = logits.gather(1, self.answers[rows][:, None])
        log_prob = right[:, 0] - logits.logsumexp(-1)
        rank = (logits > right).sum(-1) + 1
        return log_prob, rank, logits[:, self.class_tokens.to(logits.device)], logits.argmax(-1)


def _first_position(changed_or_read: Sequence[Edit | Read]) -> int:
    """The first position that has to run: none before it is edited or read."""
    positions = [x.position for x in changed_or_read]
    return min((0 if p is None else int(p.min()) for p in positions), default=0)


def _widened(read: Read, value: Tensor, width: int) -> Tensor:
    """A value as it is where all batches are `width` positions wide; keys stand last, other positions second."""
    axes = [] if read.position is not None else [value.dim() - 2 if read.site.name in ATTENTION_SQUARES else 1]
    axes += [value.dim() - 1] if read.site.name in ATTENTION_SQUARES else []
    for axis in axes:
        if short := width - value.shape[axis]:
            zeros = value.new_zeros([*value.shape[:axis], short, *value.shape[axis + 1 :]])
            value = torch.cat([value, zeros], axis)
    return value


def _take(read: Sequence[Read], rows: Tensor) -> list[Read]:
    return [
        r if r.position is None else Read(site=r.site, position=r.position[rows.to(r.position.device)]) for r in read
    ]


def tensor(x: np.ndarray) -> Tensor:
    """A tensor on the CPU that shares the array's memory."""
    return torch.as_tensor(np.asarray(x))
