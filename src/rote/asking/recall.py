"""`Recall`: the facts of one relation that a model knows, as they are put to it, split into two halves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rote.asking.prompts import Forward, PromptSet, RowObjective, tensor
from rote.asking.recordings import Kept
from rote.errors import NotApplicable
from rote.facts import RelationPrompts
from rote.facts.parts import Stratum, product_strata
from rote.model import Edit, Model, Read, Site
from rote.settings import Settings
from rote.stack import Readout
from rote.statistics import rng, stratified_halves

ABLATIONS = ("mean", "resample")


@dataclass(frozen=True, kw_only=True, eq=False)
class Recall:
    """Known facts of one relation with the model that knows them.

    `selection` marks the half of the entities on which choices are made; the others are reported on.
    `table_names` holds the tokens of every name in the table, known or not; `readouts` remembers
    what `head_readouts` has computed, `kept` the clean passes of all prompts, with those of other relations.
    """

    model: Model
    prompts: RelationPrompts
    settings: Settings
    selection: Bool[np.ndarray, " fact"]
    table_names: frozenset[tuple[int, ...]]
    readouts: dict[tuple[tuple[int, int], ...], tuple[Readout, ...]] = field(default_factory=dict)
    kept: Kept = field(default_factory=Kept, repr=False)

    @classmethod
    def of(
        cls,
        model: Model,
        prompts: RelationPrompts,
        known: Bool[np.ndarray, " fact"],
        settings: Settings,
        kept: Kept | None = None,
    ) -> Recall:
        """The known ones of a relation's facts, halved by class; `kept` as in `PromptSet.of`.

        Its classes are those of the class tokens (`RelationPrompts.merged`): no more can be read at one position.
        """
        prompts = prompts.merged()
        chosen = prompts.take(known)
        return cls(
            model=model,
            prompts=chosen,
            settings=settings,
            selection=stratified_halves(chosen.cls, ids=chosen.entities, seed=settings.seed),
            table_names=frozenset(prompts.name_tokens),
            kept=Kept() if kept is None else kept,
        )

    def take(self, index: Int[np.ndarray, " new_fact"]) -> Recall:
        """Some of the facts; what is measured on them (means, random partners) is then of these facts alone."""
        return replace(self, prompts=self.prompts.take(index), selection=self.selection[index], readouts={})

    # ------------------------------------------------------------------ facts
    def __len__(self) -> int:
        return len(self.prompts.facts)

    @property
    def relation(self) -> str:
        return self.prompts.relation.name

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(fact.entity for fact in self.prompts.facts)

    @property
    def cls(self) -> Int[np.ndarray, " fact"]:
        return self.prompts.cls

    @cached_property
    def others(self) -> Int[Tensor, "draw fact"]:
        """For each fact, random facts of another class in its own half: the sources of every resample ablation.

        Of the same stratum of names where that holds another class, else of any. Within halves, so that no choice sees
        a fact of the report half; in the order of the names, so that the order of the table decides nothing.
        ValueError where a half holds one class only.
        """
        draws, names = self.settings.n_resamples_ablation, np.argsort(self.names, kind="stable")
        picked = np.zeros((draws, len(self)), dtype=int)
        for half, item in ((~self.selection, "report"), (self.selection, "selection")):
            generator = rng(self.settings.seed, "resample", f"{self.relation}/{item}")
            members = names[half[names]]
            pools: dict[tuple[int, int], np.ndarray] = {}
            for i in members:
                key = int(self.cls[i]), int(self._stratum[i])
                if key not in pools:
                    others = members[self.cls[members] != key[0]]
                    alike = others[self._stratum[others] == key[1]]
                    pools[key] = alike if len(alike) else others
                picked[:, i] = generator.choice(pools[key], size=draws)
        return tensor(picked)

    @cached_property
    def _stratum(self) -> Int[np.ndarray, " fact"]:
        number = np.zeros(len(self), dtype=int)
        for place, facts in enumerate(self.strata.values()):
            number[facts] = place
        return number

    @cached_property
    def strata(self) -> dict[Stratum, Int[np.ndarray, " some"]]:
        """The facts of each stratum of names: the same kind of cut, parts of the same lengths."""
        return self.prompts.strata

    @cached_property
    def product_strata(self) -> dict[Stratum, Int[np.ndarray, " some"]]:
        """Those whose first and last parts make a product: enough of both, and enough facts."""
        p, settings = self.prompts, self.settings
        return product_strata(self.strata, p.first, p.last, settings.stratum_parts, settings.stratum_facts)

    @cached_property
    def two_part(self) -> Int[np.ndarray, " two_part"]:
        """Indices of the facts whose name has two parts and lies in a stratum that makes a product."""
        facts = list(self.product_strata.values())
        return np.sort(np.concatenate(facts)) if facts else np.zeros(0, dtype=np.int64)

    def require_two_part(self) -> Int[np.ndarray, " two_part"]:
        """The same facts; NotApplicable, with counts, where they are fewer than min_known."""
        if len(self.two_part) < self.settings.min_known:
            raise NotApplicable(self._too_few_parts())
        return self.two_part

    def _too_few_parts(self) -> str:
        n_two, settings = int(self.prompts.has_first.sum()), self.settings
        said = f"{n_two} of {len(self)} known entities have names of two parts"
        small = {s: f for s, f in self.strata.items() if s not in self.product_strata and s.n_first}
        if n_two >= settings.min_known and small:
            largest = sorted(small.items(), key=lambda item: -len(item[1]))[:3]
            listed = "; ".join(f"{len(facts)} of {stratum}" for stratum, facts in largest)
            said += (
                f", {len(self.two_part)} of them in strata with {settings.stratum_parts} first and last parts and "
                f"{settings.stratum_facts} names or more (too small: {listed})"
            )
        return f"{said}; at least {settings.min_known} are needed"

    # ---------------------------------------------------------------- prompts
    @cached_property
    def full(self) -> PromptSet:
        return self.prompt_set(self.prompts)

    def prompt_set(self, p: RelationPrompts) -> PromptSet:
        """Any prompts as this model is asked them, for instance the same entities under another relation."""
        return PromptSet.of(self.model, p, self.settings.batch_size, self.kept)

    @cached_property
    def name_only(self) -> PromptSet:
        """`<bos>` and the name; `end` is the name's last token."""
        tokens, mask, last = self.prompts.name_only()
        first = last - self.prompts.n_name_tokens + 1
        full = self.full
        return replace(
            full,
            tokens=tensor(tokens),
            mask=tensor(mask),
            subject_first=tensor(first),
            subject_last=tensor(last),
            end=tensor(last),
        )

    @cached_property
    def clean(self) -> Forward:
        """The unedited pass over the full prompts."""
        return self.full.forward()

    def at_subject(
        self, name: str, layers: range | tuple[int, ...], *, name_only: bool = False
    ) -> dict[int, Float[Tensor, "fact d_model"]]:
        """A residual-stream site of several layers (from 0) at subject_last, in clean runs."""
        prompts = self.name_only if name_only else self.full
        reads = [Read(site=Site(name, layer), position=prompts.subject_last) for layer in layers]
        values = prompts.read(reads) if reads else {}
        return {site.layer: value for site, value in values.items() if site.layer is not None}

    def difference_from(self, other: Int[Tensor, " fact"]) -> RowObjective:
        """logit[clean class] − logit[other fact's class], in logits, as a function of class logits of some facts."""
        cls = torch.as_tensor(self.cls)
        return lambda logits, rows: class_difference(logits, cls[rows], cls[other][rows])

    # -------------------------------------------------------------- ablations
    def ablated_values(self, clean: Float[Tensor, "fact ..."], how: str) -> list[Float[Tensor, "fact ..."]]:
        """What replaces a value: its mean over the facts (one draw), or each draw from facts of another class.

        `how` is one of ABLATIONS. The mean takes in every known fact, of either half: it knows no class.
        """
        if how == "mean":
            return [clean.mean(0, keepdim=True).expand_as(clean)]
        return [clean[draw.to(clean.device)] for draw in self.others]

    def ablations(
        self, clean: dict[Site, Float[Tensor, "fact d_model"]], how: str, position: Int[Tensor, " fact"]
    ) -> list[list[Edit]]:
        """For each draw, the edits that ablate all the given sites at one position."""
        values = {site: self.ablated_values(value, how) for site, value in clean.items()}
        n_draws = 1 if how == "mean" else len(self.others)
        return [
            [Edit(site=site, value=v[draw], position=position) for site, v in values.items()] for draw in range(n_draws)
        ]

    def contributions(
        self, part: str, layers: range | tuple[int, ...], *, name_only: bool = False
    ) -> dict[Site, Float[Tensor, "fact d_model"]]:
        """What attention (`attn`) or the MLP (`mlp`) of some layers adds at subject_last in clean runs."""
        name = self.model.attn_contribution if part == "attn" else self.model.mlp_contribution
        return {Site(name, layer): x for layer, x in self.at_subject(name, layers, name_only=name_only).items()}


def class_difference(logits: Float[Tensor, "fact cls"], cls: Tensor, other: Tensor) -> Float[Tensor, " fact"]:
    """logit[clean class] − logit[other class], in logits, per fact."""
    rows = torch.arange(len(logits), device=logits.device)
    return logits[rows, cls.to(logits.device)] - logits[rows, other.to(logits.device)]
