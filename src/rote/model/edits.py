"""Edits: what an intervention changes, as data that can be sliced by row together with its prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.errors import InputError
from rote.model.precision import masked_score
from rote.model.sites import ATTENTION_SQUARES, PER_HEAD, Site, SiteLike, after, parse_site

NEURONS = ("mlp_pre", "mlp_post")


def _read_only(site: Site) -> list[str]:
    # a hook there reaches what the norm of the MLP reads, not the stream that goes on beside it
    if site.name == "resid_mid":
        return ["resid_mid can be read but not edited; edit attn_out or mlp_in instead"]
    return []


@dataclass(frozen=True, kw_only=True, eq=False)
class Edit:
    """One change at one site.

    `replace` puts `value` there, `add` adds it, `forbid` (site `scores` only) sets the attention logit from
    `position` to `key_position` to minus infinity before the softmax. `position` holds one position per row
    (None: all positions), `head` one or several heads (None: all). `value` has the shape of what it touches,
    with or without a leading row dimension. Raises InputError with all that does not go together.
    """

    site: Site
    change: Literal["replace", "add", "forbid"] = "replace"
    value: Float[Tensor, "..."] | None = None
    position: Int[Tensor, " row"] | None = None
    key_position: Int[Tensor, " row"] | None = None
    head: int | Sequence[int] | None = None
    neuron: int | None = None

    def __post_init__(self) -> None:
        problems = _read_only(self.site)
        if (self.change == "forbid") != (self.site.name == "scores"):
            problems.append(f"site {self.site} with change {self.change!r}; `forbid` and `scores` go together")
        if (self.change == "forbid") != (self.value is None):
            problems.append(f"change {self.change!r} {'needs a' if self.value is None else 'takes no'} value")
        if self.value is not None and not isinstance(self.value, Tensor):
            problems.append(f"value {self.value!r} is a {type(self.value).__name__}; expected a tensor")
        if self.change == "forbid" and (self.position is None or self.key_position is None):
            problems.append("`forbid` needs position and key_position, one of each per row")
        if self.head is not None and self.site.name not in PER_HEAD + ATTENTION_SQUARES:
            problems.append(f"site {self.site} has no head dimension; leave `head` out")
        if self.neuron is not None and self.site.name not in NEURONS:
            problems.append(f"site {self.site} has no neurons; leave `neuron` out or edit mlp_pre or mlp_post")
        if self.position is not None and self.site.name == "pattern":
            problems.append("a pattern edit replaces whole patterns; leave `position` out")
        if problems:
            raise InputError(problems)

    @property
    def _trailing(self) -> int:
        # what one row's value has, at one position: head, query and key of a pattern; head and d_head; or d_model alone
        trailing = 3 if self.site.name == "pattern" else 2 if self.site.name in PER_HEAD else 1
        return trailing - int(isinstance(self.head, int) or self.neuron is not None)

    @property
    def _value_has_rows(self) -> bool:
        if self.value is None or self.value.shape[:1] == (1,):  # one value for all rows, however it is written
            return False
        trailing = self._trailing
        if self.position is None and self.site.name != "pattern":
            # broadcasting aligns from the right, so one dimension more is positions, and only two more hold rows
            return self.value.dim() > trailing + 1
        return self.value.dim() > trailing

    def take(self, rows: Int[Tensor, " new_row"]) -> Edit:
        """The same edit for a selection (or repetition) of its rows."""
        return replace(
            self,
            value=self.value[rows] if self.value is not None and self._value_has_rows else self.value,
            position=None if self.position is None else self.position[rows],
            key_position=None if self.key_position is None else self.key_position[rows],
        )

    def narrowed(self, n: int, of: int) -> Edit:
        """The same edit where only the first `n` of `of` positions are run."""
        if self.value is None or self.position is not None or n == of:
            return self
        axes = (-2, -1) if self.site.name == "pattern" else (-self._trailing - 1,)
        value = self.value
        for axis in axes:
            if value.dim() >= -axis and value.shape[axis] == of:
                value = value.narrow(axis, 0, n)
        return replace(self, value=value)

    def counted_from(self, first: int) -> Edit:
        """The same edit where only the positions from `first` on are run; keys are still counted from the start.

        Raises InputError for an edit without positions, or at an earlier one.
        """
        if self.position is None:
            raise InputError(f"the edit at {self.site} names no position, so every position has to be run again")
        return replace(self, position=after(self.position, first, f"the edit at {self.site}"))

    def apply(self, x: Float[Tensor, "row ..."]) -> Float[Tensor, "row ..."]:
        """A changed copy of the site's activation (heads, where there are any, as `Site` says).

        Raises InputError for a value that does not fit, and where `forbid` leaves a query nothing to attend to.
        """
        x = x.clone()  # x may be the residual stream itself, or a recording's
        index = self._index(x)
        if self.change == "forbid":
            x[index] = float("-inf")
            self._check_something_left(x)
        elif self.change == "add":
            x[index] = (x[index] + self._fitted(x[index])).to(x.dtype)  # the sum is float32 where the value is
        else:
            x[index] = self._fitted(x[index]).to(x.dtype)
        return x

    def _check_something_left(self, x: Float[Tensor, "row head query key"]) -> None:
        """A query that may attend to nothing would spread over the masked keys, the future among them."""
        rows = torch.arange(x.shape[0], device=x.device)
        left = x[rows, :, self._on(self.position, x)].amax(-1)
        # what the mask rules out is a score plus masked_score, so nearly that: half of it is far from both
        if (left <= masked_score(x.dtype) / 2).any():
            raise InputError(f"`forbid` at {self.site} leaves a query nothing to attend to; forbid another edge")

    def _fitted(self, target: Tensor) -> Tensor:
        assert self.value is not None
        try:
            return self.value.to(target.device).expand_as(target)  # layers may lie on several devices
        except RuntimeError as error:
            raise InputError(
                f"the edit at {self.site} has a value of shape {tuple(self.value.shape)}; "
                f"what it changes has shape {tuple(target.shape)}"
            ) from error

    def _index(self, x: Tensor) -> Any:
        rows = torch.arange(x.shape[0], device=x.device)
        head: Any = slice(None)
        if self.head is not None:
            head = self.head if isinstance(self.head, int) else torch.as_tensor(self.head, device=x.device)
        if self.change == "forbid":
            position, key = self._on(self.position, x), self._on(self.key_position, x)
            # rows and positions go in pairs; a list of heads is crossed with them, so it takes a dimension of its own
            if isinstance(head, Tensor):
                return rows[:, None], head[None], position[:, None], key[:, None]
            return rows, head, position, key
        if self.site.name == "pattern":
            return (slice(None), head)
        index: list[Any] = [slice(None), slice(None)]
        if self.position is not None:
            index = [rows, self._on(self.position, x)]
        if self.head is not None:
            if isinstance(head, Tensor) and self.position is not None:
                index = [rows[:, None], self._on(self.position, x)[:, None]]
            index.append(head)
        if self.neuron is not None:
            index.append(self.neuron)
        return tuple(index)

    @staticmethod
    def _on(position: Tensor | None, x: Tensor) -> Tensor:
        assert position is not None
        return position.to(x.device)


@dataclass(frozen=True, kw_only=True, eq=False)
class FunctionEdit:
    """Any function of a site's activation; it cannot be sliced by row, so it serves `Model.run` only.

    The function gets a copy and may change it in place; only what it returns counts. Raises InputError at
    `resid_mid`, which can be read only.
    """

    site: Site
    function: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        problems = _read_only(self.site)
        if problems:
            raise InputError(problems)

    def take(self, rows: Int[Tensor, " new_row"]) -> FunctionEdit:
        return self

    def counted_from(self, first: int) -> FunctionEdit:
        """InputError always: a function may look at every position."""
        raise InputError(f"the edit at {self.site} is a function of every position, so all have to be run again")

    def apply(self, x: Tensor) -> Tensor:
        return self.function(x.clone())  # x may be the residual stream itself, or a recording's


AnyEdit = Edit | FunctionEdit
EditLike = AnyEdit | tuple[SiteLike, Callable[[Tensor], Tensor]]


def parse_edit(edit: EditLike) -> AnyEdit:
    """An edit from itself or a (site, function) pair; InputError for a site that does not exist."""
    if isinstance(edit, (Edit, FunctionEdit)):
        return edit
    return FunctionEdit(site=parse_site(edit[0]), function=edit[1])
