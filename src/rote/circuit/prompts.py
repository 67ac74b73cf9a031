"""Prompts on the torch side: run them with edits, score the answers, keep recordings for replay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rote.facts import RelationPrompts
from rote.model import Activations, Edit, Model, Read, Recording, Site
from rote.model.hooks import NonFinite
from rote.model.precision import wide

RECORDING_BUDGET_BYTES = 2 * 1024**3


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """How the prompts were answered; log-probabilities (nats) and ranks (from 1) over the whole vocabulary."""

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
    log_probs: Float[Tensor, "fact vocab"] | None = None


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
    recordings: dict[int, Recording] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, prompts: RelationPrompts, batch_size: int) -> PromptSet:
        return cls(
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

    def batches(self) -> Iterator[Tensor]:
        return iter(torch.split(torch.arange(len(self)), self.batch_size))

    @cached_property
    def _keeps_recordings(self) -> bool:
        per_token = self.model.d_model * self.model.n_layers * self.model.dtype.itemsize
        return self.tokens.numel() * per_token <= RECORDING_BUDGET_BYTES

    def recording(self, rows: Int[Tensor, " row"]) -> Recording:
        """The clean forward pass of one batch, kept while all of them fit the budget."""
        key = int(rows[0])
        if key in self.recordings:
            return self.recordings[key]
        recording = self.model.record(self.tokens[rows], self.mask[rows])
        if self._keeps_recordings:
            self.recordings[key] = recording
        return recording

    def forward(
        self,
        edits: Sequence[Edit] = (),
        read: Sequence[Read] = (),
        *,
        keep_log_probs: bool = False,
    ) -> Forward:
        """Run every prompt with edits whose rows are the facts; replay starts at the lowest edited block."""
        parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        kept: list[Tensor] = []
        values: dict[Site, list[Tensor]] = {r.site: [] for r in read}
        for rows in self.batches():
            logits = Read(site=Site("logits"), position=self.end[rows])
            acts = self._run(rows, [*_take(read, rows), logits], edits)
            for r in read:
                values[r.site].append(wide(acts[r.site]))
            parts.append(self._score(acts.logits, rows))
            if keep_log_probs:
                kept.append(torch.log_softmax(wide(acts.logits), -1))
        answer, rank, classes, top = (torch.cat(list(p)) for p in zip(*parts, strict=True))
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
            values={site: torch.cat(v) for site, v in values.items()},
            log_probs=torch.cat(kept) if kept else None,
        )

    def read(self, read: Sequence[Read], edits: Sequence[Edit] = ()) -> dict[Site, Tensor]:
        """Only what is read, at least in float32, without logits: the pass stops after the last block that is read."""
        values: dict[Site, list[Tensor]] = {r.site: [] for r in read}
        for rows in self.batches():
            acts = self._run(rows, _take(read, rows), edits)
            for site in values:
                values[site].append(wide(acts[site]))
        return {site: torch.cat(v) for site, v in values.items()}

    def _run(self, rows: Tensor, read: Sequence[Read], edits: Sequence[Edit]) -> Activations:
        taken = [edit.take(rows) for edit in edits]
        layers = [e.site.layer or 0 for e in taken]
        layers += [r.site.layer for r in read if r.site.layer is not None]
        if any(r.site.name == "embed" for r in read):
            layers.append(0)
        start = min(layers, default=self.model.n_layers - 1)
        try:
            return self.model.replay(self.recording(rows), start, read=read, edit=taken)
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
        right = logits.gather(1, self.answers[rows][:, None])
        log_prob = right[:, 0] - logits.logsumexp(-1)
        rank = (logits > right).sum(-1) + 1
        return log_prob, rank, logits[:, self.class_tokens.to(logits.device)], logits.argmax(-1)


def _take(read: Sequence[Read], rows: Tensor) -> list[Read]:
    return [
        r if r.position is None else Read(site=r.site, position=r.position[rows.to(r.position.device)]) for r in read
    ]


def tensor(x: np.ndarray) -> Tensor:
    return torch.as_tensor(np.asarray(x))
